"""Trainings of two real processes with gloo on the CPU."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest

from sgdb_engine.control import Command, ControlClient
from sgdb_engine.ranks.standing import RankStatus, read_ranks
from sgdb_engine.recording.folder import RunStatus, find_runs, read_status

SCRIPTS = Path(__file__).parent / "scripts"
PATIENCE_S = 90
TORCHRUN = (sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2")
SGDB = (sys.executable, "-m", "sgdb", "run", "--headless")
NPROC = (*SGDB, "--nproc", "2")
UNDER_TORCHRUN = (*TORCHRUN, "-m", "sgdb", "run", "--headless")


@dataclass
class Launched:
    """Processes that were started together."""

    process: "subprocess.Popen[str]"
    cwd: Path
    output: str = field(default="", init=False)

    def wait(self) -> int:
        """Until all have ended; the exit code."""
        self.output = self.process.communicate(timeout=PATIENCE_S)[0]
        return self.process.returncode

    @property
    def folder(self) -> Path:
        (folder,) = find_runs(self.cwd / "runs")
        return folder

    @property
    def status(self) -> RunStatus:
        return read_status(self.folder)

    @property
    def ranks(self) -> list[RankStatus]:
        found = find_runs(self.cwd / "runs")
        return read_ranks(found[0]) if found else []

    def wait_for(self, what: Callable[[list[RankStatus]], object]) -> list[RankStatus]:
        """Until both ranks are there and stand so."""
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            ranks = self.ranks
            if len(ranks) == 2 and what(ranks):
                return ranks
            assert self.process.poll() is None, f"ended too soon:\n{self.process.communicate()[0]}"
            time.sleep(0.05)
        raise AssertionError(f"it did not come to that: {self.ranks}")

    def wait_for_step(self, step: int) -> list[RankStatus]:
        return self.wait_for(lambda ranks: all(each.step >= step for each in ranks))

    def send(self, command: Command) -> None:
        assert ControlClient(Path(self.status.socket)).send(command, PATIENCE_S).ok

    def processes(self) -> list[psutil.Process]:
        """All of them, the launcher first."""
        first = psutil.Process(self.process.pid)
        return [first, *first.children(recursive=True)]


Launch = Callable[..., Launched]


@pytest.fixture
def launch(tmp_path: Path) -> Iterator[Launch]:
    """Starts `command script …` in an empty folder; what is left at the end is killed."""
    started: list[Launched] = []

    def start(command: tuple[str, ...], script: str, *arguments: str) -> Launched:
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"}
        process = subprocess.Popen(
            [*command, str(SCRIPTS / script), *arguments],
            cwd=tmp_path,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        started.append(Launched(process, tmp_path))
        return started[-1]

    yield start
    for each in started:
        if each.process.poll() is None:
            for process in each.processes():
                process.kill()
            each.process.communicate()
