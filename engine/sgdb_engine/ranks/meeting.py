"""The run folder that all ranks share: the first one makes it, and leaves word for the others."""

import contextlib
import hashlib
import os
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec

from sgdb_engine.errors import RunFolderError
from sgdb_engine.events import ENDED
from sgdb_engine.ranks.place import own_place
from sgdb_engine.ranks.standing import lives, read_rank
from sgdb_engine.recording import liveness
from sgdb_engine.recording.files import open_regular, write_atomically
from sgdb_engine.recording.nonfinite import to_json

PATIENCE_S = 60.0
"""So long the others wait for the first rank to say which folder it is; it does so before it imports anything large."""
OLD_S = 120.0
"""A word of the first rank that is older than that when this process begins is that of another training."""
POLL_S = 0.02
MAX_BYTES = 2**16


class _Word(msgspec.Struct, frozen=True):
    """What the first rank leaves for the others."""

    folder: str
    wall: float
    host: str
    boot_id: str
    pid: int
    start_time: float


@contextlib.contextmanager
def told_to_the_others(runs_dir: Path, folder: Path) -> Iterator[None]:
    """The first rank says which folder is theirs, for as long as it runs. Where there are no others it does nothing."""
    own = own_place()
    if own.size == 1 or own.rank:
        yield
        return
    place = _meeting_place(runs_dir)
    who = liveness.own_identity()
    write_atomically(place, to_json(_Word(str(folder.absolute()), time.time(), *who)))
    try:
        yield
    finally:
        if liveness.own_identity() == who:  # not in a forked child of the script's
            with contextlib.suppress(OSError):
                place.unlink(missing_ok=True)


def folder_of_the_first(runs_dir: Path, patience_s: float = PATIENCE_S) -> Path:
    """The folder that the first rank made; waits for it. Raises RunFolderError where it does not come."""
    place = _meeting_place(runs_dir)
    begun = time.monotonic()
    while time.monotonic() - begun < patience_s:
        word = _heard(place)
        if word is not None:
            return Path(word.folder)
        time.sleep(POLL_S)
    raise RunFolderError(
        f"rank 0 made no run folder in {runs_dir} within {patience_s:.0f} s; where ranks run on several machines, "
        "that must be a folder that all of them see: give one with --runs-dir"
    )


def _heard(place: Path) -> _Word | None:
    try:
        with os.fdopen(open_regular(place), "rb") as file:
            word = msgspec.json.decode(file.read(MAX_BYTES), type=_Word)
    except (OSError, msgspec.MsgspecError):
        return None
    if word.host == liveness.host_name():
        return word if liveness.still_runs(word.host, word.boot_id, word.pid, word.start_time) else None
    first = read_rank(Path(word.folder), 0)
    over = first is not None and (first.state in ENDED or not lives(first))
    return word if word.wall > liveness.own_start_time() - OLD_S and not over else None


def _meeting_place(runs_dir: Path) -> Path:
    """A file whose name only the ranks of one training know."""
    names = ("MASTER_ADDR", "MASTER_PORT", "TORCHELASTIC_RUN_ID", "TORCHELASTIC_RESTART_COUNT", "WORLD_SIZE")
    said = "|".join(os.environ.get(name, "") for name in names)
    return runs_dir / f".ranks-{hashlib.blake2b(said.encode(), digest_size=8).hexdigest()}"
