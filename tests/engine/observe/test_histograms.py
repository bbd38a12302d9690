"""The distribution of a tensor's values, held against NumPy's."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from torch import nn

from sgdb_engine.observe import histograms as module
from sgdb_engine.observe.histograms import histogram_columns, histograms
from sgdb_engine.observe.hooks import observe
from sgdb_engine.recording.payloads import HISTOGRAM_BINS, HistogramKind, histogram_stats
from tests.engine.observe.conftest import Bench, Recorded

VALUES = st.integers(-1000, 1000).map(lambda n: n / 8)


def both_ways(tensor: torch.Tensor) -> list[np.ndarray]:
    return [module._host(tensor).numpy(), module._device(tensor).numpy()]


@given(arrays.arrays(np.float32, st.integers(1, 300), elements=VALUES))
def test_the_shares_are_those_of_numpy_up_to_rounding_at_the_edges(values: np.ndarray) -> None:
    for whole in both_ways(torch.from_numpy(values)):
        found = whole[:HISTOGRAM_BINS]
        assert whole[HISTOGRAM_BINS:].tolist() == [values.min(), values.max()]
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
        assert found[0] == found[HISTOGRAM_BINS - 1] == 0.5
        assert found[:HISTOGRAM_BINS].sum() == 1
        assert found[HISTOGRAM_BINS:].tolist() == [0.0, 1.0]


@pytest.mark.parametrize("tensor", [torch.zeros(0), torch.full((3,), torch.nan)])
def test_nothing_finite_makes_an_empty_histogram(tensor: torch.Tensor) -> None:
    for found in both_ways(tensor):
        assert not found.any()


def test_a_constant_tensor_lies_in_one_bin() -> None:
    for found in both_ways(torch.ones(5)):
        assert found.max() == 1


def test_the_columns_stand_bin_by_bin() -> None:
    columns = histogram_columns("weights", ["a", "b"])
    values = histograms([torch.zeros(4), torch.tensor([0.0, 0.0, 0.0, 1.0])])
    assert len(columns) == len(values) == 2 * (HISTOGRAM_BINS + 2)
    row = dict(zip(columns, values.tolist(), strict=True))
    assert (row["hist_00/a"], row["hist_00/b"], row[f"hist_{HISTOGRAM_BINS - 1:02d}/b"]) == (1, 0.75, 0.25)


class Deep(nn.Module):
    """A shared activation, dropout, and a layer that is never called."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.unused = nn.Linear(3, 4), nn.Linear(4, 1), nn.Linear(1, 1)
        self.activation, self.dropout = nn.Tanh(), nn.Dropout(0.1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.activation(self.second(self.dropout(self.activation(self.first(x)))))


def of_kind(recorded: Recorded, kind: HistogramKind) -> dict[str, list[float]]:
    """The numbers of each tensor in the first step."""
    row, stats = recorded.histogram_rows[1], histogram_stats(kind)
    names = [column.partition("/")[2] for column in row if column.startswith(stats[0] + "/")]
    return {name: [row[f"{stat}/{name}"] for stat in stats] for name in names}


def test_the_first_measured_step_has_them_of_each_parameter_gradient_and_layer_and_the_next_ones_wait(
    recorded: Recorded,
) -> None:
    bench = Bench(Deep())
    with observe(recorded, budget=1.0):  # type: ignore[arg-type]
        for _ in range(5):
            bench.step()
    assert list(recorded.histogram_rows) == [1, 5], "and the last one"
    names = [name for name, _ in bench.model.named_parameters()]
    assert list(of_kind(recorded, "weights")) == names
    assert list(of_kind(recorded, "gradients")) == [name for name in names if "unused" not in name]
    assert list(of_kind(recorded, "activations")) == ["first", "activation", "second", "activation (2)"]
    assert recorded.failed_probes == []


def test_they_are_those_of_the_tensors_of_that_step(recorded: Recorded) -> None:
    bench = Bench(Deep().eval())
    with torch.no_grad():
        given = bench.model.first(bench.x)
        first, last = torch.tanh(given), bench.model(bench.x)
    with observe(recorded, budget=1.0):  # type: ignore[arg-type]
        bench.step()
    expected = {
        "weights": {"first.weight": bench.model.first.weight},
        "gradients": {"second.weight": bench.model.second.weight.grad},
        "activations": {"first": given, "activation": first, "activation (2)": last},
    }
    for kind, tensors in expected.items():
        found = of_kind(recorded, kind)  # type: ignore[arg-type]
        for name, tensor in tensors.items():
            assert found[name] == pytest.approx(histograms([tensor]).tolist(), abs=1e-6), (kind, name)


def test_the_calls_of_modules_are_put_back_also_when_a_call_raises(recorded: Recorded) -> None:
    class Raising(Deep):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            super().forward(x)
            raise RuntimeError("no")

    before = nn.Module.__call__
    bench = Bench(Raising())
    with observe(recorded, budget=1.0):  # type: ignore[arg-type]
        for _ in range(2):
            with pytest.raises(RuntimeError, match="no"):
                bench.step()
    assert nn.Module.__call__ is before


def test_without_a_budget_there_are_none(recorded: Recorded) -> None:
    bench = Bench()
    with observe(recorded, budget=0.0):  # type: ignore[arg-type]
        bench.step()
    assert recorded.histogram_rows == {}
