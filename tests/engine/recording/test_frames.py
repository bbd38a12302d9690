"""A frame is found again behind damage, and nothing but what was written is ever read."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sgdb_engine.recording.frames import HEADER_BYTES, MAGIC, MAX_PAYLOAD, encode_frame, scan

PAYLOADS = [b"loss", b"", b"\x00" * 40, MAGIC + b"a frame's beginning as a payload", bytes(range(256))]


def frames_of(payloads: list[bytes]) -> list[bytes]:
    return [encode_frame(seq, 2, payload) for seq, payload in enumerate(payloads)]


def test_the_layout_is_frozen() -> None:
    expected = "f5534731 03000000 0700000000000000 02 01 0000 CRC 616263".replace("CRC", "6fd22d12")
    assert encode_frame(7, 2, b"abc", flags=1) == bytes.fromhex(expected)


def test_frames_come_back_in_order_with_all_their_fields() -> None:
    found = scan(encode_frame(7, 2, b"abc", flags=1) + encode_frame(8, 200, b""), final=False)
    assert found.frames == [(7, 2, 1, b"abc"), (8, 200, 0, b"")]
    assert (found.consumed, found.damaged_bytes) == (2 * HEADER_BYTES + 3, 0)


def test_a_payload_over_the_limit_is_refused() -> None:
    with pytest.raises(ValueError, match="at most"):
        encode_frame(0, 2, bytes(MAX_PAYLOAD + 1))


def test_torn_at_any_byte_exactly_the_whole_frames_are_read_and_the_rest_waits() -> None:
    frames = frames_of(PAYLOADS)
    log = b"".join(frames)
    for end in range(len(log) + 1):
        found = scan(log[:end], final=False)
        whole = next(n for n in range(len(frames), -1, -1) if len(b"".join(frames[:n])) <= end)
        assert [frame.payload for frame in found.frames] == PAYLOADS[:whole]
        assert found.consumed == len(b"".join(frames[:whole]))
        assert found.damaged_bytes == 0
        rest = scan(log[found.consumed :], final=False)
        assert [frame.payload for frame in rest.frames] == PAYLOADS[whole:]


def test_every_flipped_bit_loses_one_frame_at_most_and_makes_none_up() -> None:
    frames = frames_of(PAYLOADS)
    log = b"".join(frames)
    originals = scan(log, final=True).frames
    for bit in range(8 * len(log)):
        damaged = bytearray(log)
        damaged[bit // 8] ^= 1 << bit % 8
        found = scan(bytes(damaged), final=True)
        assert len(found.frames) == len(frames) - 1
        assert set(found.frames) < set(originals)
        assert found.consumed == len(log)


def test_behind_a_hole_of_zeros_reading_goes_on() -> None:
    log = bytearray(b"".join(encode_frame(seq, 2, b"x" * 100) for seq in range(100)))
    log[5000:5512] = bytes(512)
    found = scan(bytes(log), final=False)
    assert len(found.frames) == 95
    assert found.damaged_bytes == 5 * (HEADER_BYTES + 100)


def test_zeros_at_the_end_are_not_yet_written_rather_than_damaged() -> None:
    frame = encode_frame(0, 2, b"abc")
    found = scan(frame + bytes(4096), final=False)
    assert (len(found.frames), found.consumed, found.damaged_bytes) == (1, len(frame), 0)


def test_what_remains_when_nothing_more_comes_is_damage() -> None:
    frame = encode_frame(0, 2, b"abc")
    assert scan(frame + frame[:-1], final=True) == ([(0, 2, 0, b"abc")], 2 * len(frame) - 1, len(frame) - 1)


def test_garbage_longer_than_any_frame_is_passed_over_while_waiting() -> None:
    found = scan(bytes(2 * MAX_PAYLOAD), final=False)
    assert found.consumed > 0


def test_a_file_of_nothing_but_false_beginnings_is_given_up_in_bounded_work() -> None:
    beginning = MAGIC + (100_000).to_bytes(4, "little") + bytes(HEADER_BYTES - 8)
    buffer = beginning * 100_000
    found = scan(buffer, final=False)
    assert (found.frames, found.consumed) == ([], len(buffer))


@given(st.binary(max_size=400), st.booleans())
def test_random_bytes_are_never_an_error(garbage: bytes, final: bool) -> None:
    found = scan(garbage, final)
    assert found.frames == []
    assert 0 <= found.consumed <= len(garbage)


@given(st.lists(st.binary(max_size=40), max_size=6), st.randoms(use_true_random=False), st.booleans())
def test_spliced_files_give_only_frames_that_were_written(
    payloads: list[bytes], randomness: random.Random, final: bool
) -> None:
    frames = frames_of(payloads)
    pieces = [frame[randomness.randrange(len(frame)) :] for frame in frames] + frames
    pieces += [frame[: randomness.randrange(len(frame))] for frame in frames]
    randomness.shuffle(pieces)
    written = set(scan(b"".join(frames), final=True).frames)
    assert set(scan(b"".join(pieces), final).frames) <= written
