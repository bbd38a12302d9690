"""Records that are JSON: schemas, gaps, rewinds. Without numpy, so that a writer can be made before the user's code."""

import hashlib
from typing import Literal, TypeVar

import msgspec

SCHEMA = 1
SCALARS = 2
TENSORS = 3
GAP = 4
REWIND = 5
REGIONS = 6
IMAGES = 7
CONFUSION = 8

MAX_COLUMNS = 2**18
"""More columns in a schema are taken for damage or malice."""

SchemaKind = Literal["scalars", "tensors"]

_T = TypeVar("_T")


class Schema(msgspec.Struct, frozen=True):
    """The column names of the rows that carry its id; a digest of the names, so that no two are mixed up."""

    id: int
    kind: SchemaKind
    columns: tuple[str, ...]


class Gap(msgspec.Struct, frozen=True):
    """Rows of these steps (inclusive) were not written."""

    first_step: int
    last_step: int
    reason: str


class Rewind(msgspec.Struct, frozen=True):
    """The training went back: rows written before this record for later steps no longer count."""

    step: int


def make_schema(kind: SchemaKind, columns: tuple[str, ...]) -> Schema:
    """The schema of these columns."""
    digest = hashlib.blake2b(msgspec.json.encode((kind, columns)), digest_size=8).digest()
    # msgspec reads integers up to 2**63 from JSON as such; one bit less keeps every reader out of trouble.
    return Schema(int.from_bytes(digest, "little") >> 1, kind, columns)


def encode_json(record: Schema | Gap | Rewind) -> bytes:
    """The payload of a schema, a gap or a rewind."""
    return msgspec.json.encode(record)


def decode_schema(payload: bytes) -> Schema | None:
    """The schema, or None if it is not one or its id is not that of its columns."""
    schema = _decode_json(payload, Schema)
    if schema is None or len(schema.columns) > MAX_COLUMNS:
        return None
    return schema if make_schema(schema.kind, schema.columns) == schema else None


def decode_gap(payload: bytes) -> Gap | None:
    """The gap, or None if it is not one."""
    return _decode_json(payload, Gap)


def decode_rewind(payload: bytes) -> Rewind | None:
    """The rewind, or None if it is not one."""
    return _decode_json(payload, Rewind)


def _decode_json(payload: bytes, record_type: type[_T]) -> _T | None:
    try:
        return msgspec.json.decode(payload, type=record_type)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
