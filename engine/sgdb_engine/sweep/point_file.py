"""point.json in a run folder: the point of which sweep it is."""

import os
from pathlib import Path

import msgspec

from sgdb_engine.errors import RunFolderError
from sgdb_engine.recording.files import open_regular, write_atomically
from sgdb_engine.recording.folder import find_runs

POINT_JSON = "point.json"
_MAX_BYTES = 2**20


class PointFile(msgspec.Struct, frozen=True, kw_only=True):
    """Written before the run is started, and again when the sweep interrupts it."""

    schema: int = 1
    sweep: str
    """Id of the sweep."""
    point: int
    settings: dict[str, str]
    interrupted: bool = False
    """The sweep was stopped in the middle of this run: it is no result."""


def write_point(folder: Path, point: PointFile) -> None:
    """Writes point.json whole. Raises RunFolderError."""
    try:
        write_atomically(folder / POINT_JSON, msgspec.json.encode(point))
    except OSError as error:
        raise RunFolderError(f"{folder / POINT_JSON} cannot be written: {error.strerror or error}") from error


def read_point(folder: Path) -> PointFile | None:
    """What point.json says; None where there is none that can be read."""
    try:
        with os.fdopen(open_regular(folder / POINT_JSON), "rb") as file:
            return msgspec.json.decode(file.read(_MAX_BYTES), type=PointFile)
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None


def interrupt_point(folder: Path) -> None:
    """Marks the run as interrupted. Raises RunFolderError."""
    point = read_point(folder)
    if point is not None:
        write_point(folder, msgspec.structs.replace(point, interrupted=True))


def newest_runs(folder: Path, sweep: str) -> dict[int, Path]:
    """The newest run folder of each point of that sweep, by the point's number."""
    found: dict[int, Path] = {}
    for run in find_runs(folder):
        point = read_point(run)
        if point is not None and point.sweep == sweep:
            found.setdefault(point.point, run)
    return found
