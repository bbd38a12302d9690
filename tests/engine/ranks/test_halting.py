"""All ranks hold and stop after the same number of steps."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from queue import Queue

import pytest

from sgdb_engine.control import Outcome, Pause, Resume, Step, Stop
from sgdb_engine.gate import Gate, StopTraining
from sgdb_engine.ranks import halting
from sgdb_engine.ranks.halting import FILE, FirstRank, Halts, halts_in
from sgdb_engine.ranks.place import Place

from .conftest import WriteRank, rank_status

TIMEOUT_S = 20.0


class Pair:
    """Two trainings that wait for one another in each step, as those of DDP do, the first one under control."""

    def __init__(self, folder: Path, write: WriteRank) -> None:
        self.folder = folder
        self._write = write
        self.steps = [0, 0]
        self.ended: list[int] = []
        self._collective = threading.Barrier(2, timeout=TIMEOUT_S)
        first = FirstRank(folder, Place(0, 2))
        self.states: Queue[tuple[str, int]] = Queue()
        self.gates = [
            Gate(lambda s, n, _: self.states.put((s, n)), lambda _: None, str, together=first),
            Gate(lambda *_: None, lambda _: None, str),
        ]
        write(1)
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._train, args=(rank,), daemon=True) for rank in (0, 1)]
        self._threads.append(threading.Thread(target=self._beat, daemon=True))

    def _train(self, rank: int) -> None:
        try:
            while True:
                self._collective.wait()
                time.sleep(0.001 * rank)
                self.gates[rank].pass_through(self.steps[rank])
                self.steps[rank] += 1
        except StopTraining:
            self.ended.append(rank)

    def _beat(self) -> None:
        heard = 0
        while not self._over.wait(0.02):
            halts = halts_in(self.folder)
            if halts is not None and halts.number != heard:
                self.gates[1].follow(halts)
                heard = halts.number
            self._write(1, heard=heard)

    def start(self) -> "Pair":
        for thread in self._threads:
            thread.start()
        return self

    def do(self, command: Pause | Resume | Step | Stop) -> Outcome:
        return self.gates[0].submit(command, "test").result(TIMEOUT_S)

    def wait_for(self, state: str) -> int:
        """The step at which the first rank went into this state; each change is looked at once."""
        while True:
            told, step = self.states.get(timeout=TIMEOUT_S)
            if told == state:
                return step

    def end(self) -> None:
        self.do(Stop(checkpoint=False))
        for thread in self._threads[:2]:
            thread.join(TIMEOUT_S)
            assert not thread.is_alive()
        self._over.set()


@pytest.fixture
def pair(tmp_path: Path, write: WriteRank) -> Iterator[Pair]:
    both = Pair(tmp_path, write).start()
    yield both
    both._over.set()


def test_a_stop_ends_both_after_the_same_step(pair: Pair) -> None:
    pair.end()
    assert sorted(pair.ended) == [0, 1]
    assert pair.steps[0] == pair.steps[1]


def test_a_pause_holds_both_after_the_same_step_and_nobody_waits_in_a_collective(pair: Pair) -> None:
    pair.do(Pause())
    at = pair.wait_for("paused")
    time.sleep(0.1)
    assert pair.steps == [at, at]
    assert pair._collective.n_waiting == 0
    pair.end()


def test_steps_are_done_by_both_and_a_stop_reaches_them_where_they_are_held(pair: Pair) -> None:
    pair.do(Pause())
    at = pair.wait_for("paused")
    for count in (1, 3):
        pair.do(Step(count))
        pair.wait_for("running")
        at += count
        assert pair.wait_for("paused") == at
    time.sleep(0.1)
    assert pair.steps == [at, at]
    pair.end()
    assert pair.steps == [at, at]


def test_both_go_on(pair: Pair) -> None:
    pair.do(Pause())
    at = pair.wait_for("paused")
    pair.do(Resume())
    deadline = time.monotonic() + TIMEOUT_S
    while min(pair.steps) < at + 5 and time.monotonic() < deadline:
        time.sleep(0.01)
    assert min(pair.steps) >= at + 5
    pair.end()


def test_the_first_rank_waits_until_the_others_have_heard_it(tmp_path: Path, write: WriteRank) -> None:
    write(1)
    first = FirstRank(tmp_path, Place(0, 2))
    told = threading.Thread(target=lambda: first.stop(7, held=False))
    told.start()
    told.join(0.3)
    assert told.is_alive()
    assert halts_in(tmp_path) == Halts(number=1, stop_at=9)
    write(1, heard=1)
    told.join(TIMEOUT_S)
    assert not told.is_alive()


@pytest.mark.parametrize("gone", ["dead", "never there"])
def test_it_does_not_wait_for_a_rank_that_is_gone(tmp_path: Path, write: WriteRank, gone: str) -> None:
    if gone == "dead":
        write(1, gone=True)
    began = time.monotonic()
    assert FirstRank(tmp_path, Place(0, 2)).stop(7, held=False) == 9
    assert time.monotonic() - began < 5


def test_it_waits_for_a_silent_rank_only_so_long(
    tmp_path: Path, write: WriteRank, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(halting, "AGREEMENT_S", 0.1)
    write(1)
    assert FirstRank(tmp_path, Place(0, 2)).hold(7, 0, held=False) == 9


@pytest.mark.parametrize("content", [b"", b"[]", b'{"number": "x"}'])
def test_damage_is_no_word(tmp_path: Path, content: bytes) -> None:
    (tmp_path / FILE).write_bytes(content)
    assert halts_in(tmp_path) is None


def test_a_rank_says_which_word_it_has_heard() -> None:
    assert rank_status(1).heard == 0
