"""The metric log as a reader sees it: follows the segments, passes over damage, counts what is missing."""

import os
from pathlib import Path
from typing import NamedTuple

from sgdb_engine.recording.files import open_regular
from sgdb_engine.recording.frames import MAX_FRAME, Frame, scan
from sgdb_engine.recording.payloads import (
    GAP,
    MAX_COLUMNS,
    REWIND,
    SCALARS,
    SCHEMA,
    TENSORS,
    Gap,
    Rewind,
    ScalarRows,
    SchemaKind,
    TensorRow,
    decode_gap,
    decode_rewind,
    decode_scalars,
    decode_schema,
    decode_tensors,
    schema_id_of,
)
from sgdb_engine.recording.segments import segment_numbers, segment_path
from sgdb_engine.text import clean

Decoded = ScalarRows | TensorRow | Gap | Rewind
_KNOWN_KINDS = (SCALARS, TENSORS, GAP, REWIND)


class LogPart(NamedTuple):
    """What a poll found."""

    records: list[Decoded]
    missing: int
    """Records that damage took."""
    at_end: bool


class LogReader:
    """Follows the segments of one run folder, a bounded part at each poll. No error on damage."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._number = -1
        self._offset = 0
        self._next_seq = 0
        self._schemas = _Schemas()

    def poll(self, max_bytes: int) -> LogPart:
        """The records that follow."""
        later = [n for n in segment_numbers(self._folder) if n > self._number]
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
        records, missing = self._decode(found.frames)
        return LogPart(records, missing, at_end and not later)

    def _read(self, max_bytes: int) -> tuple[bytes, bool]:
        try:
            with os.fdopen(open_regular(segment_path(self._folder, self._number)), "rb") as file:
                size = os.fstat(file.fileno()).st_size
                if size < self._offset:  # cut back behind damage; the sequence numbers tell what is known
                    self._offset = 0
                file.seek(self._offset)
                buffer = file.read(max_bytes)
        except OSError:
            return b"", True
        return buffer, self._offset + len(buffer) >= size

    def _decode(self, frames: list[Frame]) -> tuple[list[Decoded], int]:
        records: list[Decoded] = []
        missing = 0
        for frame in frames:
            if frame.kind == SCHEMA:
                self._schemas.learn(frame.payload)
            if frame.seq < self._next_seq:
                continue
            missing += frame.seq - self._next_seq
            self._next_seq = frame.seq + 1
            if frame.kind in _KNOWN_KINDS:
                record = self._decode_record(frame)
                if record is None:
                    missing += 1
                else:
                    records.append(record)
        return records, missing

    def _decode_record(self, frame: Frame) -> Decoded | None:
        if frame.kind == GAP:
            gap = decode_gap(frame.payload)
            return gap and Gap(gap.first_step, gap.last_step, clean(gap.reason))
        if frame.kind == REWIND:
            return decode_rewind(frame.payload)
        if frame.kind == SCALARS:
            columns = self._schemas.columns("scalars", frame.payload)
            return None if columns is None else decode_scalars(frame.payload, columns)
        columns = self._schemas.columns("tensors", frame.payload)
        return None if columns is None else decode_tensors(frame.payload, columns)


class _Schemas:
    """The column names of the schema ids met so far, cleaned; the oldest go when they become too many."""

    def __init__(self) -> None:
        self._known: dict[tuple[SchemaKind, int], tuple[str, ...]] = {}
        self._num_columns = 0

    def learn(self, payload: bytes) -> None:
        schema = decode_schema(payload)
        if schema is None or (schema.kind, schema.id) in self._known:
            return
        self._known[schema.kind, schema.id] = tuple(map(clean, schema.columns))
        self._num_columns += len(schema.columns) + 1
        while self._num_columns > 4 * MAX_COLUMNS:
            oldest = next(iter(self._known))
            self._num_columns -= len(self._known.pop(oldest)) + 1

    def columns(self, kind: SchemaKind, payload: bytes) -> tuple[str, ...] | None:
        return self._known.get((kind, schema_id_of(payload)))
