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


class StopTraining(BaseException):
    """Raised out of the safe point to end the training; not an Exception, so that no script takes it for its own."""

    def __init__(self, reason: str, *, checkpoint: bool) -> None:
        super().__init__(reason)
        self.reason = reason
        self.checkpoint = checkpoint


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
    ) -> None:
        """Makes an open gate.

        Args:
            changed: told each new state, its step and the reason, in the thread that changed it.
            applied: told each command that took effect.
            save: saves a checkpoint of the given step in the training thread and returns its path.
            last_step: the training is stopped when so many steps are complete.
            give_up: called when the training has swallowed its stop again and again.
        """
        self._changed = changed
        self._applied = applied
        self._save = save
        self._last_step = last_step
        self._give_up = give_up
        self._stop: StopTraining | None = None
        self._swallowed = 0
        self._submitted: deque[tuple[Command, str, Future[Outcome]]] = deque()
        self._arrived = threading.Condition()
        self._end: State | None = None
        self._paused = False
        self._stopping = False
        self._allowance = 0
        self._attention = last_step is not None
        self._step = 0

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
        if self._last_step is not None and step >= self._last_step:
            self._stop = StopTraining(f"max-steps {self._last_step} reached", checkpoint=False)
            raise self._stop
        self._spend_allowance(step)
        self._apply_submitted(step)
        while self._paused and self._allowance == 0:
            with self._arrived:
                self._arrived.wait_for(lambda: self._submitted)
            self._apply_submitted(step)
        with self._arrived:
            self._attention = bool(self._submitted) or self._paused or self._last_step is not None

    def pause_here(self, step: int, by: str) -> None:
        """Holds the training where it is now, until it is told to go on. Raises StopTraining, as above."""
        self.submit(Pause(), by)
        self.pass_through(step)

    def _stop_again(self, stop: StopTraining) -> None:
        self._swallowed += 1
        if self._swallowed >= MOST_SWALLOWED:
            self._give_up()
        raise stop

    def _spend_allowance(self, step: int) -> None:
        if self._paused and self._allowance > 0:
            self._allowance -= 1
            if self._allowance == 0:
                self._changed("paused", step, "stepped")

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
                self._stop = StopTraining(
                    "asked", checkpoint=isinstance(command, Stop) and command.checkpoint
                )
                raise self._stop

    def _apply(self, command: Command, by: str, step: int) -> str:
        old = self._state()
        message = ""
        match command:
            case Pause():
                self._pause(step)
            case Resume():
                self._resume(step)
            case Step(count=count):
                self._paused, self._allowance = True, self._allowance + count
                self._changed("running", step, f"{count} steps" if count > 1 else "one step")
            case Checkpoint():
                message = self._save(step)
            case Stop():
                self._stopping = True
                self._changed("stopping", step, f"asked by {by}" if by else "asked")
            case Ping():
                pass
            case _:
                assert_never(command)
        name = type(command).__name__.lower()
        self._applied(CommandApplied(step=step, command=name, by=by, old=old, new=message or self._state()))
        return message

    def _pause(self, step: int) -> None:
        was_running = self._state() == "running"
        self._paused, self._allowance = True, 0
        if was_running:
            self._changed("paused", step, "asked")

    def _resume(self, step: int) -> None:
        was_paused = self._paused
        self._paused, self._allowance = False, 0
        if was_paused:
            self._changed("running", step, "resumed")

    def _refusal(self, end: State) -> Outcome:
        return Outcome(ok=False, step=self._step, state=end, message="The run has ended.")

    def _state(self) -> State:
        if self._end is not None:
            return self._end
        if self._stopping:
            return "stopping"
        return "paused" if self._paused and self._allowance == 0 else "running"
