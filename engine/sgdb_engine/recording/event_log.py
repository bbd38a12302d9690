"""events.jsonl: one line of JSON for each event."""

import os
from pathlib import Path

import msgspec

from sgdb_engine.events import AnyEvent
from sgdb_engine.recording.files import AppendFile, open_regular
from sgdb_engine.recording.folder import events_name
from sgdb_engine.recording.frames import MAX_PAYLOAD
from sgdb_engine.recording.nonfinite import to_json, to_plain

_BLOCK_BYTES = 64 * 2**10


def encode_event(event: AnyEvent) -> bytes:
    """The event as a line."""
    return to_json(event) + b"\n"


class UnknownEventError(Exception):
    """An event of a type that this version does not know."""


def decode_event(line: bytes) -> AnyEvent:
    """The event of a line, its text cleaned.

    Raises UnknownEventError for a type of another version, ValueError for what is not an event.
    """
    try:
        event: AnyEvent = msgspec.convert(to_plain(line), AnyEvent, strict=False)
    except (ValueError, RecursionError) as error:
        if "Invalid value" in str(error) and "$.type" in str(error):
            raise UnknownEventError(str(error)) from error
        raise ValueError(str(error)) from error
    return event


class EventWriter:
    """Appends lines to events.jsonl, behind the last whole one. One writer a rank."""

    def __init__(self, folder: Path, rank: int = 0) -> None:
        """Opens or makes the file; raises OSError."""
        path = folder / events_name(rank)
        self._file = AppendFile(path, _end_of_last_line(path) if path.exists() else 0)

    def append(self, lines: bytes) -> None:
        """Writes whole lines; raises OSError, with nothing written."""
        self._file.append(lines)

    def sync(self) -> None:
        """Waits until all is on the disk; raises OSError."""
        self._file.sync()

    def close(self) -> None:
        """Lets go of the file."""
        self._file.close()


def _end_of_last_line(path: Path) -> int:
    with os.fdopen(open_regular(path), "rb") as file:
        end = file.seek(0, os.SEEK_END)
        while end > 0:
            start = max(0, end - _BLOCK_BYTES)
            file.seek(start)
            found = file.read(end - start).rfind(b"\n")
            if found >= 0:
                return start + found + 1
            end = start
    return 0


class EventReader:
    """Follows events.jsonl; reads a bounded part each time, whole lines only."""

    def __init__(self, folder: Path, rank: int = 0) -> None:
        self._path = folder / events_name(rank)
        self._offset = 0

    def poll(self, max_bytes: int) -> tuple[list[AnyEvent], int, bool]:
        """The events that follow, how many lines could not be read, and whether that was all for now."""
        try:
            with os.fdopen(open_regular(self._path), "rb") as file:
                size = os.fstat(file.fileno()).st_size
                file.seek(self._offset)
                block = file.read(max_bytes)
                if b"\n" not in block and len(block) == max_bytes:
                    block += file.read(MAX_PAYLOAD)
        except OSError:
            return [], 0, True
        end = block.rfind(b"\n") + 1
        overlong = not end and len(block) > MAX_PAYLOAD
        self._offset += len(block) if overlong else end
        events, damaged = _decode_lines(block[:end])
        return events, damaged + overlong, self._offset + len(block) - end >= size


def _decode_lines(lines: bytes) -> tuple[list[AnyEvent], int]:
    events: list[AnyEvent] = []
    damaged = 0
    for line in lines.splitlines():
        try:
            events.append(decode_event(line))
        except UnknownEventError:
            continue
        except ValueError:
            damaged += 1
    return events, damaged
