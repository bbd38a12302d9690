"""What a rank says about itself from beside its training."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from sgdb_engine import beat
from sgdb_engine.beat import Beat, line_of
from sgdb_engine.gate import StopTraining
from sgdb_engine.ranks.halting import FILE, Halts
from sgdb_engine.ranks.place import Place
from sgdb_engine.ranks.standing import RankStatus, read_rank
from sgdb_engine.recording.files import write_atomically
from sgdb_engine.recording.nonfinite import to_json
from sgdb_engine.session import Engine

TIMEOUT_S = 20


class Rank:
    """The second of two, whose training is held where the test wants it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.go_on = threading.Event()
        self.engine = Engine(folder, self._train, place=Place(1, 2))
        self.beat = Beat(self.engine)

    def _train(self, engine: Engine) -> None:
        engine.begin("")
        for step in range(100):
            assert self.go_on.wait(TIMEOUT_S)
            engine.gate.pass_through(step)

    def start(self) -> "Rank":
        self.engine.start()
        self.beat.start()
        return self

    def wait_for(self, state: str) -> RankStatus:
        deadline = time.monotonic() + TIMEOUT_S
        while time.monotonic() < deadline:
            status = read_rank(self.folder, 1)
            if status is not None and status.state == state:
                return status
            time.sleep(0.02)
        raise AssertionError(f"never {state}: {read_rank(self.folder, 1)}")

    def end(self) -> None:
        self.go_on.set()
        self.engine.wait(TIMEOUT_S)
        self.beat.join()


@pytest.fixture
def rank(tmp_path: Path) -> Iterator[Rank]:
    one = Rank(tmp_path).start()
    yield one
    one.end()


def test_it_says_who_it_is_and_how_it_ended(rank: Rank) -> None:
    running = rank.wait_for("running")
    assert (running.rank, running.size) == (1, 2)
    rank.end()
    assert rank.wait_for("finished").message == ""


def test_it_does_what_the_first_rank_wants(rank: Rank, tmp_path: Path) -> None:
    rank.wait_for("running")
    write_atomically(tmp_path / FILE, to_json(Halts(number=4, stop_at=3)))
    deadline = time.monotonic() + TIMEOUT_S
    while rank.wait_for("running").heard != 4:
        assert time.monotonic() < deadline
    rank.go_on.set()
    assert rank.wait_for("stopped").message == "asked"


def test_a_rank_that_hangs_writes_down_the_stacks_of_its_threads_once(
    rank: Rank, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(beat, "hangs", lambda still_s, step_s: still_s > 0.3)
    monkeypatch.setattr(Engine, "step", property(lambda engine: 7))
    stacks = tmp_path / "rank-00001-stacks.txt"
    deadline = time.monotonic() + TIMEOUT_S
    while not stacks.exists() or "test_beat.py" not in stacks.read_text():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    written = stacks.stat().st_mtime_ns
    time.sleep(0.5)
    assert stacks.stat().st_mtime_ns == written


def test_a_folder_that_cannot_be_written_any_more_does_not_end_it(rank: Rank, tmp_path: Path) -> None:
    rank.wait_for("running")
    (tmp_path / "rank-00001.json").unlink()
    (tmp_path / "rank-00001.json").mkdir()
    time.sleep(0.5)
    (tmp_path / "rank-00001.json").rmdir()
    rank.wait_for("running")


def test_the_line_of_a_thread_is_the_innermost_of_the_users_code() -> None:
    at, waiting = threading.Event(), threading.Event()

    def inner() -> None:
        at.set()
        waiting.wait(TIMEOUT_S)  # here

    thread = threading.Thread(target=inner)
    thread.start()
    at.wait(TIMEOUT_S)
    time.sleep(0.05)
    number = 1 + next(
        i for i, line in enumerate(Path(__file__).read_text().splitlines()) if line.endswith("# here")
    )
    assert line_of(thread.ident or 0) == f"test_beat.py:{number} in wait"
    waiting.set()
    thread.join()
    assert line_of(thread.ident or 0) == ""


def test_a_stop_is_not_swallowed_by_the_hold_it_ends(tmp_path: Path) -> None:
    rank = Rank(tmp_path)
    rank.engine.gate.follow(Halts(number=1, hold_at=0))
    released: list[str] = []

    def train() -> None:
        try:
            rank.engine.gate.pass_through(0)
        except StopTraining as stop:
            released.append(stop.reason)

    thread = threading.Thread(target=train)
    thread.start()
    time.sleep(0.1)
    assert thread.is_alive()
    rank.engine.gate.follow(Halts(number=2, stop_at=0))
    thread.join(TIMEOUT_S)
    assert released == ["asked"]
