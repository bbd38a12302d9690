"""What goes into a record comes out bit for bit, and what does not fit is refused without an error."""

import math
from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from sgdb_engine.recording.json_records import (
    Gap,
    Rewind,
    decode_gap,
    decode_rewind,
    decode_schema,
    encode_json,
    make_schema,
)
from sgdb_engine.recording.payloads import (
    ScalarRows,
    TensorRow,
    concatenate,
    decode_scalars,
    decode_tensors,
    encode_scalars,
    encode_tensors,
    schema_id_of,
)

COLUMNS = ("train/loss", "lr")
DECODERS: list[Any] = [
    decode_schema,
    decode_gap,
    decode_rewind,
    schema_id_of,
    lambda payload: decode_scalars([payload], COLUMNS),
    lambda payload: decode_tensors(payload, COLUMNS),
]


def rows_of(values: list[list[float]]) -> ScalarRows:
    n = len(values)
    wall = np.linspace(1e9, 1e9 + 1, n)
    return ScalarRows(COLUMNS, np.arange(n), wall, np.linspace(0, 1, n), np.array(values).reshape(n, 2))


@given(st.lists(st.lists(st.floats(), min_size=2, max_size=2), max_size=20))
def test_scalars_come_back_bit_for_bit_nan_and_infinities_too(values: list[list[float]]) -> None:
    rows = rows_of(values)
    payload = encode_scalars(17, rows)
    decoded = decode_scalars([payload], COLUMNS)
    assert decoded is not None
    assert schema_id_of(payload) == 17
    assert all(a.tobytes() == b.tobytes() for a, b in zip(decoded[1:], rows[1:], strict=True))


def test_payloads_of_one_head_are_decoded_together() -> None:
    parts = [rows_of([[1.0, 2.0], [3.0, math.nan]]), rows_of([[5.0, 6.0], [7.0, 8.0]])]
    together = decode_scalars([encode_scalars(17, part) for part in parts], COLUMNS)
    assert together is not None
    assert all(a.tobytes() == b.tobytes() for a, b in zip(together[1:], concatenate(parts)[1:], strict=True))


def test_the_layout_of_scalars_is_frozen() -> None:
    rows = ScalarRows(
        COLUMNS, np.array([5]), np.array([2.0]), np.array([1.0]), np.array([[0.5, -math.inf]], np.float64)
    )
    expected = (
        "1100000000000000 01000000 0500000000000000 0000000000000040 000000000000f03f"
        " 000000000000e03f 000000000000f0ff"
    )
    assert encode_scalars(17, rows) == bytes.fromhex(expected)


def test_the_id_of_a_schema_is_frozen() -> None:
    assert make_schema("scalars", COLUMNS).id == 5822833804987946337


@given(st.lists(st.floats(width=32), min_size=2, max_size=2))
def test_tensor_rows_come_back_bit_for_bit(values: list[float]) -> None:
    row = TensorRow(COLUMNS, 2**40, 1.5, 2.5, np.array(values, np.float32))
    decoded = decode_tensors(encode_tensors(3, row), COLUMNS)
    assert decoded is not None
    assert decoded[:4] == row[:4]
    assert decoded.values.tobytes() == row.values.tobytes()


def test_schemas_gaps_and_rewinds_come_back() -> None:
    schema = make_schema("tensors", ("grad_norm/fc.weight",))
    assert decode_schema(encode_json(schema)) == schema
    assert decode_gap(encode_json(Gap(3, 9, "disk full"))) == Gap(3, 9, "disk full")
    assert decode_rewind(encode_json(Rewind(7))) == Rewind(7)


def test_a_schema_whose_id_is_not_that_of_its_names_is_refused() -> None:
    a, b = make_schema("scalars", ("a",)), make_schema("scalars", ("b",))
    assert decode_schema(encode_json(a).replace(str(a.id).encode(), str(b.id).encode())) is None


def test_rows_without_columns_and_no_rows_are_no_error() -> None:
    for columns, n in [((), 2), ((), 0), (("a",), 0)]:
        rows = ScalarRows(columns, np.arange(n), np.zeros(n), np.zeros(n), np.zeros((n, len(columns))))
        decoded = decode_scalars([encode_scalars(1, rows)], columns)
        assert decoded is not None
        assert decoded.values.shape == (n, len(columns))


def test_rows_that_do_not_fit_their_columns_are_refused() -> None:
    payload = encode_scalars(1, rows_of([[1.0, 2.0]]))
    assert decode_scalars([payload], ("a", "b", "c")) is None
    assert decode_scalars([payload[:-1]], COLUMNS) is None
    assert decode_tensors(payload, COLUMNS) is None


@given(st.binary(max_size=120))
def test_no_payload_is_an_error(payload: bytes) -> None:
    for decode in DECODERS:
        decode(payload)


def test_rows_of_the_same_columns_are_joined_in_order() -> None:
    joined = concatenate([rows_of([[1.0, 2.0]]), rows_of([[3.0, 4.0], [5.0, 6.0]])])
    assert joined.values.tolist() == [[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]
    assert joined.steps.tolist() == [0, 0, 1]
