"""The frame around each record: found again behind damage, checked by CRC32, counted by its sequence number.

Layout, little-endian: magic F5 53 47 31 | payload length u32 | sequence u64 | kind u8 | flags u8 |
reserved u16 | CRC32 u32 of the 20 bytes before it and the payload | payload.
"""

import struct
import zlib
from typing import NamedTuple

MAGIC = b"\xf5SG1"
MAX_PAYLOAD = 16 * 2**20
"""Bytes; a longer length is damage."""

_CHECKED = struct.Struct("<4sIQBBH")
_CRC = struct.Struct("<I")
HEADER_BYTES = _CHECKED.size + _CRC.size
MAX_FRAME = HEADER_BYTES + MAX_PAYLOAD


class Frame(NamedTuple):
    """One whole record."""

    seq: int
    kind: int
    flags: int
    payload: bytes


class Scan(NamedTuple):
    """What a buffer holds: its whole frames, how many bytes are done with, how many of these were damaged."""

    frames: list[Frame]
    consumed: int
    damaged_bytes: int


def encode_frame(seq: int, kind: int, payload: bytes, flags: int = 0) -> bytes:
    """The frame as bytes; ValueError if the payload is over MAX_PAYLOAD."""
    if len(payload) > MAX_PAYLOAD:
        raise ValueError(f"a payload of {len(payload)} bytes: at most {MAX_PAYLOAD} fit a frame")
    header = _CHECKED.pack(MAGIC, len(payload), seq, kind, flags, 0)
    return header + _CRC.pack(zlib.crc32(payload, zlib.crc32(header))) + payload


def scan(buffer: bytes, final: bool) -> Scan:
    """The whole frames of a buffer that starts at a frame's beginning.

    Not `final`: the writer may be at work, so what could still become whole at the end is left unconsumed,
    zeros and short tails included; damage is passed over once a whole frame follows it. `final`: all is
    consumed.
    """
    frames: list[Frame] = []
    attempts = _Attempts(buffer)
    done = damaged = 0
    position = 0
    while position >= 0:
        frame = attempts.frame_at(position)
        if frame is None:
            position = buffer.find(MAGIC, position + 1)
            continue
        frames.append(frame)
        damaged += position - done
        done = position = position + HEADER_BYTES + len(frame.payload)
    # Nothing unfinished is longer than a frame, so what lies further back will never become whole.
    lost = len(buffer) - done if final or attempts.exhausted else max(0, len(buffer) - done - MAX_FRAME)
    return Scan(frames, done + lost, damaged + lost)


class _Attempts:
    """Tries for a whole frame at a place; failed checksums are limited: a hostile file could cost hours."""

    def __init__(self, buffer: bytes) -> None:
        self._view = memoryview(buffer)
        self._budget = 4 * MAX_PAYLOAD + 2 * len(buffer)

    @property
    def exhausted(self) -> bool:
        return self._budget <= 0

    def frame_at(self, position: int) -> Frame | None:
        start = position + HEADER_BYTES
        if start > len(self._view) or self.exhausted:
            return None
        magic, length, seq, kind, flags, _ = _CHECKED.unpack_from(self._view, position)
        if magic != MAGIC or length > MAX_PAYLOAD or start + length > len(self._view):
            return None
        checked = position + _CHECKED.size
        crc = zlib.crc32(self._view[start : start + length], zlib.crc32(self._view[position:checked]))
        if crc != _CRC.unpack_from(self._view, checked)[0]:
            self._budget -= length + HEADER_BYTES
            return None
        return Frame(seq, kind, flags, bytes(self._view[start : start + length]))
