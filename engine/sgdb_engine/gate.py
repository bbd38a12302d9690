"""Pause, step, checkpoint, stop: where commands meet the training, at one safe point.

The safe point is after backward, before the weights change. The training thread passes the gate there;
every other thread only submits.
"""

import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from typing import assert_never

from sgdb_engine.control import Checkpoint, Command, Outcome, Pause, Ping, Resume, Step, Stop
from sgdb_engine.events import CommandApplied, State
from sgdb_engine.ranks.halting import Alone, Halts


class StopTraining(BaseException):
    """Raised out of the safe point to end the training; not an Exception, so that no script takes it for its own."""

    def __init__(self, reason: str, *, checkpoint: bool) -> None:
        super().__init__(reason)
        self.reason = reason
        self.checkpoint = checkpoint


FAR_BEHIND = 10
"""Steps by which ranks that wait for one another never differ."""
MOST_SWALLOWED = 3
"""Times that a training may swallow its stop, with a bare `except:` around its step, before it is ended at once."""


class Gate:
    """What the training passes before each update. Passing an open gate costs one attribute."""

    def __init__(
        self,
        changed: Callable[[State, int, str], None],
        applied: Callable[[CommandApplied], None],
        save: Callable[[int], str],
        last_step: int | None = None,
        give_up: Callable[[], None] = lambda: None,
        together: Alone | None = None,
    ) -> None:
        """Makes an open gate.

        Args:
            changed: told each new state, its step and the reason, in the thread that changed it.
            applied: told each command that took effect.
            save: saves a checkpoint of the given step in the training thread and returns its path.
            last_step: the training is stopped when so many steps are complete.
            give_up: called when the training has swallowed its stop again and again.
            together: says after how many steps a pause or a stop takes effect, where others train along.
        """
        self._changed = changed
        self._applied = applied
        self._save = save
        self._last_step = last_step
        self._last_reason = f"max-steps {last_step} reached"
        self._give_up = give_up
        self._together = together or Alone()
        self._stop: StopTraining | None = None
        self._swallowed = 0
        self._submitted: deque[tuple[Command, str, Future[Outcome]]] = deque()
        self._arrived = threading.Condition()
        self._end: State | None = None
        self._hold_at: int | None = None
        """The training is held when so many steps are complete."""
        self._held = False
        self._why = ""
        self._stopping = False
        self._stop_after = 0
        self._attention = last_step is not None
        self._step = 0

    def follow(self, halts: Halts) -> None:
        """Holds and stops after the same steps as the first of several ranks; from any thread."""
        with self._arrived:
            self._hold_at, self._why = self._soon(halts.hold_at), "asked"
            stop_at = self._soon(halts.stop_at)
            if stop_at is not None:
                self._stop_at(stop_at)
            self._attention = True
            self._arrived.notify()

    def _soon(self, step: int | None) -> int | None:
        """A rank that is far behind does not train together with the others: it need not come up with them first."""
        return self._step if step is not None and step > self._step + FAR_BEHIND else step

    @property
    def stopping(self) -> bool:
        """A stop took effect, or is about to."""
        return self._stop is not None

    def submit(self, command: Command, by: str) -> "Future[Outcome]":
        """Queues a command; the future is done when it has taken effect. It cannot be cancelled."""
        future: Future[Outcome] = Future()
        future.set_running_or_notify_cancel()
        with self._arrived:
            if isinstance(command, Ping):
                future.set_result(Outcome(ok=True, step=self._step, state=self._state()))
            elif self._end is not None:
                future.set_result(self._refusal(self._end))
            else:
                self._submitted.append((command, by, future))
                self._attention = True
                self._arrived.notify()
        return future

    def close(self, end: State) -> None:
        """The training has ended: what was not applied is answered so."""
        with self._arrived:
            self._end = end
            left = [future for _, _, future in self._submitted]
            self._submitted.clear()
        for future in left:
            future.set_result(self._refusal(end))

    def pass_through(self, step: int) -> None:
        """The safe point, `step` updates being complete; waits while paused.

        Raises:
            StopTraining: a stop was asked for.
        """
        self._step = step
        if not self._attention:
            return
        if self._stop is not None:
            self._stop_again(self._stop)
        self._stop_if_due(step)
        self._hold_if_due(step)
        self._apply_submitted(step)
        while self._is_due(step):
            with self._arrived:
                self._arrived.wait_for(lambda: self._submitted or not self._is_due(step))
            self._apply_submitted(step)
            self._stop_if_due(step)
        self._let_go(step, "resumed")
        with self._arrived:
            self._attention = (
                bool(self._submitted) or self._hold_at is not None or self._last_step is not None
            )

    def pause_here(self, step: int, by: str) -> None:
        """Holds the training where it is now, until it is told to go on. Raises StopTraining, as above."""
        self.submit(Pause(), by)
        self.pass_through(step)

    def _stop_again(self, stop: StopTraining) -> None:
        self._swallowed += 1
        if self._swallowed >= MOST_SWALLOWED:
            self._give_up()
        raise stop

    def _stop_if_due(self, step: int) -> None:
        if self._last_step is not None and step >= self._last_step:
            self._stop = StopTraining(self._last_reason, checkpoint=False)
            raise self._stop

    def _stop_at(self, last_step: int) -> None:
        if self._last_step is None or last_step < self._last_step:
            self._last_step, self._last_reason = last_step, "asked"

    def _is_due(self, step: int) -> bool:
        return self._hold_at is not None and step >= self._hold_at

    def _hold_if_due(self, step: int) -> None:
        if self._is_due(step) and not self._held:
            self._held = True
            self._changed("paused", step, self._why)

    def _let_go(self, step: int, why: str) -> None:
        if self._held:
            self._held = False
            self._changed("running", step, why)

    def _apply_submitted(self, step: int) -> None:
        while self._submitted:
            command, by, future = self._submitted.popleft()
            try:
                message = self._apply(command, by, step)
            except Exception as error:  # a full disk, say: the command has failed, the training has not
                text = f"{type(error).__name__}: {error}"
                future.set_result(Outcome(ok=False, step=step, state=self._state(), message=text))
                continue
            future.set_result(Outcome(ok=True, step=step, state=self._state(), message=message))
            if self._stopping:
                self._stop_as(command, step)
                return

    def _stop_as(self, command: Command, step: int) -> None:
        """At once, or together with other ranks after a step or two more."""
        if self._stop_after > step:
            self._hold_at = None
            self._stop_at(self._stop_after)
            return
        self._stop = StopTraining("asked", checkpoint=isinstance(command, Stop) and command.checkpoint)
        raise self._stop

    def _apply(self, command: Command, by: str, step: int) -> str:
        old = self._state()
        message = ""
        match command:
            case Pause():
                self._hold(step, 0, _asked(by))
            case Resume():
                self._resume(step)
            case Step(count=count):
                left = max(self._hold_at - step, 0) if self._hold_at is not None else 0
                self._hold(step, left + count, "stepped")
                self._held = False
                self._changed("running", step, f"{count} steps" if count > 1 else "one step")
            case Checkpoint():
                message = self._save(step)
            case Stop():
                self._stop_after = self._together.stop(step, held=self._held)
                self._stopping = True
                self._changed("stopping", step, _asked(by))
            case Ping():
                pass
            case _:
                assert_never(command)
        name = type(command).__name__.lower()
        self._applied(CommandApplied(step=step, command=name, by=by, old=old, new=message or self._state()))
        return message

    def _hold(self, step: int, count: int, why: str) -> None:
        self._hold_at, self._why = self._together.hold(step, count, held=self._held), why
        self._hold_if_due(step)

    def _resume(self, step: int) -> None:
        self._together.go_on()  # first: where the others cannot be told, all stay held
        self._hold_at = None
        self._let_go(step, "resumed")

    def _refusal(self, end: State) -> Outcome:
        return Outcome(ok=False, step=self._step, state=end, message="The run has ended.")

    def _state(self) -> State:
        if self._end is not None:
            return self._end
        if self._stopping:
            return "stopping"
        return "paused" if self._held else "running"


def _asked(by: str) -> str:
    return f"asked by {by}" if by else "asked"
