"""One run: a training, in a thread of its own or in the one that calls, observed, recorded and under control."""

import contextlib
import os
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sgdb_engine.best import Best
from sgdb_engine.control import Checkpoint, Command, Outcome, Pause, Resume, Step, Stop
from sgdb_engine.current import observing
from sgdb_engine.ending import End, OverError
from sgdb_engine.errors import SgdbError
from sgdb_engine.events import (
    CheckStage,
    EpochEnded,
    Finding,
    FindingChanged,
    Noted,
    RunDescribed,
    State,
    StateChanged,
    TrainingFailed,
    Validated,
)
from sgdb_engine.gate import Gate, StopTraining
from sgdb_engine.ranks.halting import FirstRank
from sgdb_engine.ranks.place import ALONE, Place
from sgdb_engine.recording.lease import acquire_lease
from sgdb_engine.recording.writer import Recorder
from sgdb_engine.saving import Saving
from sgdb_engine.whereabouts import Whereabouts

if TYPE_CHECKING:
    from sgdb_engine.observe.observer import Observer
    from sgdb_engine.observe.told import Told


def _leave_by_raising(end: End) -> None:
    raise OverError(end)


Training = Callable[["Engine"], End | None]
"""What is run: builds its workload, describes it, and trains under `engine.observing()`. None: it is finished."""


class Engine:
    """Runs one training in this process: in a background thread, or in the thread that calls.

    Needs no second process and no terminal: make it, `start()` it, `wait()` for it.
    """

    def __init__(
        self,
        folder: Path,
        training: Training,
        *,
        budget: float = 0.02,
        max_steps: int | None = None,
        place: Place = ALONE,
    ) -> None:
        """Makes a run that is not started yet.

        Args:
            folder: the run folder; exists, and is this run's own.
            training: is called in the training thread with this engine; what it raises is told as its failure.
            budget: share of the step time that per-tensor statistics may cost, 0..1.
            max_steps: stop in good order when so many optimizer steps are complete.
            place: which of the processes that train together this is; the first one's engine holds the run.

        Raises:
            RunFolderError: another engine has this run.
        """
        self.folder = folder
        self.pid = os.getpid()
        """Of the process whose run this is; forked children are not part of it."""
        self.place = place
        self._lease = acquire_lease(folder) if place.rank == 0 else None
        self.recorder = Recorder(folder, rank=place.rank)
        self.saving = Saving(folder, self.recorder.event)
        self.gate = Gate(
            self._state_changed,
            self.recorder.event,
            self.saving.save,
            max_steps,
            lambda: self.give_up(),
            FirstRank(folder, place) if place.size > 1 and place.rank == 0 else None,
        )
        self.give_up: Callable[[], None] = lambda: None
        """Ends the process when the training has swallowed its stop; set by whoever serves the engine."""
        self.on_finding: Callable[[Finding], None] = lambda finding: None
        """Told each finding when it is recorded."""
        self.safe_point: Callable[[int], None] = self.gate.pass_through
        """Passed before each update, with the steps completed."""
        self.mute: frozenset[str] = frozenset()
        """Codes of findings that are not told."""
        self.probing = False
        """What is observed is looked at thoroughly, however long that takes."""
        self.end_here: Callable[[End], None] = _leave_by_raising
        """Ends the run from within the training; a host ends the process, so that a script goes no further."""
        self.last_words: Callable[[], None] = lambda: None
        """Waits until whoever serves the engine has written how it ended."""
        self.described: RunDescribed | None = None
        self.checks: list[CheckStage] = []
        self.findings: list[Finding] = []
        self.metrics: dict[str, float] = {}
        """The newest value of each metric."""
        self.epoch = 0
        """Completed epochs."""
        self.notes: list[str] = []
        """What a user should know, told on the way."""
        self.end: End | None = None
        self.doing = "importing torch"
        """What a run that is starting is busy with."""
        self.started = time.monotonic()
        self._training = training
        self._budget = budget
        self._observer: Observer | None = None
        self._state: State = "starting"
        self._best = Best("val/loss")
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self.run, name="sgdb-training", daemon=True)
        self._thread_state: Any = None

    # -- from outside -----------------------------------------------------------------------------------

    def start(self) -> None:
        """Starts the training; it inherits the calling thread's PyTorch settings."""
        if "torch" in sys.modules:  # otherwise nothing was set yet that could be carried over
            from sgdb_engine import torch_state

            self._thread_state = torch_state.capture()
        self._thread.start()

    def run(self) -> End:
        """Runs the training in the calling thread, to its end."""
        end = End("failed", 1)
        try:
            end = self._train()
            self.saving.put_result_back()
        finally:
            self.close(end)
        return end

    def wait(self, timeout_s: float | None = None) -> End | None:
        """Waits for the end; None where it is not reached in time."""
        return self.end if self._ended.wait(timeout_s) else None

    def submit(self, command: Command, by: str = "python") -> "Future[Outcome]":
        """Hands a command to the gate; the future is done when it has taken effect."""
        return self.gate.submit(command, by)

    def pause(self) -> "Future[Outcome]":
        """Holds the training at its next safe point."""
        return self.submit(Pause())

    def resume(self) -> "Future[Outcome]":
        """Lets a paused training go on."""
        return self.submit(Resume())

    def do_step(self, count: int = 1) -> "Future[Outcome]":
        """Lets the training do `count` optimizer steps, then holds it."""
        return self.submit(Step(count))

    def checkpoint(self) -> "Future[Outcome]":
        """Saves a checkpoint at the next safe point."""
        return self.submit(Checkpoint())

    def stop(self, *, checkpoint: bool = True) -> "Future[Outcome]":
        """Ends the training in good order."""
        return self.submit(Stop(checkpoint))

    @property
    def state(self) -> State:
        """What the run is doing."""
        return self._state

    @property
    def step(self) -> int:
        """Completed optimizer steps."""
        return self._observer.step if self._observer else 0

    @property
    def whereabouts(self) -> "Whereabouts":
        """What the training is doing at this moment."""
        observer = self._observer
        return observer.whereabouts if observer else Whereabouts(self.doing or "starting")

    @property
    def own_share(self) -> float | None:
        """sgdb's part of the step time, 0..1; None before the first step."""
        return self._observer.budget.own_share if self._observer and self._observer.step else None

    def latest(self) -> dict[str, float]:
        """The newest values by column."""
        return {**(self._observer.rows.latest if self._observer else {}), **self.metrics}

    # -- from the training ------------------------------------------------------------------------------

    @contextmanager
    def observing(self, told: "Told | None" = None, **options: Any) -> Iterator["Observer"]:
        """Observes what the calling thread trains; the gate is passed at each safe point.

        Args:
            told: who is told what else is seen; findings and notes are recorded where it is left out.
            options: as for `observe`.
        """
        from sgdb_engine.observe.hooks import observe
        from sgdb_engine.observe.told import Told

        with observe(
            self.recorder,
            budget=self._budget,
            safe_point=self.safe_point,
            probing=self.probing,
            told=told or Told(found=self.found, noted=self.note, failed=self.notes.append),
            ranks=self.place.size,
            **options,
        ) as observer:
            self._observer = observer
            with observing(self):
                self.begin("")
                yield observer

    def log(self, values: Mapping[str, Any]) -> None:
        """Values of the user's own, by column name, wherever in its loop the training is; never raises.

        What starts with `val/` counts as a validation: it is the user's own, and sgdb looks for none any more.
        """
        observer = self._observer
        if observer is None or self.end is not None or os.getpid() != self.pid:
            return
        from sgdb_engine.observe.logged import log_anywhere

        log_anywhere(observer, values)
        validation = {name: value for name, value in values.items() if name.startswith("val/")}
        if validation:
            observer.looks_for_validation = False
            observer.guarded("log", self._log_validation, validation)

    def _log_validation(self, values: Mapping[str, Any]) -> None:
        from sgdb_engine.observe.readback import host_value

        numbers = ((name, host_value(value)) for name, value in values.items())
        self.validation_seen({name: value for name, value in numbers if isinstance(value, float)})

    def expect(self, models: Sequence[Any], optimizers: Sequence[Any]) -> None:
        """The user names the models that are trained, and their optimizers."""
        if self._observer is not None:
            self._observer.guarded("names", self._observer.expect, models, optimizers)

    def begin(self, doing: str) -> None:
        """The training, or the user's code around it, is under way; `doing` says with what until there are steps."""
        self.doing = doing
        if self._state == "starting":
            self._state_changed("running", self.step, "")

    def describe(self, description: RunDescribed) -> None:
        """Tells what is being trained."""
        self.described = description
        self.recorder.event(description)

    def checkpoint_with(self, state: Callable[[], Mapping[str, Any]], keep: int = 3) -> None:
        """Says what belongs into a checkpoint, and how many are kept."""
        self.saving.state, self.saving.keep = state, keep

    def epoch_ended(self, epoch: int) -> None:
        """Records a completed epoch."""
        self.epoch = epoch
        self.recorder.event(EpochEnded(step=self.step, epoch=epoch))

    def validation_seen(self, metrics: dict[str, float]) -> None:
        """Records what looked like a validation pass of the user's code."""
        self.validated(metrics, best=self._best.improved(metrics, self.epoch, self.step))

    def validated(self, metrics: dict[str, float], *, best: bool = False) -> None:
        """Records a validation pass."""
        self.metrics.update(metrics)
        self.recorder.event(Validated(step=self.step, metrics=metrics, best=best))

    def stage(self, stage: CheckStage) -> None:
        """Records that a stage of the pre-flight is under way."""
        self.recorder.event(stage)

    def checked(self, stage: CheckStage) -> None:
        """Records the outcome of a stage of the pre-flight."""
        self.checks.append(stage)
        self.recorder.event(stage)

    @property
    def observer(self) -> "Observer | None":
        """Who sees the training, once it is seen."""
        return self._observer

    def note(self, text: str) -> None:
        """Records a line of sgdb's own."""
        self.notes.append(text)
        self.recorder.event(Noted(step=self.step, text=text))

    def found(self, finding: Finding) -> None:
        """Records a finding, unless it is muted."""
        if finding.code in self.mute:
            return
        same = [i for i, f in enumerate(self.findings) if (f.code, f.where) == (finding.code, finding.where)]
        if same:  # it is confirmed, or cleared
            self.findings[same[0]] = finding
        else:
            self.findings.append(finding)
        self.recorder.event(FindingChanged(step=finding.step, finding=finding))
        self.on_finding(finding)

    def pause_here(self, by: str) -> None:
        """Holds the training where it is, in the middle of whatever it does; that is nobody's step time."""
        if self._observer is not None:
            self._observer.guard.hold(lambda step: self.gate.pause_here(step, by))
        else:
            self.gate.pause_here(self.step, by)

    def leave(self, end: End) -> None:
        """The process is about to end, without passing any `finally`."""
        self.close(end)
        self.last_words()

    # -- the thread -------------------------------------------------------------------------------------

    def close(self, end: End) -> None:
        """The run has ended so: nothing more is recorded. Does nothing the second time, and in a forked child."""
        if self.end is not None or os.getpid() != self.pid:
            return
        self.gate.close(end.state)
        self._state_changed(end.state, self.step, end.message)
        self.recorder.close()
        with contextlib.suppress(SgdbError):  # a full disk; the run is free when this process has ended
            if self._lease is not None:
                self._lease.release()
        self.end = end
        self._ended.set()

    def _train(self) -> End:
        try:
            if self._thread_state is not None:
                from sgdb_engine import torch_state

                torch_state.apply(self._thread_state)
            end = self._training(self)
        except StopTraining as stop:
            return self.stopped(stop)
        except OverError as over:
            return over.end
        except SgdbError as error:
            return End("failed", 2, str(error), refused=True)
        except BaseException as error:
            return self._failed(error)
        failed = any(check.status == "fail" for check in self.checks)
        return end or End("finished", 1 if failed else 0)

    def stopped(self, stop: StopTraining) -> End:
        """How a run ends that was stopped; with a checkpoint where one was asked for and can be made."""
        message = stop.reason
        if stop.checkpoint and self.saving.state is not None:
            try:
                message = f"{message}; checkpoint {self.saving.save(self.step)}"
            except Exception as error:  # a full disk, say: the run has stopped as asked all the same
                message = f"{message}; no checkpoint: {error}"
        return End("stopped", 0, message)

    def _failed(self, error: BaseException) -> End:
        end = self.failed(error)
        with contextlib.suppress(OSError, ValueError):  # a closed stderr
            # the user's own traceback belongs on stderr
            print("".join(traceback.format_exception(error)), file=sys.stderr, flush=True)  # noqa: T201
        return end

    def failed(self, error: BaseException) -> End:
        """Records what the training code raised; how the run ends then."""
        text = "".join(traceback.format_exception(error))
        summary = "".join(traceback.format_exception_only(error)).strip()
        self.recorder.event(TrainingFailed(step=self.step, error=summary, traceback=text))
        return End("failed", 1, summary)

    def _state_changed(self, state: State, step: int, reason: str) -> None:
        if self._observer is not None:
            self._observer.flush()  # a paused run shows its last step
        self._state = state
        self.recorder.event(StateChanged(step=step, state=state, reason=reason))
