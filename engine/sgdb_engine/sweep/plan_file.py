"""sweep.json: the plan of a sweep, written once; and finding it again."""

import os
import re
import secrets
from pathlib import Path

import msgspec

from sgdb_engine.config.wording import nearest
from sgdb_engine.errors import RunFolderError
from sgdb_engine.recording.files import open_regular
from sgdb_engine.sweep.plan import SweepPlan
from sgdb_engine.text import clean

SWEEP_JSON = "sweep.json"
_MAX_BYTES = 64 * 2**20


def write_plan(folder: Path, plan: SweepPlan) -> bool:
    """Writes sweep.json whole, once; False where there is one already.

    Raises:
        RunFolderError: it cannot be written.
    """
    draft = folder / f".{SWEEP_JSON}.{os.getpid()}-{secrets.token_hex(4)}"
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        try:
            with os.fdopen(os.open(draft, flags, 0o600), "wb") as file:
                file.write(msgspec.json.format(msgspec.json.encode(plan), indent=1))
                file.flush()
                os.fsync(file.fileno())
            os.link(draft, folder / SWEEP_JSON)  # atomic, on network file systems too
        finally:
            draft.unlink(missing_ok=True)
    except FileExistsError:
        return False
    except OSError as error:
        raise RunFolderError(f"{folder / SWEEP_JSON} cannot be written: {error.strerror or error}") from error
    return True


def read_plan(folder: Path) -> SweepPlan:
    """What sweep.json says. Raises RunFolderError."""
    path = folder / SWEEP_JSON
    try:
        with os.fdopen(open_regular(path), "rb") as file:
            plan = msgspec.json.decode(file.read(_MAX_BYTES), type=SweepPlan)
    except OSError as error:
        raise RunFolderError(f"{path} cannot be read: {error.strerror or error}") from error
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise RunFolderError(f"{path} is damaged: {clean(str(error))}") from error
    if not plan.order or any(len(values) != len(plan.grid) for values in plan.order):
        raise RunFolderError(f"{path} is damaged: its points do not fit its grid")
    return plan


def find_sweep(runs_dir: Path, which: str) -> Path:
    """The folder of the sweep of that path, folder name or name (the newest of that name).

    Raises RunFolderError, with the nearest names.
    """
    for folder in (Path(which), runs_dir / which):
        if (folder / SWEEP_JSON).is_file():
            return folder
    sweeps = find_sweeps(runs_dir)
    for folder in sweeps:
        if re.fullmatch(re.escape(which) + r"-\d{8}-\d{6}(-\d+)?", folder.name):
            return folder
    if not sweeps:
        raise RunFolderError(f"no sweep {clean(which)} in {runs_dir}; say where with --runs-dir")
    close = nearest(which, [folder.name for folder in sweeps]) or f" The newest is {clean(sweeps[0].name)}."
    raise RunFolderError(f"no sweep {clean(which)} in {runs_dir}.{close}")


def find_sweeps(runs_dir: Path) -> list[Path]:
    """All folders of sweeps there, newest first."""
    found = [path.parent for path in runs_dir.glob(f"*/{SWEEP_JSON}")]
    return sorted(found, key=lambda folder: (folder / SWEEP_JSON).lstat().st_mtime, reverse=True)
