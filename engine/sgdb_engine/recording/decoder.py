"""Frames to records: each sequence number once, rows with the names of their schema, what is missing counted."""

from collections.abc import Iterable
from itertools import groupby

from sgdb_engine.recording.frames import Frame
from sgdb_engine.recording.json_records import (
    GAP,
    MAX_COLUMNS,
    REWIND,
    SCALARS,
    SCHEMA,
    TENSORS,
    Gap,
    Rewind,
    SchemaKind,
    decode_gap,
    decode_rewind,
    decode_schema,
)
from sgdb_engine.recording.payloads import (
    ScalarRows,
    TensorRow,
    decode_scalars,
    decode_tensors,
    scalars_head,
    schema_id_of,
)
from sgdb_engine.recording.pictures import TYPES, Picture, decode_picture
from sgdb_engine.text import clean

Decoded = ScalarRows | TensorRow | Picture | Gap | Rewind


class Decoder:
    """Decodes the frames of one log in their order. All foreign text is cleaned."""

    def __init__(self) -> None:
        self.missing = 0
        """Records that damage took so far."""
        self._next_seq = 0
        self._schemas = _Schemas()
        self._records: list[Decoded] = []
        self._payloads: dict[int, list[bytes]] = {}

    def decode(self, frames: Iterable[Frame]) -> list[Decoded]:
        """Their records; rows of one schema come together where no rewind stands between them."""
        for frame in frames:
            if frame.kind == SCHEMA:
                self._schemas.learn(frame.payload)
            if frame.seq >= self._next_seq:  # else it was read before, or does not belong here
                self.missing += frame.seq - self._next_seq
                self._next_seq = frame.seq + 1
                self._decode_frame(frame)
        self._decode_rows()
        records, self._records = self._records, []
        return records

    def _decode_frame(self, frame: Frame) -> None:
        if frame.kind == SCALARS:
            self._payloads.setdefault(schema_id_of(frame.payload), []).append(frame.payload)
        elif frame.kind == TENSORS:
            columns = self._schemas.columns("tensors", schema_id_of(frame.payload))
            self._keep(None if columns is None else decode_tensors(frame.payload, columns))
        elif frame.kind == GAP:
            gap = decode_gap(frame.payload)
            self._keep(gap and Gap(gap.first_step, gap.last_step, clean(gap.reason)))
        elif frame.kind == REWIND:
            self._decode_rows()
            self._keep(decode_rewind(frame.payload))
        elif frame.kind in TYPES:
            self._keep(decode_picture(frame.kind, frame.payload))

    def _decode_rows(self) -> None:
        for schema_id, payloads in self._payloads.items():
            columns = self._schemas.columns("scalars", schema_id)
            for _, alike in groupby(payloads, key=scalars_head):
                together = list(alike)
                self._keep(None if columns is None else decode_scalars(together, columns), len(together))
        self._payloads.clear()

    def _keep(self, record: Decoded | None, num_records: int = 1) -> None:
        if record is None:
            self.missing += num_records
        else:
            self._records.append(record)


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

    def columns(self, kind: SchemaKind, schema_id: int) -> tuple[str, ...] | None:
        return self._known.get((kind, schema_id))
