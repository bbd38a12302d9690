"""Records that are numbers: rows of scalars, and rows of tensor statistics."""

import struct
from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt

HISTOGRAM_BINS = 24
HistogramKind = Literal["weights", "gradients", "activations"]
HISTOGRAM_PREFIXES: dict[HistogramKind, str] = {
    "weights": "hist",
    "gradients": "grad_hist",
    "activations": "act_hist",
}


def histogram_stats(kind: HistogramKind) -> tuple[str, ...]:
    """Of a histogram: the share of the finite values in each of equally wide bins, then the smallest, the largest.

    They make rows of their own.
    """
    prefix = HISTOGRAM_PREFIXES[kind]
    return (*(f"{prefix}_{i:02d}" for i in range(HISTOGRAM_BINS)), f"{prefix}_low", f"{prefix}_high")


FloatArray = npt.NDArray[np.float64]
StepArray = npt.NDArray[np.int64]
Float32Array = npt.NDArray[np.float32]
_SCALARS_HEAD = struct.Struct("<QI")
_TENSORS_HEAD = struct.Struct("<Qqdd")


class ScalarRows(NamedTuple):
    """Rows of one schema."""

    columns: tuple[str, ...]
    steps: StepArray
    """int64 (n,)"""
    wall: FloatArray
    """float64 (n,), seconds since the epoch"""
    monotonic: FloatArray
    """float64 (n,), seconds of the writer's monotonic clock"""
    values: FloatArray
    """float64 (n, len(columns))"""


class TensorRow(NamedTuple):
    """One sampling of per-tensor statistics; columns are "<stat>/<tensor>"."""

    columns: tuple[str, ...]
    step: int
    wall: float
    monotonic: float
    values: Float32Array
    """float32 (len(columns),)"""


def encode_scalars(schema_id: int, rows: ScalarRows) -> bytes:
    """schema id u64 | n u32 | steps i64[n] | wall f64[n] | monotonic f64[n] | values f64[n, columns]."""
    arrays = (rows.steps.astype("<i8"), *(a.astype("<f8") for a in (rows.wall, rows.monotonic, rows.values)))
    return _SCALARS_HEAD.pack(schema_id, len(rows.steps)) + b"".join(a.tobytes() for a in arrays)


def encode_tensors(schema_id: int, row: TensorRow) -> bytes:
    """schema id u64 | step i64 | wall f64 | monotonic f64 | values f32[columns]."""
    head = _TENSORS_HEAD.pack(schema_id, row.step, row.wall, row.monotonic)
    return head + row.values.astype("<f4").tobytes()


def schema_id_of(payload: bytes) -> int:
    """The id that a scalars or tensors payload names; -1 if it is too short to name one."""
    return int.from_bytes(payload[:8], "little") if len(payload) >= 8 else -1


def scalars_head(payload: bytes) -> bytes:
    """What tells the layout of a scalars payload: schema id and number of rows."""
    return payload[: _SCALARS_HEAD.size]


def decode_scalars(payloads: Sequence[bytes], columns: tuple[str, ...]) -> ScalarRows | None:
    """The rows of payloads that share a head, as one; None if the number of rows does not fit the columns."""
    head, width = scalars_head(payloads[0]), len(columns)
    if len(head) < _SCALARS_HEAD.size:
        return None
    _, n = _SCALARS_HEAD.unpack(head)
    if any(len(payload) != len(head) + 8 * n * (3 + width) for payload in payloads):
        return None
    content = np.frombuffer(b"".join(payloads), np.uint8).reshape(len(payloads), -1)[:, len(head) :]
    steps = np.ascontiguousarray(content[:, : 8 * n]).view("<i8").ravel()
    floats = np.ascontiguousarray(content[:, 8 * n :]).view("<f8").astype(np.float64, copy=False)
    wall, monotonic, values = floats[:, :n].ravel(), floats[:, n : 2 * n].ravel(), floats[:, 2 * n :]
    shape = len(steps), width
    return ScalarRows(columns, steps.astype(np.int64, copy=False), wall, monotonic, values.reshape(shape))


def decode_tensors(payload: bytes, columns: tuple[str, ...]) -> TensorRow | None:
    """The row, or None if its length does not fit the columns."""
    if len(payload) != _TENSORS_HEAD.size + 4 * len(columns):
        return None
    _, step, wall, monotonic = _TENSORS_HEAD.unpack_from(payload)
    values = np.frombuffer(payload, "<f4", len(columns), _TENSORS_HEAD.size).astype(np.float32, copy=False)
    return TensorRow(columns, step, wall, monotonic, values)


def concatenate(rows: list[ScalarRows]) -> ScalarRows:
    """Rows of the same columns as one."""
    if len(rows) == 1:
        return rows[0]
    _, steps, wall, monotonic, values = zip(*rows, strict=True)
    return ScalarRows(rows[0].columns, *map(np.concatenate, (steps, wall, monotonic, values)))
