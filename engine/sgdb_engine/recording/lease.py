"""One engine a run: a generation lease, taken by link(), which is atomic on local disks and on NFS."""

import os
import secrets
from dataclasses import dataclass
from pathlib import Path

import msgspec

from sgdb_engine.errors import RunFolderError
from sgdb_engine.recording.files import open_regular
from sgdb_engine.recording.liveness import boot_id, host_name, own_start_time, still_runs
from sgdb_engine.text import clean

_PREFIX = "LOCK."
_MAX_BYTES = 4096


class Holder(msgspec.Struct, frozen=True):
    """The process that holds a generation; pid 0 if it gave the lease back."""

    host: str
    boot_id: str
    pid: int
    start_time: float


@dataclass(frozen=True)
class Lease:
    """The right to write this run's folder, for as long as the process lives or until it is given back."""

    folder: Path
    generation: int

    def release(self) -> None:
        """Gives the run free at once; without it the run is free when this process has ended."""
        _link(self.folder, self.generation + 1, Holder(host_name(), boot_id(), 0, 0.0))


def acquire_lease(folder: Path) -> Lease:
    """Takes the run for this process; RunFolderError if another engine holds it, or might.

    A generation LOCK.<n> is made once and never deleted; the highest counts. Whoever takes over links n + 1,
    which succeeds for one contender only.
    """
    generation = _highest(folder)
    if generation:
        _refuse_if_held(folder, generation)
    mine = Holder(host_name(), boot_id(), os.getpid(), own_start_time())
    if not _link(folder, generation + 1, mine):
        raise RunFolderError(f"{folder}: another engine has just taken this run; attach to it instead")
    return Lease(folder, generation + 1)


def _highest(folder: Path) -> int:
    try:
        numbers = [p.name.removeprefix(_PREFIX) for p in folder.iterdir() if p.name.startswith(_PREFIX)]
    except OSError as error:
        raise RunFolderError(f"{folder} cannot be read: {error.strerror or error}") from error
    return max((int(n) for n in numbers if n.isascii() and n.isdigit()), default=0)


def _refuse_if_held(folder: Path, generation: int) -> None:
    path = folder / f"{_PREFIX}{generation}"
    holder = _read(path)
    if holder.pid == 0:
        return
    if still_runs(holder.host, holder.boot_id, holder.pid, holder.start_time):
        raise RunFolderError(f"{folder}: process {holder.pid} is training this run; attach to it instead")
    if holder.host != host_name():
        raise RunFolderError(
            f"{folder}: a process on {clean(holder.host)} has this run, and from here nobody can see whether"
            f" it lives; go on there, or delete {path} if it has ended"
        )


def _read(path: Path) -> Holder:
    try:
        with os.fdopen(open_regular(path), "rb") as file:
            return msgspec.json.decode(file.read(_MAX_BYTES), type=Holder)
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise RunFolderError(
            f"{path} cannot be read: {clean(str(error))}; delete it if no engine runs"
        ) from error


def _link(folder: Path, generation: int, holder: Holder) -> bool:
    draft = folder / f".lock-{os.getpid()}-{secrets.token_hex(8)}"
    try:
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(msgspec.json.encode(holder))
                file.flush()
                os.fsync(file.fileno())
            os.link(draft, folder / f"{_PREFIX}{generation}")
        finally:
            draft.unlink(missing_ok=True)
    except FileExistsError:
        return False
    except OSError as error:
        raise RunFolderError(f"{folder} cannot be locked: {error.strerror or error}") from error
    return True
