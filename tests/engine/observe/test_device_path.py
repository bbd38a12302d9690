"""What is measured on a device: in few launches, with the same values as on the host. Here the device is the CPU."""

import math
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils._python_dispatch import TorchDispatchMode

from sgdb_engine.observe import device_statistics, measurements
from sgdb_engine.observe.device_statistics import DeviceStatistics, copies_of, flat_values, pack
from sgdb_engine.observe.hooks import observe
from sgdb_engine.observe.measurements import CallRanges, UpdateMeasurements
from sgdb_engine.observe.parameters import TENSOR_STATS
from sgdb_engine.observe.readback import Row, packed

from .conftest import Bench
from .test_statistics import TENSORS, close, twin_of_ranges

NAN, INF = math.nan, math.inf
CPU = torch.device("cpu")
MOST_LAUNCHES = 25


def nowhere(tensor: torch.Tensor) -> bool:
    return False


@contextmanager
def as_on_a_device() -> Iterator[None]:
    """All tensors are taken for such of a device."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sgdb_engine.observe.measurements.on_host", nowhere)
        patch.setattr("sgdb_engine.observe.parameters.on_host", nowhere)
        yield


# -- launches ---------------------------------------------------------------------------------------------

NO_LAUNCH = (
    *("as_strided", "detach", "empty", "expand", "permute", "select", "slice"),
    *("split", "unbind", "unsqueeze", "view"),
)
REDUCTIONS = ("aten::linalg_vector_norm", "aten::sum")


class Launches(TorchDispatchMode):
    """Counts the launches of a CUDA device by operation, as PyTorch 2.13 makes them.

    A reduction casts what it reads if the type is another one; `_foreach_copy_` copies one by one what differs in type
    or strides. It is split where the arguments of a kernel would not hold it: there are 448 pairs of tensors and 2240
    chunks of 65536 values for each launch, 64 and 320 in builds for CUDA 12 (MultiTensorApply.cuh).
    """

    def __init__(self, pairs: int = 448, chunks: int = 2240) -> None:
        super().__init__()
        self.by_operation: Counter[str] = Counter()
        self._pairs, self._chunks = pairs, chunks

    @property
    def count(self) -> int:
        return self.by_operation.total()

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = function._schema.name
        if name == "aten::_foreach_copy_":
            self.by_operation[name] += self._of_copies(*args)
        elif not any(view in name for view in NO_LAUNCH):
            self.by_operation[name] += 1
        dtype = (kwargs or {}).get("dtype")
        if name in REDUCTIONS and dtype not in (None, args[0].dtype):
            self.by_operation["cast of a reduction"] += 1
        return function(*args, **(kwargs or {}))

    def _of_copies(self, rooms: list[torch.Tensor], sources: list[torch.Tensor]) -> int:
        alike = len({source.dtype for source in sources}) == 1
        if not alike or any(a.stride() != b.stride() for a, b in zip(rooms, sources, strict=True)):
            return len(rooms)
        chunks = sum(-(-source.numel() // 65536) for source in sources)
        return max(-(-len(rooms) // self._pairs), -(-chunks // self._chunks))


class Step:
    """Of a model of eighty tensors, and what is measured of it."""

    def __init__(self, x: torch.Tensor, shape: tuple[int, ...] = (48, 32)) -> None:
        self.parameters = [torch.nn.Parameter(torch.randn(shape)) for _ in range(80)]
        for parameter in self.parameters:
            parameter.grad = torch.randn_like(parameter)
        self.x, self.output, self.loss = x, torch.randn(16, 10), torch.tensor(1.0)
        self.calls = CallRanges()
        self.update = UpdateMeasurements(lambda parameters: [str(i) for i, _ in enumerate(parameters)])
        self.update.follow(self.parameters)

    def measure(self) -> torch.Tensor:
        """Everything, in the order of a step; returns what is copied to the host."""
        self.calls.begin()
        self.update.begin()
        self.calls.read(0, self.x, self.output)
        self.update.read_gradients()
        self.update.keep_weights()
        self.update.read_weights(self.calls)
        self.calls.measure_kept()
        assert self.update.grad_norm is not None
        values = {
            "lr": 0.1,
            "train/loss": self.loss,
            "grad_norm": self.update.grad_norm,
            **self.calls.columns(),
        }
        row = Row(1, 0.0, 0.0, values, tensor_values=self.update.tensors)
        return packed(row, [name for name, value in values.items() if isinstance(value, torch.Tensor)])

    def launches(self, counted: Launches) -> int:
        """With the copy to the host, when the buffers have been made."""
        with as_on_a_device():
            self.measure()
            with counted:
                self.measure()
        return counted.count + 1


INPUTS = {"of numbers": torch.randn(16, 32), "of tokens": torch.randint(0, 50000, (16, 32))}


@pytest.mark.parametrize("name", INPUTS)
def test_a_step_of_eighty_tensors_with_its_input_output_and_loss_takes_at_most_25_launches(name: str) -> None:
    counted = Launches()
    assert Step(INPUTS[name]).launches(counted) <= MOST_LAUNCHES, counted.by_operation


def test_it_takes_as_many_where_cuda_12_launches_copies_twice() -> None:
    counted = Launches(pairs=64, chunks=320)
    assert Step(INPUTS["of numbers"]).launches(counted) <= MOST_LAUNCHES, counted.by_operation


def test_an_input_of_another_shape_in_each_step_takes_no_more() -> None:
    step, counted = Step(INPUTS["of numbers"]), Launches()
    with as_on_a_device():
        step.measure()
        step.x = torch.randn(7, 32)
        with counted:
            step.measure()
    assert counted.count + 1 <= MOST_LAUNCHES, counted.by_operation


def test_memory_of_another_order_is_not_copied_first() -> None:
    images = torch.randn(2, 3, 8, 8).to(memory_format=torch.channels_last)
    for tensor in (images, torch.randn(4, 5).t(), torch.randn(3, 4)):
        assert flat_values(tensor).data_ptr() == tensor.data_ptr()
        assert sorted(flat_values(tensor).tolist()) == sorted(tensor.flatten().tolist())


def test_tensors_of_several_types_take_a_launch_for_each_type() -> None:
    sources = [torch.randn(3).to(kind) for kind in (torch.float32, torch.bfloat16) * 5]
    rooms = [torch.empty(3) for _ in sources]
    with Launches() as launches:
        pack(zip(rooms, sources, strict=True))
    assert launches.count == 2
    assert all(torch.equal(room, source.float()) for room, source in zip(rooms, sources, strict=True))


# -- what is measured along with the weights --------------------------------------------------------------


def measured_along(statistics: DeviceStatistics, tensors: list[torch.Tensor]) -> np.ndarray:
    """[tensors × ranges]."""
    copies = copies_of(tensors)
    statistics.before_clip()
    statistics.before_update()
    numbers = statistics.after_update(copies).numpy()
    finished = statistics.finish(numbers, [copy.numel() for copy in copies])
    return finished[len(TENSOR_STATS) * 2 :].reshape(len(tensors), 5)


def two_weights() -> DeviceStatistics:
    parameters = [torch.nn.Parameter(torch.randn(1500)), torch.nn.Parameter(torch.randn(3))]
    for parameter in parameters:
        parameter.grad = torch.randn_like(parameter)
    return DeviceStatistics(parameters, [1.0, 1.0])


@pytest.mark.parametrize("name", TENSORS)
def test_the_ranges_of_what_is_measured_along_are_those_of_a_slow_twin(name: str) -> None:
    others = [torch.randn(2000), TENSORS[name], torch.randn(3)]
    found = measured_along(two_weights(), others)
    for ranges, tensor in zip(found, others, strict=True):
        close(ranges, twin_of_ranges(tensor), 1e-5, 1e-45 if name == "tiny" else 1e-7)


def test_smallest_and_largest_token_are_exact() -> None:
    tokens = torch.tensor([2**24, 1, 2**24 - 1])
    assert measured_along(two_weights(), [tokens])[0, :2].tolist() == [1, 2**24]


@given(st.integers(1, 5000), st.floats(-1e6, 1e6, width=32))
@settings(max_examples=50, deadline=None)
def test_a_constant_has_no_spread(count: int, value: float) -> None:
    assert measured_along(two_weights(), [torch.full((count,), value)])[0, 3] == 0


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(width=32, allow_subnormal=False), max_size=30))
def test_whatever_the_values_the_ranges_are_those_of_the_twin(values: list[float]) -> None:
    tensor = torch.tensor(values)
    scale = max((abs(v) for v in values if math.isfinite(v)), default=0.0) * 1e-6
    close(measured_along(two_weights(), [tensor])[0], twin_of_ranges(tensor), 1e-6, scale)


def test_a_small_spread_about_a_large_mean_keeps_its_digits() -> None:
    tensor = 1000 + torch.randn(5000) * 0.01
    close(measured_along(two_weights(), [tensor])[0], twin_of_ranges(tensor), 1e-5)


@pytest.mark.parametrize("block", [2048, 2**26])
def test_what_is_measured_along_changes_nothing_of_the_weights(
    block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(device_statistics, "BLOCK_VALUES", block)
    statistics, tables = two_weights(), []
    for sizes in ((), (5000,), (3, 4000), (3, 4000), (1,), ()):
        others = [torch.randn(size) for size in sizes]
        statistics.before_clip()
        statistics.before_update()
        finished = statistics.finish(statistics.after_update(copies_of(others)).numpy(), list(sizes))
        tables.append(finished[: len(TENSOR_STATS) * 2])
        for i, other in enumerate(others):
            close(finished[len(TENSOR_STATS) * 2 :][5 * i : 5 * i + 5], twin_of_ranges(other))
    for table in tables:
        np.testing.assert_array_equal(table, tables[0])


# -- of calls ---------------------------------------------------------------------------------------------


def columns_of(calls: CallRanges) -> dict[str, list[float]]:
    found: dict[str, list[float]] = {}
    for column, value in calls.columns().items():
        found.setdefault(column.rpartition("/")[0], []).append(float(value))
    return found


@pytest.fixture
def calls() -> Iterator[CallRanges]:
    with as_on_a_device():
        yield CallRanges()


def test_a_call_is_measured_as_it_was_also_when_its_tensors_are_overwritten(calls: CallRanges) -> None:
    x, y = torch.randn(5), torch.randn(5)
    expected = {"input": twin_of_ranges(x), "output": twin_of_ranges(y)}
    calls.read(0, x, y)
    x.zero_()
    y.fill_(NAN)
    found = columns_of(calls)
    for place, ranges in expected.items():
        close(found[place], ranges)


def test_the_last_one_of_several_calls_counts_and_each_model_has_its_own(calls: CallRanges) -> None:
    calls.prefix_of = {1: "", 2: "critic.", 3: None}.__getitem__
    calls.read(1, torch.zeros(3), torch.zeros(3))
    calls.read(1, torch.ones(3), torch.ones(3))
    calls.read(2, torch.full((3,), 2.0), torch.full((3,), 2.0))
    calls.read(3, torch.full((3,), 3.0), torch.full((3,), 3.0))
    taken = calls.take_kept(CPU)
    means = {place: copy.mean().item() for place, copy in taken.items()}
    assert means == {"input": 1, "output": 1, "critic.input": 2, "critic.output": 2}
    assert calls.columns() == {}


def test_what_lies_on_another_device_than_the_weights_is_measured_by_itself(calls: CallRanges) -> None:
    x = torch.randn(5)
    calls.read(0, x, None)
    assert calls.take_kept(torch.device("cuda", 1)) == {}
    close(columns_of(calls)["input"], twin_of_ranges(x))


def test_what_is_too_large_to_be_kept_is_measured_at_once(
    calls: CallRanges, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(measurements, "MOST_KEPT", 15)
    x, y, z = torch.randn(10), torch.randn(10), torch.randn(5)
    calls.read(0, x, [y, z])
    assert set(calls.take_kept(CPU)) == {"input", "output.1"}
    close(columns_of(calls)["output.0"], twin_of_ranges(y))


# -- of whole trainings -----------------------------------------------------------------------------------


class Adversaries:
    """Two models and two optimizers; the second one completes no step."""

    def __init__(self) -> None:
        self.generator, self.critic = Bench(lr=0.01), Bench(torch.nn.Linear(1, 1), lr=0.01)

    def step(self, count: int) -> None:
        for _ in range(count):
            for bench in (self.generator, self.critic):
                bench.optimizer.zero_grad()
                self.critic.model(self.generator.model(self.generator.x)).mean().backward()
                bench.optimizer.step()


@pytest.mark.parametrize("training", [Bench, Adversaries])
def test_a_training_has_the_same_rows_as_on_the_host(recorded: Any, training: Any) -> None:
    rows = []
    for on_device in (False, True):
        recorded.__init__()
        torch.manual_seed(0)
        trained = training()
        with as_on_a_device() if on_device else pytest.MonkeyPatch.context(), observe(recorded, budget=1.0):
            trained.step(5)
        assert recorded.failed_probes == []
        rows.append((recorded.rows, recorded.tensor_rows))
    (host, host_tensors), (device, device_tensors) = rows
    assert [set(row) for row in device] == [set(row) for row in host]
    assert any("input/std" in row for row in device)
    for a, b in zip(host, device, strict=True):
        for column in a:
            if not column.startswith("time/"):
                assert b[column] == pytest.approx(a[column], rel=1e-4, abs=1e-6), column
    assert device_tensors.keys() == host_tensors.keys()
    for step, tensors in host_tensors.items():
        assert device_tensors[step] == pytest.approx(tensors, rel=1e-4, abs=1e-6)


def broken(*args: object) -> None:
    raise MemoryError


def test_inputs_and_outputs_are_measured_also_where_the_statistics_of_the_weights_fail(
    recorded: Any, bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(UpdateMeasurements, "read_weights", broken)
    with as_on_a_device(), observe(recorded, budget=1.0):
        bench.step(3)
    assert recorded.failed_probes == ["statistics"]
    assert recorded.column("input/mean") == pytest.approx([bench.x.mean().item()] * 3)
    assert len(recorded.column("output/std")) == 3


def test_what_fails_where_they_are_measured_by_themselves_costs_no_row(
    recorded: Any, bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(UpdateMeasurements, "read_weights", broken)
    monkeypatch.setattr(measurements, "device_ranges", broken)
    with as_on_a_device(), observe(recorded, budget=1.0):
        bench.step(3)
    assert recorded.failed_probes == ["statistics", "ranges"]
    assert len(recorded.column("train/loss")) == 3
    assert recorded.column("input/mean") == []
