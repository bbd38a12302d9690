"""The recorder: the training thread appends to a deque, a thread of its own brings it to the run folder."""

import os
import threading
import time
import weakref
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import msgspec

from sgdb_engine.events import AnyEvent
from sgdb_engine.recording.backlog import Backlog
from sgdb_engine.recording.event_log import encode_event
from sgdb_engine.recording.json_records import Rewind
from sgdb_engine.recording.segments import SEGMENT_BYTES, Record
from sgdb_engine.text import clean

if TYPE_CHECKING:
    from sgdb_engine.recording.encoder import (
        Encoder,
        Queued,
        QueuedBlock,
        QueuedPicture,
        QueuedScalars,
        QueuedTensors,
    )
    from sgdb_engine.recording.payloads import Float32Array
    from sgdb_engine.recording.pictures import Picture

_PERIOD_S = 0.05
_SYNC_EVERY_S = 1.0
_QUEUE_LENGTH = 2**17
"""Rows that may wait for the recorder's thread; beyond, the oldest are lost and a gap is recorded."""
_TENSOR_BYTES_WAITING = 64 * 2**20

_QueuedEvent = tuple[Literal["event"], AnyEvent, float]

_recorders: "weakref.WeakSet[Recorder]" = weakref.WeakSet()


class Recorder:
    """Writes a run folder's metric log and events; nothing in it raises into or blocks the training."""

    def __init__(
        self,
        folder: Path,
        *,
        segment_bytes: int = SEGMENT_BYTES,
        backlog_bytes: int = 64 * 2**20,
        rank: int = 0,
    ) -> None:
        self._queue: deque[Queued | _QueuedEvent | threading.Event] = deque(maxlen=_QUEUE_LENGTH)
        self._backlog = Backlog(folder, segment_bytes, backlog_bytes, rank)
        self._encoder: Encoder | None = None  # it needs numpy, which the user's code may want to set up first
        self._failure = ""
        self._tensor_bytes_appended = 0
        self._tensor_bytes_taken = 0
        self._last_step = -1
        self._synced_at = time.monotonic()
        self._wake = threading.Event()
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="sgdb-recorder", daemon=True)
        _recorders.add(self)
        self._thread.start()

    @property
    def problem(self) -> str:
        """What keeps records from the disk, in words; empty if nothing does."""
        return self._backlog.problem or (self._encoder.problem if self._encoder else "") or self._failure

    def scalars(
        self, columns: tuple[str, ...], step: int, wall: float, monotonic: float, values: Sequence[float]
    ) -> None:
        """Records one row and takes over `values`; wall and monotonic in seconds. One append, at any time."""
        self._queue.append(("scalars", columns, step, wall, monotonic, values))

    def block(
        self, columns: tuple[str, ...], rows: Sequence[Sequence[float]], wall: float, monotonic: float
    ) -> None:
        """Records rows (step, moment, values…) and takes them over.

        `wall` and `monotonic` are added to the moments, seconds of whatever clock, to give those times.
        """
        self._queue.append(("block", columns, rows, wall, monotonic))

    def tensors(
        self, columns: tuple[str, ...], step: int, wall: float, monotonic: float, values: "Float32Array"
    ) -> None:
        """Records one sampling, float32 (len(columns),), and takes it over; columns are "<stat>/<tensor>"."""
        if self._tensor_bytes_appended - self._tensor_bytes_taken < _TENSOR_BYTES_WAITING:
            self._tensor_bytes_appended += 4 * len(columns)
            self._queue.append(("tensors", columns, step, wall, monotonic, values))

    def picture(self, picture: "Picture") -> None:
        """Records a picture; readers show the newest of each type."""
        self._queue.append(("picture", picture, picture.step))

    def event(self, event: AnyEvent) -> None:
        """Records an event, stamped with the time now if it has none."""
        self._queue.append(("event", event, time.time()))

    def rewind(self, step: int) -> None:
        """Records that the training went back to this step: what it has of later steps does not count."""
        self._queue.append(Rewind(step))

    def flush(self, timeout_s: float = 5.0) -> bool:
        """Whether all that was recorded before this call is on the disk, within this time."""
        if self._closing:
            return False
        done = threading.Event()
        self._queue.append(done)
        self._wake.set()
        return done.wait(timeout_s) and not (self._backlog.problem or self._failure)

    def close(self, timeout_s: float = 5.0) -> None:
        """Writes what waits, as far as this time allows, and stops; what comes later is dropped."""
        if self._thread.is_alive():
            self._closing = True
            self._wake.set()
            self._thread.join(timeout_s)
        self._queue = deque(maxlen=0)

    def _run(self) -> None:
        closing = False
        while not closing:
            self._wake.wait(_PERIOD_S)
            self._wake.clear()
            closing = self._closing  # read first: what was recorded before close() is still written
            try:
                self._round(closing)
            except Exception as error:  # whatever is wrong with us, the training goes on
                self._failure = f"recording failed: {type(error).__name__}: {clean(str(error))}"
        self._backlog.close()

    def _round(self, closing: bool) -> None:
        rows, lines, waiting = self._take()
        try:
            self._backlog.add(self._encoded(rows), lines)
            self._backlog.write(at_once=closing or bool(waiting))
            if waiting or time.monotonic() - self._synced_at >= _SYNC_EVERY_S:
                self._backlog.sync()
                self._synced_at = time.monotonic()
        finally:
            for done in waiting:
                done.set()

    def _encoded(self, rows: "list[Queued]") -> list[Record]:
        if not rows:
            return []
        if self._encoder is None:
            from sgdb_engine.recording.encoder import Encoder

            self._encoder = Encoder()
        return self._encoder.encode(rows)

    def _take(self) -> tuple["list[Queued]", list[bytes], list[threading.Event]]:
        """What was queued until now: rows and rewinds, lines of events, who waits for a flush."""
        queue = self._queue
        overflowed = len(queue) == queue.maxlen
        rows: list[Queued] = []
        lines: list[bytes] = []
        waiting: list[threading.Event] = []
        for _ in range(len(queue)):
            item = queue.popleft()
            if isinstance(item, threading.Event):
                waiting.append(item)
            elif isinstance(item, Rewind):
                rows.append(item)
            elif item[0] == "event":
                lines += self._line(item[1], item[2])
            else:
                rows.append(item)
        self._note_steps(rows, overflowed)
        return rows, lines, waiting

    def _line(self, event: AnyEvent, now: float) -> list[bytes]:
        try:
            return [encode_event(event if event.wall else msgspec.structs.replace(event, wall=now))]
        except (TypeError, ValueError, AttributeError) as error:
            self._failure = f"an event could not be recorded: {clean(str(error))}"
            return []

    def _note_steps(self, rows: "list[Queued]", overflowed: bool) -> None:
        steps = [_first_step(row) for row in rows if not isinstance(row, Rewind)]
        if steps and overflowed:
            self._backlog.note_gap(
                self._last_step + 1, max(steps[0] - 1, self._last_step + 1), "the disk stood still"
            )
        self._last_step = steps[-1] if steps else self._last_step
        self._tensor_bytes_taken += sum(
            4 * len(row[1]) for row in rows if not isinstance(row, Rewind) and row[0] == "tensors"
        )


def _first_step(row: "QueuedScalars | QueuedTensors | QueuedBlock | QueuedPicture") -> int:
    return int(row[2][0][0]) if row[0] == "block" else row[2]


def _switch_off_in_child() -> None:
    """A forked child has no recorder thread, and the files are its parent's: its records go nowhere."""
    for recorder in list(_recorders):
        recorder._queue = deque(maxlen=0)
        recorder._wake = threading.Event()
        recorder._closing = True


os.register_at_fork(after_in_child=_switch_off_in_child)
