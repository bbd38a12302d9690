"""Where commands meet the training: at one safe point, one after the other, each with its step."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from queue import Queue

import pytest

from sgdb_engine.control import Checkpoint, Command, Outcome, Pause, Ping, Resume, Step, Stop
from sgdb_engine.events import CommandApplied, State
from sgdb_engine.gate import Gate, StopTraining
from sgdb_engine.ranks.halting import Alone

TIMEOUT_S = 10.0


class Run:
    """A training of empty steps in a thread of its own, that goes through a gate."""

    def __init__(
        self,
        *,
        save: Callable[[int], str] = lambda step: f"step-{step}",
        last_step: int | None = None,
        together: Alone | None = None,
    ) -> None:
        self.states: list[tuple[State, int, str]] = []
        self.applied: list[CommandApplied] = []
        self.updates = 0
        """Steps that were let through."""
        self.stop: StopTraining | None = None
        self.gate = Gate(self._changed, self.applied.append, save, last_step, together=together)
        self.reached: Queue[State] = Queue()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def _changed(self, state: State, step: int, reason: str) -> None:
        self.states.append((state, step, reason))
        self.reached.put(state)

    def start(self) -> "Run":
        self._thread.start()
        return self

    def _run(self) -> None:
        try:
            while True:
                self.gate.pass_through(self.updates)
                self.updates += 1
        except StopTraining as stop:
            self.stop = stop
        self.gate.close("stopped")

    def do(self, command: Command, by: str = "test") -> Outcome:
        return self.gate.submit(command, by).result(TIMEOUT_S)

    def wait_for(self, state: State) -> None:
        while self.reached.get(timeout=TIMEOUT_S) != state:
            pass

    def end(self) -> None:
        self.gate.submit(Stop(checkpoint=False), "test")
        self._thread.join(TIMEOUT_S)
        assert not self._thread.is_alive()


@pytest.fixture
def run() -> Iterator[Run]:
    running = Run().start()
    yield running
    running.end()


def test_a_pause_is_acknowledged_with_the_step_it_took_effect_at(run: Run) -> None:
    outcome = run.do(Pause(), by="ada")
    assert (outcome.ok, outcome.state, outcome.step) == (True, "paused", run.updates)
    assert run.states == [("paused", outcome.step, "asked by ada")]
    assert run.applied == [
        CommandApplied(step=outcome.step, command="pause", by="ada", old="running", new="paused")
    ]


def test_nothing_moves_while_it_is_paused_and_a_second_pause_changes_nothing(run: Run) -> None:
    first = run.do(Pause())
    second = run.do(Pause())
    assert (second.step, second.state) == (first.step, "paused")
    assert [state for state, _, _ in run.states] == ["paused"]


@pytest.mark.parametrize("count", [1, 2, 7])
def test_step_n_runs_exactly_n_steps_and_pauses(count: int, run: Run) -> None:
    before = run.do(Pause()).step
    outcome = run.do(Step(count))
    assert (outcome.step, outcome.state) == (before, "running")
    run.wait_for("running")
    run.wait_for("paused")
    assert run.do(Ping()).step == before + count
    assert run.states[-1] == ("paused", before + count, "stepped")


def test_step_in_a_running_training_pauses_it_after_so_many_steps(run: Run) -> None:
    outcome = run.do(Step(3))
    run.wait_for("paused")
    assert run.do(Ping()) == Outcome(ok=True, step=outcome.step + 3, state="paused")


def test_steps_that_were_asked_for_twice_add_up(run: Run) -> None:
    before = run.do(Pause()).step
    both = [run.gate.submit(Step(2), "a"), run.gate.submit(Step(3), "b")]
    assert all(each.result(TIMEOUT_S).ok for each in both)
    while run.do(Ping()).state != "paused":
        pass
    assert run.do(Ping()).step == before + 5


def test_a_pause_cuts_a_long_stepping_short(run: Run) -> None:
    run.do(Step(10**9))
    outcome = run.do(Pause())
    assert outcome.state == "paused"
    assert run.do(Ping()).step == outcome.step


def test_resume_lets_it_go_on_for_good(run: Run) -> None:
    paused = run.do(Pause()).step
    assert run.do(Resume()).state == "running"
    while run.do(Ping()).step < paused + 5:
        pass
    assert [state for state, _, _ in run.states] == ["paused", "running"]


def test_a_stop_is_acknowledged_and_raised_at_the_safe_point() -> None:
    run = Run().start()
    outcome = run.do(Stop(checkpoint=True), by="ada")
    run._thread.join(TIMEOUT_S)
    assert run.stop is not None
    assert run.stop.checkpoint
    assert (outcome.ok, outcome.state, outcome.step) == (True, "stopping", run.updates)
    assert run.states == [("stopping", run.updates, "asked by ada")]
    assert (run.applied[0].old, run.applied[0].new) == ("running", "stopping")


def test_a_stop_reaches_a_paused_training() -> None:
    run = Run().start()
    run.do(Pause())
    assert run.do(Stop(checkpoint=False)).ok
    run._thread.join(TIMEOUT_S)
    assert run.stop is not None
    assert not run.stop.checkpoint


def test_commands_after_the_end_are_refused_with_the_state_of_the_end(run: Run) -> None:
    run.end()
    outcome = run.do(Pause())
    assert (outcome.ok, outcome.state, outcome.step) == (False, "stopped", run.updates)
    assert "ended" in outcome.message
    assert run.do(Ping()) == Outcome(ok=True, step=run.updates, state="stopped")


def test_what_waits_behind_a_stop_is_refused_not_forgotten() -> None:
    run = Run()
    stop = run.gate.submit(Stop(), "a")
    behind = [run.gate.submit(command, "b") for command in (Pause(), Checkpoint(), Step(2))]
    run.start()
    assert stop.result(TIMEOUT_S).ok
    assert [each.result(TIMEOUT_S).ok for each in behind] == [False, False, False]


def test_a_checkpoint_is_saved_in_the_training_thread_and_its_path_told() -> None:
    threads: list[threading.Thread] = []

    def save(step: int) -> str:
        threads.append(threading.current_thread())
        return f"step-{step}"

    run = Run(save=save).start()
    outcome = run.do(Checkpoint())
    assert outcome.message == f"step-{outcome.step}"
    assert threads == [run._thread]
    assert run.applied[0].new == outcome.message
    run.end()


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), ValueError("odd"), MemoryError()])
def test_a_save_that_raises_is_answered_and_the_training_goes_on(error: Exception) -> None:
    def save(step: int) -> str:
        raise error

    run = Run(save=save).start()
    outcome = run.do(Checkpoint())
    assert not outcome.ok
    assert type(error).__name__ in outcome.message
    assert outcome.state == "running"
    assert run.applied == []
    assert run.do(Pause()).ok
    run.end()


def test_a_future_that_a_client_cancels_does_not_hurt_the_gate(run: Run) -> None:
    run.do(Pause())
    future = run.gate.submit(Resume(), "hasty")
    assert not future.cancel()
    assert future.result(TIMEOUT_S).ok


def test_max_steps_stops_when_so_many_are_complete() -> None:
    run = Run(last_step=5).start()
    run._thread.join(TIMEOUT_S)
    assert run.updates == 5
    assert run.stop is not None
    assert "max-steps 5" in run.stop.reason
    assert not run.stop.checkpoint


def test_max_steps_holds_while_it_is_stepped_and_paused() -> None:
    run = Run(last_step=5)
    paused = run.gate.submit(Pause(), "early")
    run.start()
    assert paused.result(TIMEOUT_S) == Outcome(ok=True, step=0, state="paused")
    run.do(Step(2))
    run.do(Resume())
    run._thread.join(TIMEOUT_S)
    assert run.updates == 5


def test_many_threads_submit_and_every_one_is_answered() -> None:
    run = Run().start()
    commands: tuple[Command, ...] = (Pause(), Step(2), Resume(), Checkpoint(), Ping())
    answered: list[list[Outcome]] = [[] for _ in range(8)]

    def submit(number: int) -> None:
        for i in range(60):
            answered[number].append(run.do(commands[(i + number) % len(commands)], by=str(number)))

    threads = [threading.Thread(target=submit, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(TIMEOUT_S * 3)
        assert not thread.is_alive()
    assert all(outcome.ok for outcomes in answered for outcome in outcomes)
    steps = [command.step for command in run.applied]
    assert steps == sorted(steps)
    assert len(run.applied) == 8 * 60 * 4 // 5
    run.end()


def test_an_open_gate_lets_a_training_pass_without_a_lock(monkeypatch: pytest.MonkeyPatch) -> None:
    run = Run()
    monkeypatch.setattr(run.gate, "_arrived", None)
    for step in range(100):
        run.gate.pass_through(step)


def test_a_future_is_done_only_when_its_command_has_taken_effect() -> None:
    run = Run()
    future: Future[Outcome] = run.gate.submit(Pause(), "early")
    assert not future.done()
    run.start()
    assert future.result(TIMEOUT_S).step == 0
    run.end()


class Unheard(Alone):
    """Ranks that cannot be told for a while: the disk is full."""

    def __init__(self) -> None:
        self.full = False

    def go_on(self) -> None:
        if self.full:
            raise OSError("No space left on device")

    def stop(self, step: int, *, held: bool) -> int:
        self.go_on()
        return step


def test_while_the_other_ranks_cannot_be_told_all_stay_as_they_are() -> None:
    others = Unheard()
    run = Run(together=others).start()
    paused = run.do(Pause())
    others.full = True
    for command in (Resume(), Stop(checkpoint=False)):
        outcome = run.do(command)
        assert (outcome.ok, outcome.state, outcome.step) == (False, "paused", paused.step)
        assert "No space left" in outcome.message
    others.full = False
    assert run.do(Resume()).ok
    run.end()
