"""The metric log as its writer sees it: numbered segments, each with the schemas that its rows need."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from sgdb_engine.recording.files import AppendFile, open_regular
from sgdb_engine.recording.folder import segment_prefix
from sgdb_engine.recording.frames import MAX_FRAME, encode_frame, scan
from sgdb_engine.recording.json_records import SCHEMA, Schema, encode_json

SEGMENT_BYTES = 64 * 2**20
_SUFFIX = ".log"
_CHUNK_BYTES = 256 * 2**10


class Record(NamedTuple):
    """A payload that waits to be written, with the schema it needs and the steps it covers."""

    kind: int
    payload: bytes
    schema: Schema | None
    first_step: int
    last_step: int


def segment_path(folder: Path, number: int, rank: int = 0) -> Path:
    """The file of this segment of a rank."""
    return folder / f"{segment_prefix(rank)}{number:05d}{_SUFFIX}"


def segment_numbers(folder: Path, rank: int = 0) -> list[int]:
    """The numbers of the segments of a rank that are there, in order."""
    try:
        names = [path.name for path in folder.iterdir()]
    except OSError:
        return []
    prefix = segment_prefix(rank)
    kept = [n[len(prefix) : -len(_SUFFIX)] for n in names if n.startswith(prefix) and n.endswith(_SUFFIX)]
    return sorted(int(n) for n in kept if n.isascii() and n.isdigit() and len(n) >= 5)


class SegmentWriter:
    """Appends records to the newest segment, behind its last whole record. One writer a rank."""

    def __init__(self, folder: Path, segment_bytes: int = SEGMENT_BYTES, rank: int = 0) -> None:
        """Opens the newest segment, or makes the first; raises OSError."""
        self._folder = folder
        self._rank = rank
        self._segment_bytes = segment_bytes
        numbers = segment_numbers(folder, rank)
        ends = [_end_of(segment_path(folder, number, rank)) for number in numbers[-2:]]
        self._seq = max((next_seq for _, next_seq in ends), default=0)
        self._number = numbers[-1] if numbers else 0
        self._file = AppendFile(segment_path(folder, self._number, rank), ends[-1][0] if ends else 0)
        self._schemas: set[int] = set()

    def append(self, records: Sequence[Record]) -> int:
        """Writes records in order and returns how many, one chunk at least; raises OSError if that fails."""
        if self._file.offset >= self._segment_bytes:
            self._rotate()
        chunk: list[bytes] = []
        size = written = 0
        seq, schemas = self._seq, set(self._schemas)
        for record in records:
            frames = self._frames(record, seq, schemas)
            seq += len(frames)
            chunk += frames
            written += 1
            size += sum(map(len, frames))
            if size >= min(_CHUNK_BYTES, self._segment_bytes - self._file.offset):
                break
        self._file.append(b"".join(chunk))
        self._seq, self._schemas = seq, schemas
        return written

    def sync(self) -> None:
        """Waits until all is on the disk; raises OSError."""
        self._file.sync()

    def close(self) -> None:
        """Lets go of the segment."""
        self._file.close()

    def _frames(self, record: Record, seq: int, schemas: set[int]) -> list[bytes]:
        frames = []
        if record.schema is not None and record.schema.id not in schemas:
            schemas.add(record.schema.id)
            names = encode_json(record.schema)
            # Twice, so that damage to one record never takes all rows of the segment with it.
            frames = [encode_frame(seq + copy, SCHEMA, names) for copy in range(2)]
        return [*frames, encode_frame(seq + len(frames), record.kind, record.payload)]

    def _rotate(self) -> None:
        self._file.sync()
        following = AppendFile(segment_path(self._folder, self._number + 1, self._rank), 0)
        self._file.close()
        self._file = following
        self._number += 1
        self._schemas = set()


def _end_of(path: Path) -> tuple[int, int]:
    """Where the last whole record ends, and the sequence number that follows the highest."""
    end = position = next_seq = 0
    with os.fdopen(open_regular(path), "rb") as file:
        while True:
            file.seek(position)
            buffer = file.read(2 * MAX_FRAME)
            found = scan(buffer, final=False)
            if found.frames:
                next_seq = max(next_seq, max(f.seq for f in found.frames) + 1)
                end = position + found.consumed
            if not found.consumed:
                return end, next_seq
            position += found.consumed
