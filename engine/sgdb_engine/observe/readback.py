"""Getting a step's values to the host: at once from the CPU, two to four steps late from a GPU, never waiting."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import torch

from sgdb_engine.recording.writer import Recorder


@dataclass(slots=True)
class Row:
    """One step on its way to the recorder."""

    step: int
    wall: float
    monotonic: float
    values: dict[str, float]
    """By column."""
    late: dict[str, torch.Tensor] = field(default_factory=dict)
    """Likewise, 0-d, still on a device."""
    sampled: bool = False
    """Whether inputs, outputs and tensors were measured."""
    tensor_columns: tuple[str, ...] = ()
    tensor_values: torch.Tensor | None = None
    """Float32, one value for each of `tensor_columns`."""


Arrived = Callable[[Row, np.ndarray | None], None]
"""Told each row when its values are complete, and its tensor values."""


class Readback:
    """Hands rows to the recorder in the order of their steps, as soon as their values are on the host."""

    def __init__(self, recorder: Recorder, arrived: Arrived) -> None:
        self._recorder = recorder
        self._arrived = arrived
        self._waiting: deque[tuple[Row, torch.Tensor, torch.cuda.Event]] = deque()

    def take(self, row: Row) -> None:
        """Takes over a finished step; does not wait for its values."""
        device = _device_of(row)
        if device is not None:
            self._waiting.append((row, *_start_copy(row, device)))
            self._record_arrived()
            return
        if self._waiting:  # its values are here, those of an earlier step are not: it must not overtake them
            self.drain()
        self._record(row, row.tensor_values)

    def drain(self) -> None:
        """Waits for what is still on its way; for the end of a run."""
        for _, _, event in self._waiting:
            event.synchronize()
        self._record_arrived()

    def _record_arrived(self) -> None:
        while self._waiting and self._waiting[0][2].query():  # type: ignore[no-untyped-call]
            row, packed, _ = self._waiting.popleft()
            values = packed[: len(row.late)].tolist()
            row.values.update(zip(row.late, values, strict=True))
            self._record(row, packed[len(row.late) :] if row.tensor_values is not None else None)

    def _record(self, row: Row, tensors: torch.Tensor | None) -> None:
        columns, values = tuple(row.values), tuple(row.values.values())
        self._recorder.scalars(columns, row.step, row.wall, row.monotonic, values)
        copied = None
        if tensors is not None:
            copied = np.array(tensors.numpy(), dtype=np.float32)
            self._recorder.tensors(row.tensor_columns, row.step, row.wall, row.monotonic, copied)
        self._arrived(row, copied)


def _device_of(row: Row) -> torch.device | None:
    values = [*row.late.values(), row.tensor_values] if row.late else [row.tensor_values]
    return next((value.device for value in values if value is not None and value.device.type != "cpu"), None)


def _start_copy(row: Row, device: torch.device) -> tuple[torch.Tensor, torch.cuda.Event]:
    """Packs all of a row into one float64 vector and starts one copy to pinned memory."""
    parts = [value.detach().reshape(-1) for value in row.late.values()]
    if row.tensor_values is not None:
        parts.append(row.tensor_values)
    with torch.cuda.device(device):  # an event belongs to the stream of the current device
        packed = torch.cat([part.to(device, torch.float64, non_blocking=True) for part in parts])
        pinned = torch.empty(packed.shape, dtype=torch.float64, pin_memory=True, device="cpu")
        pinned.copy_(packed, non_blocking=True)
        event = torch.cuda.Event()  # type: ignore[no-untyped-call]
        event.record()
    return pinned, event
