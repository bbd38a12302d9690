"""Every statistic has a slow, obvious twin in float64, and agrees with it."""

import math
import warnings

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sgdb_engine.observe import device_statistics
from sgdb_engine.observe.device_statistics import DeviceStatistics
from sgdb_engine.observe.host_statistics import HostStatistics
from sgdb_engine.observe.parameters import TENSOR_STATS, SplitStatistics, UpdateStatistics
from sgdb_engine.observe.statistics import device_ranges, host_array, ranges, tensor_ranges

NAN, INF = math.nan, math.inf


def twin_of_ranges(tensor: torch.Tensor) -> list[float]:
    values = tensor.detach().double().flatten()
    finite = values[values.isfinite()]
    bad = float(values.numel() - finite.numel())
    if not finite.numel():
        return [NAN, NAN, NAN, NAN, bad]
    return [
        finite.min().item(),
        finite.max().item(),
        finite.mean().item(),
        finite.var(correction=0).sqrt().item(),
        bad,
    ]


def close(actual: object, expected: object, rel: float = 1e-5, absolute: float = 1e-7) -> None:
    np.testing.assert_allclose(actual, expected, rtol=rel, atol=absolute, equal_nan=True)


def check_ranges(tensor: torch.Tensor, rel: float = 1e-5, absolute: float = 1e-7) -> None:
    expected = twin_of_ranges(tensor)
    close(ranges(host_array(tensor)), expected, rel, absolute)
    close(tensor_ranges(tensor).tolist(), expected, rel, absolute)
    close(device_ranges(tensor).tolist(), expected, rel, absolute)


TENSORS = {
    "a matrix": torch.randn(7, 5),
    "a vector in float64": torch.randn(100, dtype=torch.float64),
    "bfloat16": torch.randn(33, 3).bfloat16(),
    "float16": torch.randn(33, 3).half(),
    "0-d": torch.tensor(2.5),
    "empty": torch.empty(0, 3),
    "one value": torch.tensor([[4.0]]),
    "transposed": torch.randn(6, 9).t(),
    "every second column": torch.randn(6, 8)[:, ::2],
    "expanded": torch.randn(3, 1).expand(3, 50),
    "requires grad": torch.randn(4, requires_grad=True),
    "integers": torch.randint(-3, 9, (4, 4)),
    "integers beyond float32": torch.tensor([2**24 + 1, 2**30 + 1]),
    "bool": torch.tensor([True, False, True]),
    "uint8 pixels": torch.randint(0, 256, (2, 3, 8, 8), dtype=torch.uint8),
    "some NaN": torch.tensor([1.0, NAN, 3.0]),
    "all NaN": torch.tensor([NAN, NAN]),
    "both infinities": torch.tensor([INF, -INF, 2.0, 5.0]),
    "huge but finite": torch.tensor([3e38, -3e38, 1e38]),
    "one sign and huge": torch.tensor([3e38, 3e38, 3e38]),
    "tiny": torch.tensor([1e-40, 2e-40]),
    "constant": torch.full((1000,), 0.1),
    "narrow beside its mean": 1000 + torch.randn(5000) * 0.01,
    "rather narrow, and long": 1 + torch.randn(1_000_000) * 0.02,
    "zeros": torch.zeros(10),
}


@pytest.mark.parametrize("name", TENSORS)
def test_the_ranges_of_a_tensor_are_those_of_a_slow_twin(name: str) -> None:
    rough = name in ("narrow beside its mean", "rather narrow, and long")
    check_ranges(TENSORS[name], rel=2e-3 if rough else 1e-5, absolute=1e-45 if name == "tiny" else 1e-7)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.floats(width=32, allow_subnormal=False), max_size=30))
def test_whatever_the_values_no_statistic_is_surprised(values: list[float]) -> None:
    tensor = torch.tensor(values)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        host, device = ranges(host_array(tensor)), device_ranges(tensor).tolist()
    expected = twin_of_ranges(tensor)
    scale = max((abs(v) for v in values if math.isfinite(v)), default=0.0) * 1e-5
    close(host, expected, 1e-4, scale)
    close(device, expected, 1e-4, scale)


def test_statistics_make_no_noise_where_the_user_made_numpy_strict() -> None:
    with np.errstate(all="raise"):
        assert ranges(host_array(torch.tensor([3e38, 3e38, 1e-40]))).nonfinite == 0


# -- of an update -----------------------------------------------------------------------------------------

KINDS = [HostStatistics, DeviceStatistics]


def make(kind: type, parameters: list[torch.Tensor]) -> HostStatistics | DeviceStatistics:
    shares = [1.0] * len(parameters)
    return kind(parameters, len(TENSOR_STATS), shares) if kind is HostStatistics else kind(parameters, shares)


def rows_of(statistics: UpdateStatistics) -> np.ndarray:
    """Float32 [stats, tensors], after the update."""
    row = statistics.finish(statistics.after_update().numpy())
    return row.astype(np.float32).reshape(len(TENSOR_STATS), -1)


def table_of(statistics: UpdateStatistics) -> dict[str, list[float]]:
    return dict(zip(TENSOR_STATS, rows_of(statistics).tolist(), strict=True))


def norm(values: torch.Tensor) -> float:
    return values.detach().double().norm().item()


def twin_of_update(
    parameters: list[torch.Tensor], before: list[torch.Tensor], gradients: list[torch.Tensor | None]
) -> dict[str, list[float]]:
    table: dict[str, list[float]] = {stat: [] for stat in TENSOR_STATS}
    for now, old, gradient in zip(parameters, before, gradients, strict=True):
        gradient = torch.zeros(1) if gradient is None else gradient.to_dense()
        low, high, mean, std, bad = twin_of_ranges(now)
        moved, weights = norm(now.detach().double() - old.double()), norm(now)
        ratio = 0.0 if moved == 0 else NAN if math.isnan(moved) else moved / weights if weights else INF
        stats = norm(gradient), low, high, mean, std, ratio, bad + (~gradient.isfinite()).sum().item()
        for stat, value in zip(TENSOR_STATS, stats, strict=True):
            table[stat].append(value)
    return table


def measure(
    kind: type, parameters: list[torch.Tensor], change: list[torch.Tensor]
) -> tuple[float, dict[str, list[float]], dict[str, list[float]]]:
    """Measured global norm, measured table, the twin's table."""
    statistics = make(kind, parameters)
    for _ in range(2):  # the second time all buffers have been used before
        gradients = [p.grad for p in parameters]
        before = [p.detach().clone() for p in parameters]
        global_norm = float(statistics.before_clip())
        statistics.before_update()
        with torch.no_grad():
            for parameter, delta in zip(parameters, change, strict=True):
                parameter.add_(delta)
        table = table_of(statistics)
    return global_norm, table, twin_of_update(parameters, before, gradients)


def parameters_of_all_kinds() -> list[torch.Tensor]:
    shapes = [(3, 4), (), (5,), (1025,), (2, 3, 4), (0,), (1024,)]
    parameters = [torch.nn.Parameter(torch.randn(shape)) for shape in shapes]
    parameters.append(torch.nn.Parameter(torch.randn(6, 7).t()))
    parameters.append(torch.nn.Parameter(torch.randn(40).double()))
    parameters.append(torch.nn.Parameter(torch.randn(40).bfloat16()))
    parameters.append(torch.nn.Parameter(1000 + 0.01 * torch.randn(3000)))
    for parameter in parameters:
        parameter.grad = torch.randn_like(parameter)
    return parameters


def changes_of(parameters: list[torch.Tensor]) -> list[torch.Tensor]:
    return [torch.randn_like(p) * 0.1 for p in parameters]


@pytest.mark.parametrize("kind", KINDS)
def test_an_update_of_tensors_of_all_shapes_and_types_is_measured_as_its_twin_does(kind: type) -> None:
    parameters = parameters_of_all_kinds()
    global_norm, actual, expected = measure(kind, parameters, changes_of(parameters))
    for stat in TENSOR_STATS:
        close(actual[stat], expected[stat], rel=2e-3 if stat == "param_std" else 1e-4)
    close(global_norm, math.sqrt(sum(n * n for n in expected["grad_norm"])), 1e-5)


def test_both_ways_agree_with_each_other() -> None:
    tables = []
    for kind in KINDS:
        torch.manual_seed(3)
        parameters = parameters_of_all_kinds()
        tables.append(measure(kind, parameters, changes_of(parameters))[1])
    for stat in TENSOR_STATS:
        close(tables[0][stat], tables[1][stat], rel=2e-3 if stat == "param_std" else 1e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_a_parameter_without_gradient_has_norm_zero_even_after_it_had_one(kind: type) -> None:
    parameters = [torch.nn.Parameter(torch.ones(3)), torch.nn.Parameter(torch.ones(2))]
    statistics = make(kind, parameters)
    for parameter in parameters:
        parameter.grad = torch.ones_like(parameter)
    assert float(statistics.before_clip()) == pytest.approx(math.sqrt(5))
    parameters[0].grad = None
    assert float(statistics.before_clip()) == pytest.approx(math.sqrt(2))
    statistics.before_update()
    assert rows_of(statistics)[0].tolist() == pytest.approx([0, math.sqrt(2)])


@pytest.mark.parametrize("kind", KINDS)
def test_a_sparse_gradient_counts_each_row_once_with_its_sum(kind: type) -> None:
    parameter = torch.nn.Parameter(torch.randn(4, 2))
    parameter.grad = torch.sparse_coo_tensor(
        torch.tensor([[1, 1, 3]]), torch.ones(3, 2), (4, 2), check_invariants=False
    )
    global_norm, actual, expected = measure(kind, [parameter], [torch.zeros(4, 2)])
    close(actual["grad_norm"], expected["grad_norm"])
    assert global_norm == pytest.approx(math.sqrt(2 * 4 + 2 * 1))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("bad", [NAN, INF, -INF])
def test_what_is_not_finite_is_counted_and_left_out_of_the_ranges(kind: type, bad: float) -> None:
    weights = torch.nn.Parameter(torch.tensor([1.0, 2.0, 3.0]))
    other = torch.nn.Parameter(torch.ones(2))
    weights.grad, other.grad = torch.tensor([bad, bad, 1.0]), torch.ones(2)
    statistics = make(kind, [weights, other])
    assert not math.isfinite(float(statistics.before_clip()))
    statistics.before_update()
    with torch.no_grad():
        weights[0] = bad
    rows = table_of(statistics)
    assert rows["nonfinite"] == [3, 0]
    assert (rows["param_min"][0], rows["param_max"][0], rows["param_mean"][0]) == (2, 3, 2.5)
    assert not math.isfinite(rows["grad_norm"][0])
    assert rows["grad_norm"][1] == pytest.approx(math.sqrt(2))
    assert not math.isfinite(rows["update_ratio"][0])
    assert rows["update_ratio"][1] == 0


@pytest.mark.parametrize("kind", KINDS)
def test_a_tensor_with_nothing_finite_has_no_range(kind: type) -> None:
    parameter = torch.nn.Parameter(torch.full((2000,), NAN))
    parameter.grad = torch.ones(2000)
    _, actual, _ = measure(kind, [parameter], [torch.zeros(2000)])
    assert all(math.isnan(actual[stat][0]) for stat in ("param_min", "param_max", "param_mean", "param_std"))
    assert actual["nonfinite"] == [2000]


@pytest.mark.parametrize("kind", KINDS)
def test_gradients_whose_squares_overflow_still_have_a_norm(kind: type) -> None:
    parameter = torch.nn.Parameter(torch.ones(4))
    parameter.grad = torch.full((4,), 1e25)
    global_norm, actual, _ = measure(kind, [parameter], [torch.zeros(4)])
    assert global_norm == pytest.approx(2e25)
    assert actual["grad_norm"][0] == pytest.approx(2e25)
    assert actual["nonfinite"] == [0]


@pytest.mark.parametrize("kind", KINDS)
def test_weights_that_fall_to_zero_moved_infinitely_far_beside_their_size(kind: type) -> None:
    parameter = torch.nn.Parameter(torch.ones(4))
    statistics = make(kind, [parameter])
    statistics.before_clip()
    statistics.before_update()
    with torch.no_grad():
        parameter.zero_()
    assert table_of(statistics)["update_ratio"] == [INF]


def test_complex_parameters_are_measured_as_their_real_and_imaginary_parts() -> None:
    for kind in KINDS:
        parameter = torch.nn.Parameter(torch.tensor([3 + 4j]))
        parameter.grad = torch.tensor([3 + 4j])
        statistics = make(kind, [parameter])
        assert float(statistics.before_clip()) == pytest.approx(5)
        statistics.before_update()
        row = rows_of(statistics)[:, 0].tolist()
        assert row[1:4] == [3, 4, 3.5]


def test_many_blocks_make_the_same_statistics_as_one(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(5)
    parameters = parameters_of_all_kinds()
    one = make(DeviceStatistics, parameters)
    monkeypatch.setattr(device_statistics, "BLOCK_VALUES", 2 * device_statistics.SHORTEST_ROW)
    many = make(DeviceStatistics, parameters)
    rows = []
    for statistics in (one, many):
        statistics.before_clip()
        statistics.before_update()
        rows.append(rows_of(statistics))
    close(rows[0], rows[1])


def test_a_model_of_too_many_rows_has_longer_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device_statistics, "MOST_ROWS", 2)
    assert device_statistics.row_length(1) == 1024
    assert device_statistics.row_length(4097) == 4096
    torch.manual_seed(7)
    parameters = parameters_of_all_kinds()
    _, actual, expected = measure(DeviceStatistics, parameters, changes_of(parameters))
    for stat in TENSOR_STATS:
        close(actual[stat], expected[stat], rel=2e-3 if stat == "param_std" else 1e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_measuring_changes_neither_weights_nor_gradients(kind: type) -> None:
    parameters = parameters_of_all_kinds()
    kept = [(p.detach().clone(), p.grad.clone()) for p in parameters if p.grad is not None]
    statistics = make(kind, parameters)
    statistics.before_clip()
    statistics.before_update()
    statistics.after_update()
    for parameter, (weights, gradient) in zip(parameters, kept, strict=True):
        assert torch.equal(parameter, weights)
        assert parameter.grad is not None
        assert torch.equal(parameter.grad, gradient)


def test_parameters_on_several_devices_are_measured_as_on_one() -> None:
    parameters = parameters_of_all_kinds()
    halves = ([0, 3, 4, 6, 9], [1, 2, 5, 7, 8, 10])
    # two names of one device: to the code they are two
    places = dict(zip((torch.device("cpu"), torch.device("cpu", 0)), halves, strict=True))
    split = SplitStatistics(
        {device: (at, make(HostStatistics, [parameters[i] for i in at])) for device, at in places.items()}
    )
    changes = changes_of(parameters)
    before = [p.detach().clone() for p in parameters]
    norm = float(split.before_clip(2.0))
    split.before_update()
    with torch.no_grad():
        for parameter, change in zip(parameters, changes, strict=True):
            parameter.add_(change)
    actual = table_of(split)
    expected = twin_of_update(parameters, before, [p.grad for p in parameters])
    close(norm, math.sqrt(sum(n * n for n in expected["grad_norm"])) / 2, 1e-5)
    close([n * 2 for n in actual["grad_norm"]], expected["grad_norm"], 1e-5)
    for stat in TENSOR_STATS[1:]:
        close(actual[stat], expected[stat], rel=2e-3 if stat == "param_std" else 1e-4)
