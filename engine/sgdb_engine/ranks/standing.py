"""How each rank stands: a small file each, written a few times a second."""

import os
import time
from pathlib import Path

import msgspec

from sgdb_engine.events import State
from sgdb_engine.recording import liveness
from sgdb_engine.recording.files import open_regular, write_atomically
from sgdb_engine.recording.folder import rank_name
from sgdb_engine.recording.nonfinite import to_json, to_plain

MAX_BYTES = 2**16
MOST_RANKS = 2**14
SILENCE_S = 30.0
"""A rank on another machine that has written nothing for so long is gone."""


class RankStatus(msgspec.Struct, frozen=True, kw_only=True):
    """rank-00001.json: written a few times a second, by each rank its own."""

    rank: int
    size: int
    host: str
    boot_id: str
    pid: int
    start_time: float
    wall: float
    state: State
    step: int = 0
    phase: str = ""
    """data, forward, backward, optimizer, a collective, or between them: the script's own code."""
    waits: bool = False
    """In a collective, or where gradients or parameters come from others."""
    still_s: float = 0.0
    """Seconds since it last came on by a step, a phase, or a call of its model."""
    where: str = ""
    """The line of the script that it is in, where it has been still for a while."""
    own_s: float | None = None
    """Its own work in a step, before it waits for the others: what tells a straggler from those who wait for it."""
    step_s: float | None = None
    loss: float | None = None
    grad_norm: float | None = None
    heard: int = 0
    """Number of the newest word of the first rank's that it has heard."""
    message: str = ""


def rank_file(folder: Path, rank: int) -> Path:
    """Where a rank says how it stands."""
    return folder / f"{rank_name(rank)}.json"


def write_rank(folder: Path, status: RankStatus) -> None:
    """Whole; raises OSError."""
    write_atomically(rank_file(folder, status.rank), to_json(status))


def read_rank(folder: Path, rank: int) -> RankStatus | None:
    """How a rank stands, its text cleaned; None where it has not said so."""
    try:
        with os.fdopen(open_regular(rank_file(folder, rank)), "rb") as file:
            return msgspec.convert(to_plain(file.read(MAX_BYTES)), RankStatus, strict=False)
    except (OSError, msgspec.MsgspecError, ValueError, RecursionError):
        return None


def read_ranks(folder: Path) -> list[RankStatus]:
    """Of all ranks that have said so, in their order; of none where there is but one process."""
    first = read_rank(folder, 0)
    size = min(first.size, MOST_RANKS) if first else 0
    found = (read_rank(folder, rank) for rank in range(1, size))
    return [status for status in (first, *found) if status is not None]


def lives(status: RankStatus) -> bool:
    """Whether its process runs; of one on another machine, whether it has written lately."""
    if status.host == liveness.host_name():
        return liveness.still_runs(status.host, status.boot_id, status.pid, status.start_time)
    return time.time() - status.wall < SILENCE_S
