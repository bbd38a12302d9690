"""Ranks made up of files."""

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from sgdb_engine.ranks.standing import RankStatus, write_rank
from sgdb_engine.recording import liveness

NO_PROCESS = 2**22 + 1
"""Higher than the kernel's highest."""


def rank_status(rank: int, size: int = 2, *, gone: bool = False, **more: object) -> RankStatus:
    """Of this very process, unless it is gone."""
    told = {
        "host": liveness.host_name(),
        "boot_id": liveness.boot_id(),
        "pid": NO_PROCESS if gone else os.getpid(),
        "start_time": liveness.own_start_time(),
        "wall": time.time(),
        "state": "running",
    }
    return RankStatus(rank=rank, size=size, **{**told, **more})  # type: ignore[arg-type]


WriteRank = Callable[..., RankStatus]


@pytest.fixture
def write(tmp_path: Path) -> WriteRank:
    """Writes how a rank stands into the folder."""

    def one(rank: int, size: int = 2, **more: object) -> RankStatus:
        status = rank_status(rank, size, **more)  # type: ignore[arg-type]
        write_rank(tmp_path, status)
        return status

    return one
