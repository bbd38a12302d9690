"""Getting a step's values to the host: at once from the CPU, two to four steps late from a GPU, never waiting."""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch

from sgdb_engine.recording.writer import Recorder


@dataclass(slots=True)
class Row:
    """One step on its way to the recorder. `values` and `late` may still live on a device."""

    step: int
    wall: float
    monotonic: float
    columns: tuple[str, ...]
    values: list[float]
    late_columns: tuple[str, ...] = ()
    late: list[torch.Tensor] = field(default_factory=list)
    """Tensors of which each element is the value of one of `late_columns`, in order."""
    tensor_columns: tuple[str, ...] = ()
    tensor_values: torch.Tensor | None = None


Arrived = Callable[[int, tuple[str, ...], tuple[float, ...], tuple[str, ...], np.ndarray | None], None]
"""Told each row on its way to the recorder: step, columns, values, tensor columns, tensor values."""


class Readback:
    """Hands rows to the recorder in the order of their steps, as soon as their values are on the host."""

    def __init__(self, recorder: Recorder, arrived: Arrived) -> None:
        self._recorder = recorder
        self._arrived = arrived
        self._waiting: deque[tuple[Row, torch.Tensor, torch.cuda.Event]] = deque()

    def take(self, row: Row) -> None:
        """Takes over a finished step; never waits for a device."""
        device_values = [value for value in row.late if value.device.type != "cpu"]
        if not device_values and not self._waiting:
            self._record(row, [value for tensor in row.late for value in _floats(tensor)], row.tensor_values)
            return
        self._waiting.append((row, *_start_copy(row)))
        self._record_arrived()

    def drain(self) -> None:
        """Waits for what is still on its way; for the end of a run."""
        for _, _, event in self._waiting:
            event.synchronize()
        self._record_arrived()

    def _record_arrived(self) -> None:
        while self._waiting and self._waiting[0][2].query():  # type: ignore[no-untyped-call]
            row, packed, _ = self._waiting.popleft()
            late = packed[: len(row.late_columns)].tolist()
            tensors = packed[len(row.late_columns) :].float() if row.tensor_values is not None else None
            self._record(row, late, tensors)

    def _record(self, row: Row, late: Sequence[float], tensors: torch.Tensor | None) -> None:
        columns, scalars = row.columns + row.late_columns, (*row.values, *late)
        self._recorder.scalars(columns, row.step, row.wall, row.monotonic, scalars)
        values = None
        if tensors is not None:
            values = np.array(tensors.numpy(), dtype=np.float32)
            self._recorder.tensors(row.tensor_columns, row.step, row.wall, row.monotonic, values)
        self._arrived(row.step, columns, scalars, row.tensor_columns, values)


def _floats(tensor: torch.Tensor) -> list[float]:
    values = tensor.detach().reshape(-1).tolist()
    return [float(value) for value in values]


def _start_copy(row: Row) -> tuple[torch.Tensor, torch.cuda.Event]:
    """Packs all of a row into one float64 vector and starts one copy to pinned memory."""
    parts = [value.detach().reshape(-1).double() for value in row.late]
    if row.tensor_values is not None:
        parts.append(row.tensor_values.reshape(-1).double())
    device = next((part.device for part in parts if part.device.type != "cpu"), torch.device("cpu"))
    packed = (
        torch.cat([part.to(device, non_blocking=True) for part in parts])
        if parts
        else torch.empty(0).double()
    )
    event = torch.cuda.Event()  # type: ignore[no-untyped-call]
    pinned = torch.empty(packed.shape, dtype=torch.float64, pin_memory=True)
    pinned.copy_(packed, non_blocking=True)
    event.record()
    return pinned, event
