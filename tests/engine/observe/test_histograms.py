"""The distribution of a tensor's values, held against NumPy's."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from sgdb_engine.observe import histograms as module
from sgdb_engine.observe.histograms import histogram_columns, histograms
from sgdb_engine.observe.hooks import observe
from sgdb_engine.recording.payloads import HISTOGRAM_BINS
from tests.engine.observe.conftest import Bench, Recorded

VALUES = st.integers(-1000, 1000).map(lambda n: n / 8)


def both_ways(tensor: torch.Tensor) -> list[np.ndarray]:
    return [module._host(tensor).numpy(), module._device(tensor).numpy()]


@given(arrays.arrays(np.float32, st.integers(1, 300), elements=VALUES))
def test_the_shares_are_those_of_numpy_up_to_rounding_at_the_edges(values: np.ndarray) -> None:
    for found in both_ways(torch.from_numpy(values)):
        assert found.sum() == pytest.approx(1, abs=1e-5)
        if np.ptp(values) > 0:
            expected = np.histogram(values, HISTOGRAM_BINS)[0] / values.size
            assert np.abs(np.cumsum(found) - np.cumsum(expected)).max() <= edge_share(values) + 1e-5


def edge_share(values: np.ndarray) -> float:
    """The share of values so near to the edge of a bin that rounding decides."""
    places = (values - values.min()) / np.ptp(values) * HISTOGRAM_BINS
    return float(np.mean(np.abs(places - np.round(places)) < 1e-4))


def test_non_finite_values_do_not_count() -> None:
    tensor = torch.tensor([0.0, 1.0, torch.nan, torch.inf])
    for found in both_ways(tensor):
        assert found[0] == found[-1] == 0.5
        assert found.sum() == 1


@pytest.mark.parametrize("tensor", [torch.zeros(0), torch.full((3,), torch.nan)])
def test_nothing_finite_makes_an_empty_histogram(tensor: torch.Tensor) -> None:
    for found in both_ways(tensor):
        assert not found.any()


def test_a_constant_tensor_lies_in_one_bin() -> None:
    for found in both_ways(torch.ones(5)):
        assert found.max() == 1


def test_the_columns_stand_bin_by_bin() -> None:
    columns = histogram_columns(["a", "b"])
    values = histograms([torch.zeros(4), torch.tensor([0.0, 0.0, 0.0, 1.0])])
    assert len(columns) == len(values) == 2 * HISTOGRAM_BINS
    row = dict(zip(columns, values.tolist(), strict=True))
    assert (row["hist_00/a"], row["hist_00/b"], row[f"hist_{HISTOGRAM_BINS - 1:02d}/b"]) == (1, 0.75, 0.25)


def test_the_first_measured_step_has_a_histogram_of_each_parameter_and_the_next_ones_wait(
    recorded: Recorded,
) -> None:
    bench = Bench()
    with observe(recorded, budget=1.0):  # type: ignore[arg-type]
        for _ in range(5):
            bench.step()
    assert list(recorded.histogram_rows) == [1]
    names = {column.partition("/")[2] for column in recorded.histogram_rows[1]}
    assert names == {name for name, _ in bench.model.named_parameters()}
    assert sum(recorded.histogram_rows[1].values()) == pytest.approx(len(names))


def test_without_a_budget_there_are_none(recorded: Recorded) -> None:
    bench = Bench()
    with observe(recorded, budget=0.0):  # type: ignore[arg-type]
        bench.step()
    assert recorded.histogram_rows == {}
