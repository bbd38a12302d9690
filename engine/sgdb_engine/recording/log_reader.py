"""The metric log as a reader sees it: follows the segments, a bounded part at a time."""

import os
from pathlib import Path
from typing import NamedTuple

from sgdb_engine.recording.decoder import Decoded, Decoder
from sgdb_engine.recording.files import open_regular
from sgdb_engine.recording.frames import MAX_FRAME, scan
from sgdb_engine.recording.segments import segment_numbers, segment_path


class LogPart(NamedTuple):
    """What a poll found."""

    records: list[Decoded]
    missing: int
    """Records that damage took."""
    at_end: bool


class LogReader:
    """Follows the segments of one rank in a run folder. No error on damage, no link followed."""

    def __init__(self, folder: Path, rank: int = 0) -> None:
        self._folder = folder
        self._rank = rank
        self._number = -1
        self._offset = 0
        self._decoder = Decoder()

    def poll(self, max_bytes: int) -> LogPart:
        """The records that follow."""
        later = [n for n in segment_numbers(self._folder, self._rank) if n > self._number]
        if self._number < 0:
            if not later:
                return LogPart([], 0, True)
            self._number = later.pop(0)
        # Listed before it is read: once a later segment is there, nothing is added to this one.
        buffer, at_end = self._read(max_bytes)
        found = scan(buffer, final=at_end and bool(later))
        if not found.consumed and not at_end:
            buffer, at_end = self._read(2 * MAX_FRAME)
            found = scan(buffer, final=at_end and bool(later))
        self._offset += found.consumed
        if at_end and later:
            self._number, self._offset = later[0], 0
        missing_before = self._decoder.missing
        records = self._decoder.decode(found.frames)
        return LogPart(records, self._decoder.missing - missing_before, at_end and not later)

    def _read(self, max_bytes: int) -> tuple[bytes, bool]:
        try:
            with os.fdopen(open_regular(segment_path(self._folder, self._number, self._rank)), "rb") as file:
                size = os.fstat(file.fileno()).st_size
                if size < self._offset:  # cut back behind damage; the sequence numbers tell what is known
                    self._offset = 0
                file.seek(self._offset)
                buffer = file.read(max_bytes)
        except OSError:
            return b"", True
        return buffer, self._offset + len(buffer) >= size
