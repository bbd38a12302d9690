"""The run folder: its making, its two small JSON files, finding runs, and whether one lives."""

import datetime
import difflib
import os
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from sgdb_engine.errors import RunFolderError
from sgdb_engine.events import State
from sgdb_engine.recording.files import open_regular, write_atomically
from sgdb_engine.recording.lease import Lease as Lease
from sgdb_engine.recording.lease import acquire_lease as acquire_lease
from sgdb_engine.recording.liveness import still_runs
from sgdb_engine.recording.nonfinite import to_json, to_plain
from sgdb_engine.text import clean

RUN_JSON = "run.json"
STATUS_JSON = "status.json"
EVENTS_JSONL = "events.jsonl"
OUTPUT_LOG = "output.log"


def rank_name(rank: int) -> str:
    """How the files of a rank begin."""
    return f"rank-{rank:05d}"


def segment_prefix(rank: int) -> str:
    """How the metric logs of a rank begin: `metrics-` of the first one, `rank-00001-` and so on of the others."""
    return f"{rank_name(rank)}-" if rank else "metrics-"


def events_name(rank: int) -> str:
    """The file of a rank's events."""
    return f"{rank_name(rank)}-{EVENTS_JSONL}" if rank else EVENTS_JSONL


_MAX_JSON_BYTES = 2**20
_MAX_NAME = 80

_T = TypeVar("_T")


class RunInfo(msgspec.Struct, frozen=True, kw_only=True):
    """run.json: what the run is; written once."""

    schema: int = 1
    id: str
    name: str
    mode: str
    """run or check."""
    target: str
    argv: tuple[str, ...] = ()
    config: dict[str, Any] = {}
    seed: int | None = None
    created: float = 0.0
    """Seconds since the epoch."""
    versions: dict[str, str] = {}
    host: str = ""


class RunStatus(msgspec.Struct, frozen=True, kw_only=True):
    """status.json: how the run is; written about once a second."""

    host: str
    boot_id: str
    pid: int
    start_time: float
    """Seconds since the epoch, as psutil's create_time."""
    state: State
    step: int = 0
    epoch: float | None = None
    steps_planned: int | None = None
    epochs_planned: int | None = None
    socket: str = ""
    wall: float = 0.0
    """Seconds since the epoch when this was written."""
    sgdb_share: float | None = None
    """Fraction of the step time that sgdb itself takes."""
    message: str = ""
    exit_code: int | None = None
    refused: bool = False
    """It never began; the message says why."""
    metrics: dict[str, float] = {}
    """The newest losses and metrics, by column."""
    findings: int = 0
    """How many were raised so far."""
    can_save: bool = True
    """A stop can save a checkpoint: sgdb knows what belongs into it. Of a script it does not."""


def create_run_folder(runs_dir: Path, name: str) -> Path:
    """A new folder <name>-<YYYYmmdd-HHMMSS>[-n] in `runs_dir`, for its owner alone.

    Raises RunFolderError where it cannot be made.
    """
    stem = f"{_folder_name(name)}-{datetime.datetime.now().astimezone():%Y%m%d-%H%M%S}"
    number = 1
    while True:
        folder = runs_dir / (stem if number == 1 else f"{stem}-{number}")
        try:
            runs_dir.mkdir(parents=True, exist_ok=True)
            folder.mkdir(mode=0o700)
            return folder
        except FileExistsError as error:
            if not runs_dir.is_dir():
                raise _cannot_create(folder, error) from error
            number += 1
        except OSError as error:
            raise _cannot_create(folder, error) from error


def write_info(folder: Path, info: RunInfo) -> None:
    """Writes run.json whole; raises OSError."""
    write_atomically(folder / RUN_JSON, to_json(info))


def read_info(folder: Path) -> RunInfo:
    """What run.json says, its text cleaned; raises RunFolderError."""
    return _read_json(folder / RUN_JSON, RunInfo)


def write_status(folder: Path, status: RunStatus) -> None:
    """Writes status.json whole; raises OSError."""
    write_atomically(folder / STATUS_JSON, to_json(status))


def read_status(folder: Path) -> RunStatus:
    """What status.json says, its text cleaned; raises RunFolderError."""
    return _read_json(folder / STATUS_JSON, RunStatus)


def find_runs(runs_dir: Path) -> list[Path]:
    """All run folders there, newest first; links are left out."""
    try:
        with os.scandir(runs_dir) as entries:
            folders = [Path(e.path) for e in entries if e.is_dir(follow_symlinks=False)]
    except OSError:
        return []
    created = {f: _modified(f / RUN_JSON) for f in folders}
    runs = [f for f in folders if created[f] is not None]
    return sorted(runs, key=lambda f: (created[f] or 0.0, f.name), reverse=True)


def find_run(runs_dir: Path, which: str | None = None) -> Path:
    """The run with this path, folder name, id or name (the newest of that name); the newest of all if None.

    Raises RunFolderError, with the nearest names.
    """
    if which is not None and os.sep in which:
        return _by_path(Path(which))
    runs = find_runs(runs_dir)
    if not runs:
        raise RunFolderError(f"no run in {runs_dir}: start one with `sgdb run`, or say where with --runs-dir")
    if which is None:
        return runs[0]
    called = {run: _names(run) for run in runs}
    for place in range(3):
        for run in runs:
            if called[run][place] == which:
                return run
    if (Path(which) / RUN_JSON).is_file():
        return Path(which)
    raise RunFolderError(_unknown_run(runs_dir, which, [name for names in called.values() for name in names]))


def is_alive(status: RunStatus) -> bool:
    """Whether the engine that wrote this lives on this machine; a reused pid does not deceive."""
    return still_runs(status.host, status.boot_id, status.pid, status.start_time)


def _read_json(path: Path, record_type: type[_T]) -> _T:
    try:
        with os.fdopen(open_regular(path), "rb") as file:
            content = file.read(_MAX_JSON_BYTES + 1)
    except OSError as error:
        raise RunFolderError(f"{path} cannot be read: {error.strerror or error}") from error
    if len(content) > _MAX_JSON_BYTES:
        raise RunFolderError(f"{path} is over {_MAX_JSON_BYTES} bytes: sgdb did not write it")
    try:
        return msgspec.convert(to_plain(content), record_type, strict=False)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, ValueError) as error:
        raise RunFolderError(f"{path} is damaged: {clean(str(error))}") from error


def _folder_name(name: str) -> str:
    kept = "".join(c if c.isalnum() or c in "-_." else "-" for c in clean(name, _MAX_NAME))
    return kept.encode("ascii", "ignore").decode().strip("-.") or "run"


def _cannot_create(folder: Path, error: OSError) -> RunFolderError:
    why = error.strerror or str(error)
    return RunFolderError(f"{folder} cannot be created: {why}; choose another place with --runs-dir")


def _modified(path: Path) -> float | None:
    try:
        return path.lstat().st_mtime
    except OSError:
        return None


def _by_path(path: Path) -> Path:
    if (path / RUN_JSON).is_file():
        return path
    raise RunFolderError(f"{path} is not a run folder: it has no {RUN_JSON}; `sgdb ls` lists the runs")


def _names(run: Path) -> tuple[str, str, str]:
    try:
        info = read_info(run)
    except RunFolderError:
        return run.name, run.name, run.name
    return run.name, info.id, info.name


def _unknown_run(runs_dir: Path, which: str, names: list[str]) -> str:
    near = difflib.get_close_matches(which, dict.fromkeys(names), n=3, cutoff=0.4)
    hint = f"did you mean {' or '.join(clean(n) for n in near)}?" if near else "`sgdb ls` lists the runs"
    return f"no run {clean(which)} in {runs_dir}: {hint}"
