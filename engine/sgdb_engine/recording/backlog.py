"""What waits for the disk, bounded: tried again while the disk is full or gone, never lost in silence."""

import time
from collections import deque
from collections.abc import Iterable
from pathlib import Path

from sgdb_engine.recording.event_log import EventWriter
from sgdb_engine.recording.json_records import GAP, REWIND, Gap, encode_json
from sgdb_engine.recording.segments import Record, SegmentWriter
from sgdb_engine.text import clean

_RETRY_EVERY_S = 0.5
_MAX_EVENTS = 10_000


class Backlog:
    """Records and event lines on their way to a run folder; `problem` says in words why they wait."""

    def __init__(self, folder: Path, segment_bytes: int, max_bytes: int, rank: int = 0) -> None:
        self.problem = ""
        self._rank = rank
        self._folder = folder
        self._segment_bytes = segment_bytes
        self._max_bytes = max_bytes
        self._records: deque[Record] = deque()
        self._bytes = 0
        self._gap: Gap | None = None
        self._lines: deque[bytes] = deque(maxlen=_MAX_EVENTS)
        self._segments: SegmentWriter | None = None
        self._events: EventWriter | None = None
        self._retry_at = 0.0
        self._unsynced = False

    def add(self, records: Iterable[Record], event_lines: Iterable[bytes]) -> None:
        """Takes records and events in; the oldest rows make room if there is none, and leave a gap record."""
        for record in records:
            self._records.append(record)
            self._bytes += len(record.payload)
        if self._bytes > self._max_bytes:
            self._drop_oldest()
        self._lines.extend(event_lines)

    def note_gap(self, first_step: int, last_step: int, reason: str) -> None:
        """Rows of these steps are lost; a gap record will say so."""
        if self._gap is not None:
            first_step, last_step = min(first_step, self._gap.first_step), max(last_step, self._gap.last_step)
        self._gap = Gap(first_step, last_step, reason)

    def write(self, at_once: bool = False) -> None:
        """Brings to the files what can be brought; after a failure not before a while, unless `at_once`."""
        if not (self._records or self._lines or self._gap):
            return
        if self.problem and not at_once and time.monotonic() < self._retry_at:
            return
        failures = []
        for write in (self._write_lines, self._write_records):
            try:
                write()
            except OSError as error:
                failures.append(error)
        self.problem = ""
        for failure in failures:
            self._tell(failure)

    def sync(self) -> None:
        """Waits until what was written is on the disk."""
        if not self._unsynced:
            return
        try:
            for file in (self._segments, self._events):
                if file is not None:
                    file.sync()
            self._unsynced = False
        except OSError as error:
            self._tell(error)

    def close(self) -> None:
        """Lets go of the files."""
        self.sync()
        for file in (self._segments, self._events):
            if file is not None:
                file.close()
        self._segments = self._events = None

    def _write_lines(self) -> None:
        if self._lines:
            if self._events is None:
                self._events = EventWriter(self._folder, self._rank)
            self._events.append(b"".join(self._lines))
            self._unsynced = True
            self._lines.clear()

    def _write_records(self) -> None:
        if not (self._records or self._gap):
            return
        if self._segments is None:
            self._segments = SegmentWriter(self._folder, self._segment_bytes, self._rank)
        self._unsynced = True
        if self._gap is not None:
            self._segments.append([Record(GAP, encode_json(self._gap), None, 0, 0)])
            self._gap = None
        while self._records:
            written = self._segments.append(self._records)
            for _ in range(written):
                self._bytes -= len(self._records.popleft().payload)

    def _drop_oldest(self) -> None:
        kept = []
        while self._bytes > self._max_bytes and self._records:
            record = self._records.popleft()
            if record.kind == REWIND:
                kept.append(record)
                continue
            self._bytes -= len(record.payload)
            self.note_gap(record.first_step, record.last_step, "the disk took no records for too long")
        self._records.extendleft(reversed(kept))

    def _tell(self, error: OSError) -> None:
        self._retry_at = time.monotonic() + _RETRY_EVERY_S
        waiting = len(self._records) + len(self._lines)
        why = error.strerror or clean(str(error))
        self.problem = f"{self._folder}: {why}; {waiting} records wait ({self._bytes / 2**20:.1f} MiB)"
