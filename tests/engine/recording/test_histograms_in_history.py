"""Histograms are kept apart: the newest of each tensor, and no heat map of them."""

import numpy as np
import pytest

from sgdb_engine.recording.history import History
from sgdb_engine.recording.payloads import (
    HISTOGRAM_BINS,
    HISTOGRAM_PREFIXES,
    HistogramKind,
    TensorRow,
    histogram_stats,
)
from sgdb_engine.recording.reader import Batch


def row(step: int, names: list[str], kind: HistogramKind) -> TensorRow:
    columns = tuple(f"{stat}/{name}" for stat in histogram_stats(kind) for name in names)
    values = np.arange(len(columns), dtype=np.float32) + step
    return TensorRow(columns, step, 0.0, 0.0, values)


def history_of(*rows: TensorRow) -> History:
    history = History()
    history.add(Batch([], list(rows), [], [], [], 0, caught_up=True))
    return history


@pytest.mark.parametrize("kind", HISTOGRAM_PREFIXES)
def test_the_newest_histogram_of_each_tensor_is_given_bin_by_bin(kind: HistogramKind) -> None:
    history = history_of(row(1, ["a", "b"], kind), row(2, ["a", "b"], kind))
    found = history.histograms(kind)
    assert list(found) == ["a", "b"]
    assert found["a"].shares.tolist() == [2 + 2 * i for i in range(HISTOGRAM_BINS)]
    assert found["b"].shares.tolist() == [3 + 2 * i for i in range(HISTOGRAM_BINS)]
    assert (found["a"].low, found["a"].high) == (2 + 2 * HISTOGRAM_BINS, 4 + 2 * HISTOGRAM_BINS)
    assert history.tensor_stats() == ()


def test_those_of_several_optimizers_and_of_other_kinds_stand_beside_each_other() -> None:
    history = history_of(row(1, ["a"], "weights"), row(1, ["b"], "weights"), row(1, ["a"], "gradients"))
    assert list(history.histograms("weights")) == ["a", "b"]
    assert list(history.histograms("gradients")) == ["a"]


def test_a_row_of_another_number_of_columns_is_none() -> None:
    whole = row(1, ["a"], "weights")
    assert (
        history_of(TensorRow(whole.columns[:-1], 1, 0.0, 0.0, whole.values[:-1])).histograms("weights") == {}
    )


def test_without_a_histogram_there_is_none() -> None:
    assert History().histograms("weights") == {}
