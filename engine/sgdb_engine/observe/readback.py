"""Getting a step's values to the host: at once from the CPU, two to four steps late from a GPU, never waiting."""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from sgdb_engine.observe.landing import Landing
from sgdb_engine.recording.writer import Recorder

Value = float | torch.Tensor
"""A number; on a device it is a 0-d tensor."""


def host_value(value: Any) -> Value:
    """A number of the CPU as a float; one on a device as it is, to be read late.

    Raises:
        RuntimeError: a tensor of several values.
    """
    if not isinstance(value, torch.Tensor):
        return float(value)
    if value.is_cpu:
        return float(value.item())
    return value.detach().reshape(())


def has_values(value: torch.Tensor) -> bool:
    """Not so of what only stands for a tensor: on the meta device, in a trace, or within a function transform."""
    within_transform = torch._C._functorch.is_functorch_wrapped_tensor(value)
    return not (
        value.is_meta or within_transform or type(value).__name__ in ("FakeTensor", "FunctionalTensor")
    )


def has_numbers(value: torch.Tensor) -> bool:
    """It is dense, and holds at least one floating-point number."""
    dense = value.layout == torch.strided and not value.is_nested
    return dense and value.is_floating_point() and value.numel() > 0 and has_values(value)


@dataclass(slots=True)
class Row:
    """One step on its way to the recorder."""

    step: int
    wall: float
    monotonic: float
    values: dict[str, Value]
    """By column."""
    sampled: bool = False
    """Whether inputs, outputs and tensors were measured."""
    tensor_columns: tuple[str, ...] = ()
    tensor_values: torch.Tensor | None = None
    """What `finish` makes one value of for each of `tensor_columns`, and behind them of `late_columns`."""
    finish: Callable[[np.ndarray], np.ndarray] = lambda values: values.astype(np.float32)
    validation: bool = False
    """Whether these are the metrics of an evaluation between two updates."""
    late_columns: tuple[str, ...] = ()
    """Of values that belong to `values`."""


Arrived = Callable[[Row, dict[str, float], np.ndarray | None], None]
"""Told each row when its values are on the host: by column, and those of its tensors."""


@dataclass(slots=True)
class _Copy:
    """Values that a device is copying to the host."""

    row: Row
    late: list[str]
    """The columns that come first in it."""
    landing: Landing
    """Both, in one vector."""


class Readback:
    """Hands rows to the recorder in the order of their steps, as soon as their values are on the host."""

    def __init__(self, recorder: Recorder, arrived: Arrived) -> None:
        self._recorder = recorder
        self._arrived = arrived
        self._copies: deque[_Copy] = deque()

    def take(self, row: Row) -> None:
        """Takes over a finished step; does not wait for its values."""
        _wait_for_other_devices(row)
        late = [name for name, value in row.values.items() if type(value) is not float]
        if late or not (row.tensor_values is None or row.tensor_values.is_cpu):
            self._copies.append(_Copy(row, late, Landing([packed(row, late)])))
            self._record_arrived()
            return
        if self._copies:  # its values are here, those of an earlier step are not: it must not overtake them
            self.drain()
        self._record(row, None if row.tensor_values is None else row.tensor_values.numpy())

    def drain(self) -> None:
        """Waits for what is still on its way; for the end of a run."""
        self._record_arrived(wait=True)

    def _record_arrived(self, *, wait: bool = False) -> None:
        while self._copies and (wait or self._copies[0].landing.is_here):
            copy = self._copies.popleft()
            row, late = copy.row, len(copy.late)
            (packed_values,) = copy.landing.arrays()
            row.values.update(zip(copy.late, packed_values[:late].tolist(), strict=True))
            self._record(row, packed_values[late:] if row.tensor_values is not None else None)

    def _record(self, row: Row, tensors: np.ndarray | None) -> None:
        values: dict[str, float] = row.values  # type: ignore[assignment]  # they have all become numbers
        copied = None
        if tensors is not None:
            finished, count = row.finish(tensors), len(row.tensor_columns)
            copied = finished[:count].astype(np.float32, copy=False)
            values.update(zip(row.late_columns, finished[count:].tolist(), strict=True))
        if values:
            self._recorder.scalars(tuple(values), row.step, row.wall, row.monotonic, tuple(values.values()))
        if copied is not None:
            self._recorder.tensors(row.tensor_columns, row.step, row.wall, row.monotonic, copied)
        self._arrived(row, values, copied)


def _wait_for_other_devices(row: Row) -> None:
    """Only those of CUDA can be read late."""
    for name, value in row.values.items():
        if isinstance(value, torch.Tensor) and not value.is_cuda:
            row.values[name] = float(value.item())
    if row.tensor_values is not None and not row.tensor_values.is_cuda:
        row.tensor_values = row.tensor_values.cpu()


def packed(row: Row, late: Sequence[str]) -> torch.Tensor:
    """The values of these columns and all of the tensors', in one float64 vector on the device of the first."""
    parts = [torch.as_tensor(row.values[name]).reshape(1) for name in late]
    if row.tensor_values is not None:
        parts.append(row.tensor_values)
    device = next((part.device for part in parts if not part.is_cpu), torch.device("cpu"))
    return torch.cat([part.to(device, torch.float64, non_blocking=True) for part in parts])
