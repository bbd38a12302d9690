"""Queued rows to records: all rows of the same columns at once, so that a row costs the training little."""

from collections.abc import Iterable, Sequence
from typing import Literal, NamedTuple

import numpy as np

from sgdb_engine.recording.frames import MAX_PAYLOAD
from sgdb_engine.recording.json_records import (
    REWIND,
    SCALARS,
    TENSORS,
    Rewind,
    Schema,
    SchemaKind,
    encode_json,
    make_schema,
)
from sgdb_engine.recording.payloads import Float32Array, ScalarRows, TensorRow, encode_scalars, encode_tensors
from sgdb_engine.recording.pictures import Picture, encode_picture
from sgdb_engine.recording.segments import Record
from sgdb_engine.text import clean

_MAX_ROWS = 4096
_RECORD_BYTES = 2**20
_MAX_SCHEMAS = 4096

QueuedScalars = tuple[Literal["scalars"], tuple[str, ...], int, float, float, Sequence[float]]
QueuedTensors = tuple[Literal["tensors"], tuple[str, ...], int, float, float, Float32Array]
QueuedBlock = tuple[Literal["block"], tuple[str, ...], Sequence[Sequence[float]], float, float]
"""Rows (step, moment, values…), and what is added to the moments for wall and monotonic time."""
QueuedPicture = tuple[Literal["picture"], Picture, int]
Queued = QueuedScalars | QueuedTensors | QueuedBlock | QueuedPicture | Rewind


class Encoder:
    """Encodes what the training thread queued; what cannot be encoded is left out and named in `problem`."""

    def __init__(self) -> None:
        self.problem = ""
        self._schemas: dict[tuple[SchemaKind, tuple[str, ...]], Schema] = {}

    def encode(self, queued: Iterable[Queued]) -> list[Record]:
        """The records, in an order that keeps rows on their side of a rewind."""
        records: list[Record] = []
        groups: dict[tuple[str, ...], list[QueuedScalars]] = {}
        for item in queued:
            if isinstance(item, Rewind):
                records += self._scalars(groups)
                groups = {}
                records.append(Record(REWIND, encode_json(item), None, item.step, item.step))
            elif item[0] == "scalars":
                groups.setdefault(item[1], []).append(item)
            elif item[0] == "block":
                records += self._block(item)
            elif item[0] == "picture":
                records += self._picture(item)
            else:
                records += self._tensors(item)
        return records + self._scalars(groups)

    def _scalars(self, groups: dict[tuple[str, ...], list[QueuedScalars]]) -> list[Record]:
        records = []
        for columns, rows in groups.items():
            limit = max(1, min(_MAX_ROWS, _RECORD_BYTES // (8 * (3 + len(columns)))))
            for start in range(0, len(rows), limit):
                records += self._rows(columns, rows[start : start + limit])
        return records

    def _block(self, block: QueuedBlock) -> list[Record]:
        _, columns, rows, wall, monotonic = block
        records = []
        for start in range(0, len(rows), _MAX_ROWS):
            try:
                schema = self._schema("scalars", columns)
                table = np.array(rows[start : start + _MAX_ROWS], np.float64)
                if table.ndim != 2 or table.shape[1] != 2 + len(columns):
                    raise ValueError(f"rows of shape {table.shape} for {len(columns)} columns")
                steps, moments = table[:, 0].astype(np.int64), table[:, 1]
                together = ScalarRows(
                    schema.columns, steps, moments + wall, moments + monotonic, table[:, 2:]
                )
                payload = _fitting(encode_scalars(schema.id, together))
                records.append(Record(SCALARS, payload, schema, int(steps.min()), int(steps.max())))
            except (ValueError, TypeError, OverflowError) as error:
                self._reject(("scalars", columns, int(rows[start][0]), 0.0, 0.0, ()), error)
        return records

    def _rows(self, columns: tuple[str, ...], rows: list[QueuedScalars]) -> list[Record]:
        try:
            schema = self._schema("scalars", columns)
            block = _block(schema.columns, rows)
            payload = _fitting(encode_scalars(schema.id, block))
        except (ValueError, TypeError, OverflowError) as error:
            if len(rows) > 1:
                return [record for row in rows for record in self._rows(columns, [row])]
            self._reject(rows[0], error)
            return []
        return [Record(SCALARS, payload, schema, int(block.steps.min()), int(block.steps.max()))]

    def _tensors(self, row: QueuedTensors) -> list[Record]:
        _, columns, step, wall, monotonic, values = row
        try:
            schema = self._schema("tensors", columns)
            floats = np.asarray(values, np.float32)
            if floats.shape != (len(columns),):
                raise ValueError(f"shape {floats.shape} for {len(columns)} columns")
            sampled = TensorRow(schema.columns, int(step), float(wall), float(monotonic), floats)
            return [Record(TENSORS, _fitting(encode_tensors(schema.id, sampled)), schema, step, step)]
        except (ValueError, TypeError, OverflowError, AttributeError) as error:
            self._reject(row, error)
            return []

    def _picture(self, queued: QueuedPicture) -> list[Record]:
        _, picture, step = queued
        try:
            return [Record(*encode_picture(picture), None, step, step)]
        except (ValueError, TypeError, OverflowError, AttributeError) as error:
            self._reject(queued, error)
            return []

    def _schema(self, kind: SchemaKind, columns: tuple[str, ...]) -> Schema:
        schema = self._schemas.get((kind, columns))
        if schema is None:
            if len(self._schemas) >= _MAX_SCHEMAS:
                self._schemas.clear()
            schema = make_schema(kind, tuple(clean(str(name)) for name in columns))
            _fitting(encode_json(schema))
            self._schemas[kind, columns] = schema
        return schema

    def _reject(self, row: QueuedScalars | QueuedTensors | QueuedPicture, error: Exception) -> None:
        self.problem = f"{row[0]} of step {clean(str(row[2]))} could not be recorded: {clean(str(error))}"


class _Columnar(NamedTuple):
    steps: tuple[int, ...]
    wall: tuple[float, ...]
    monotonic: tuple[float, ...]
    values: tuple[Sequence[float], ...]


def _block(columns: tuple[str, ...], rows: list[QueuedScalars]) -> ScalarRows:
    parts = _Columnar(*list(zip(*rows, strict=True))[2:])
    values = np.array(parts.values, np.float64)
    if values.shape != (len(rows), len(columns)):
        raise ValueError(f"{values.shape[1:]} values for {len(columns)} columns")
    wall, monotonic = np.array(parts.wall, np.float64), np.array(parts.monotonic, np.float64)
    return ScalarRows(columns, np.array(parts.steps, np.int64), wall, monotonic, values)


def _fitting(payload: bytes) -> bytes:
    if len(payload) > MAX_PAYLOAD:
        raise ValueError(f"{len(payload)} bytes are too long for a record")
    return payload
