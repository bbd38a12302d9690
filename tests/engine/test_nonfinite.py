"""NaN and infinity are told once for each place, with what to do."""

import math

import numpy as np
import pytest

from sgdb_engine.findings.nonfinite import MOST_NAMED, NonFinite

NAN, INF = math.nan, math.inf


@pytest.mark.parametrize(("value", "word"), [(NAN, "NaN"), (INF, "Infinity"), (-INF, "-Infinity")])
@pytest.mark.parametrize("column", ["train/loss", "val/loss", "train/mse", "grad_norm"])
def test_a_value_that_is_not_finite_is_an_error_with_advice(column: str, value: float, word: str) -> None:
    (finding,) = NonFinite().scalars(7, {"lr": 0.1, column: value})
    assert (finding.code, finding.severity, finding.step) == ("nonfinite", "error", 7)
    assert finding.message == f"{column} is {word}."
    assert finding.where == (column,)
    assert finding.evidence == {column: word}
    assert finding.advice


def test_each_place_is_told_once() -> None:
    watch = NonFinite()
    assert len(watch.scalars(1, {"train/loss": NAN, "grad_norm": INF})) == 2
    assert watch.scalars(2, {"train/loss": INF, "grad_norm": NAN}) == []
    assert len(watch.scalars(3, {"val/loss": NAN})) == 1


def test_finite_values_are_nothing_however_large() -> None:
    assert NonFinite().scalars(1, {"train/loss": 1.7e308, "grad_norm": 1.7e308}) == []


def test_infinities_of_both_signs_do_not_hide_each_other() -> None:
    found = NonFinite().scalars(1, {"train/a": INF, "train/b": -INF})
    assert [finding.where for finding in found] == [("train/a",), ("train/b",)]


def test_a_range_of_nothing_is_no_finding() -> None:
    watch = NonFinite()
    row = {"input/min": NAN, "input/nonfinite": 0.0, "cpu/percent": NAN}
    assert watch.scalars(1, row) == []
    assert watch.inputs(1, row) == []


def test_non_finite_inputs_are_counted_per_input() -> None:
    watch = NonFinite()
    found = watch.inputs(3, {"input.0/nonfinite": 2.0, "input.mask/nonfinite": 1.0, "output/nonfinite": 9.0})
    assert [finding.code for finding in found] == ["input-nonfinite"] * 2
    assert found[0].evidence == {"input.0/nonfinite": 2}
    assert "2 values of the model's input.0" in found[0].message
    assert watch.inputs(4, {"input.0/nonfinite": 5.0}) == []


def test_tensors_are_named_and_only_the_first_few_in_the_message() -> None:
    names = [f"layer{i}" for i in range(MOST_NAMED + 3)]
    columns = [f"nonfinite/{name}" for name in names] + ["grad_norm/layer0"]
    (finding,) = NonFinite().tensors(4, columns, np.array([1.0] * len(names) + [NAN], np.float32))
    assert finding.where == tuple(names)
    assert finding.evidence == {"tensors": len(names)}
    assert f"and {len(names) - MOST_NAMED} more" in finding.message
    assert names[MOST_NAMED] not in finding.message


def test_healthy_tensors_are_no_finding() -> None:
    assert NonFinite().tensors(1, ["nonfinite/a", "grad_norm/a"], np.array([0.0, 5.0], np.float32)) == []
