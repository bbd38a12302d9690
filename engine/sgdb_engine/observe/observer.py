"""The observer: sees a training step through hooks, and makes a row of it. The same for our loop and for a stranger's.

Order within a step: the batch is fetched · the model is called · backward · clip · `optimizer.step()`.
The safe point lies inside `optimizer.step()`, before the weights change. One optimizer leads: its updates are the
steps; what others do between two of them stands in rows of their own.

Most steps of a fast training are quick: their parts are not timed, and their rows are made many at a time.
"""

import math
import os
import threading
import time
import types
import weakref
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import torch

from sgdb_engine.observe.budget import Budget
from sgdb_engine.observe.guard import Guard
from sgdb_engine.observe.logged import Logged
from sgdb_engine.observe.measurements import CallRanges, NamesOf
from sgdb_engine.observe.pending_loss import PendingLoss
from sgdb_engine.observe.pictures import Pictures
from sgdb_engine.observe.readback import Row, Value, host_value
from sgdb_engine.observe.rows import QuickSteps, Rows, learning_rates
from sgdb_engine.observe.step_times import StepTimes
from sgdb_engine.observe.told import Told
from sgdb_engine.observe.trainee import Clip, Trainee, Trainees
from sgdb_engine.recording.writer import Recorder
from sgdb_engine.whereabouts import Whereabouts

if TYPE_CHECKING:
    from sgdb_engine.witness.witness import Witness

clock = time.perf_counter

is_compiling = torch.compiler.is_compiling
this_thread = threading.get_ident
_is_tracing: Callable[[], bool] = torch.jit.is_tracing  # type: ignore[attr-defined]

QUICK_COLUMNS = ("time/step", "lr", "train/loss")
NOBODY = 0
"""No thread has this identity."""

_observers: "weakref.WeakSet[Observer]" = weakref.WeakSet()


class Observer:
    """The step that is being observed, in one thread of the process that made it; its methods are what hooks call."""

    def __init__(
        self,
        recorder: Recorder,
        budget_share: float,
        safe_point: Callable[[int], None],
        told: Told,
        names_of: NamesOf,
        ranks: int = 1,
    ) -> None:
        self.step = 0
        """Optimizer steps completed."""
        self.thread = this_thread()
        """Whose training it is."""
        self.may_move = False
        """Another thread may turn out to be the one that trains."""
        self.quick = False
        """The step under way is a quick one, as far as is known."""
        self.inside: Literal["", "forward", "backward"] = ""
        """Within a call of the model, or within a backward that may call parts of it again."""
        self.inputs: Any = None
        """Of the newest call of a model that was not measured."""
        self.model = NOBODY
        """Which model that was, by its `id`."""
        self.phase = "between steps"
        """What the training is doing, for whoever looks from outside."""
        self.waiting = False
        """Within a collective."""
        self.calls = 0
        """See `Whereabouts`."""
        self.budget = Budget(budget_share, in_step=ranks > 1)
        self.told = told
        self.guard = Guard(recorder, lambda: self.step, told.failed)
        self.guarded, self.failed = self.guard.run, self.guard.failed
        self.rows = Rows(recorder, self.guarded, told.found)
        self.trainees = Trainees(names_of)
        self.loss = PendingLoss()
        self.gradient_scale: Value = 1.0
        """How many times too large the gradients are."""
        self.ranges = CallRanges()
        self.looks_for_validation = True
        """Until the user logs one."""
        self.expect: Callable[[Sequence[Any], Sequence[Any]], None] = lambda models, optimizers: None
        """Takes in models and optimizers that the user names."""
        self.has_clipped: Callable[[], None] = lambda: None
        """Told when gradients were clipped."""
        self.updates = self.backwards = 0
        """Updates of all optimizers that were begun, and backward passes; quick steps are not counted."""
        self.called_models: set[str] = set()
        """Classes of the models that were called before the first step."""
        self.witness: Witness
        """Set before anything is installed."""
        self.settled = False
        """The models of all optimizers are known, so that steps may be quick."""
        self._safe_point = safe_point
        self._was_nonfinite = False
        self.pictures = Pictures(self, recorder, budget_share)
        self._quick_steps = QuickSteps(self.rows, self.budget)
        self._times = StepTimes(None)
        self.logged = Logged(self.guard, recorder)
        """Of the user's own; part of the row of the step that is under way."""
        self._clips: list[Clip] = []
        self._skipped = 0
        self._told_of_others = False
        self._begin_step(clock())
        _observers.add(self)

    def __reduce__(self) -> Any:
        """Serialized along with a class of the user's whose calls are watched, it is what sees nothing anywhere."""
        return types.SimpleNamespace, (), {"thread": NOBODY}

    def _begin_step(self, now: float) -> None:
        self.loss.begin()
        self.inputs = None
        self._sampled = self.rows.urgent or self.budget.due(now, self.step)
        if self._sampled:
            self.rows.urgent = False
            self.trainees.begin()
            self.ranges.begin()
        self.pictures.begin(self._sampled)
        self.quick = self.budget.allows_quick and self.settled and not self._sampled
        self.quick &= self.step > 0 and not self.witness.looks

    def here(self) -> bool:
        """Whether the caller is the training itself: not a worker, not another thread, not a compiler's trace."""
        # the compilers first: they must not trace the rest
        return not is_compiling() and not _is_tracing() and this_thread() == self.thread

    def claim(self) -> bool:
        """Another thread trains: whether it takes over, now that the observed one has not begun, or has ended."""
        if not self.may_move or self.thread == NOBODY:
            return False
        unbegun = self.step == 0 and self.phase not in ("backward", "optimizer")
        if unbegun or self.thread not in {each.ident for each in threading.enumerate()}:
            self.thread = this_thread()
            self.inside, self.phase = "", "between steps"
            self.loss.begin()
            return True
        if not self._told_of_others:
            self._told_of_others = True
            self.told.noted("Several threads train at the same time: only the first of them is observed")
        return False

    @property
    def whereabouts(self) -> Whereabouts:
        """Where the training is; looked at from another thread."""
        waits = self.waiting or self.phase == "backward"
        return Whereabouts(self.phase, self.thread, waits, self.calls)

    def leave(self) -> None:
        """Nothing is observed any more."""
        self.thread = NOBODY
        self.quick = False

    # -- what the hooks tell ----------------------------------------------------------------------------

    def fetched(self, seconds: float) -> None:
        """A batch was waited for."""
        self.calls += 1
        if self._times.fetched(clock(), seconds):
            self.guard.fixed = 0.0  # what it cost to see an evaluation is no step's cost

    def evaluated(self) -> None:
        """The model was called without gradients: what lies between two steps is not a step's time."""
        self.quick = False
        self._times.evaluated()

    def called(self, model: int, inputs: Any, output: Any, seconds: float, training: bool) -> None:
        """A model, named by its `id`, was called with gradients, in training or in eval mode."""
        if self._times.called(clock(), seconds, training):
            self.guard.fixed = 0.0
        if not self._sampled:
            self.inputs, self.model = inputs, model
        elif not self._times.backward or not self.ranges.has(
            model
        ):  # what no backward followed was no training
            self.guard.measure("ranges", self.ranges.read, model, inputs, output)
            self.pictures.called(model, inputs, output)

    def went_backward(self, losses: Any, seconds: float) -> None:
        """`backward` was called on these tensors. The loss of an update is the sum of all before it."""
        self.backwards += 1
        self._times.went_backward(clock(), seconds)
        self.loss.add(losses)

    def went_quickly_backward(self, losses: Any) -> None:
        """The same in a quick step."""
        try:
            self.loss.add_quickly(losses)
        except Exception as error:
            self.failed("loss", error)

    def own_work_ends(self) -> None:
        """From here on this rank may wait for the others."""
        self._times.own_work_ends(clock())

    def waited(self, seconds: float) -> None:
        """It did, for so long, and goes on with its own work."""
        self._times.waited += seconds

    def about_to_clip(self, parameters: Sequence[torch.Tensor]) -> None:
        """The gradients are complete, and these are about to be clipped."""
        if self._sampled and not self._clips:
            self.guard.measure("statistics", self.trainees.read_gradients, parameters, self.gradient_scale)

    def clipped(
        self, parameters: Sequence[torch.Tensor], norm: torch.Tensor, limit: float, norm_type: float
    ) -> None:
        """The gradients of these were clipped to `limit`; `norm` is what it was before."""
        if not hasattr(norm, "placements"):  # to read that of a sharded model is a collective
            self._clips.append((parameters, host_value(norm) / self.gradient_scale, limit, norm_type))
        self.has_clipped()

    def skipped(self) -> None:
        """The gradients were not finite, so that a scaler left out the update: its loss is no step's."""
        loss = self.loss.value
        self._clips = []
        self.loss.begin()
        self._skipped += 1
        self.guarded("findings", self.witness.step_is_void)
        row = Row(self.step, time.time(), time.monotonic(), {"amp/skipped": float(self._skipped)})
        if loss is not None:
            self._add_guilty_inputs(row, loss)
        self.rows.take(row)

    def gradients_accumulate(self) -> None:
        """What was taken for complete gradients is not: another backward adds to them."""
        self.loss.closed = False
        if self._sampled:
            self.trainees.begin()

    def before_update(self, trainee: Trainee, parameters: Iterable[torch.Tensor]) -> None:
        """Just before the weights change."""
        self.loss.closed = True
        if self._sampled:
            self.guard.measure("statistics", self._read_before, trainee, parameters)

    def _read_before(self, trainee: Trainee, parameters: Iterable[torch.Tensor]) -> None:
        trainee.update.follow(parameters)
        if not self._clips:
            trainee.update.read_gradients(self.gradient_scale)
        trainee.update.keep_weights()

    def hold(self) -> None:
        """The safe point: a command may be applied here, a pause is spent here, and a stop is raised from here."""
        self.guard.hold(self._safe_point)

    def after_update(self, trainee: Trainee, rates: Callable[[], Sequence[Any]], seconds: float) -> None:
        """The weights have changed. The leader's update completes the step."""
        self._times.optimizer += seconds
        if self._sampled:
            calls = self.ranges if trainee is self.trainees.leader else None
            self.guard.measure("statistics", trainee.update.read_weights, calls)
        leads = self.trainees.completes_step(trainee, self.step)
        self.step += int(leads)
        if leads and self._sampled:
            self.guard.measure("ranges", self.ranges.measure_kept)
            self.guard.measure("pictures", self.pictures.see)
        self.guarded("findings", self.witness.after_update, leads, self.loss.value)
        now = clock()
        self.guarded("row", self._end_update, trainee, rates, leads, now)
        if not leads:
            return
        measured = self._sampled  # then what its row took is booked as a part of that
        self._times = StepTimes(now)
        self.guard.begin_step()
        if measured:
            self.pictures.step_ended()
        self._begin_step(now)
        self.guard.fixed = 0.0 if measured else clock() - now

    def after_quick_update(self, trainee: Trainee, optimizer: Any) -> None:
        """The same after a quick step. What is not one group, one loss, and finite, takes a longer way."""
        now, times, guard, loss = clock(), self._times, self.guard, self.loss.value
        self.step += 1
        try:
            groups = optimizer.param_groups
            lr = groups[0].get("lr")
            plain = len(groups) == 1 and type(lr) is float and type(loss) is float and loss - loss == 0
            if plain and not self._clips and not self.logged.values:
                trainee.updates += 1
                row = (self.step, now, times.total(now) - guard.held, lr, loss)
                self._quick_steps.add(QUICK_COLUMNS, row, now)
            else:
                self._end_odd_update(trainee, optimizer, now)
        except Exception as error:
            self.failed("row", error)
        times.start, times.waited, guard.held = now, 0.0, 0.0
        if self.rows.urgent or self.budget.due(now, self.step):
            self._begin_step(now)
        else:
            self.loss.begin()
            self.inputs = None

    # -- the row ----------------------------------------------------------------------------------------

    def _end_odd_update(self, trainee: Trainee, optimizer: Any, now: float) -> None:
        """Of a quick step with several groups, clipping or logged values; numbers of a device have a row at once."""
        loss = self.loss.value
        if loss is not None and not (isinstance(loss, float) and math.isfinite(loss)):
            self._end_update(trainee, lambda: learning_rates(optimizer), True, now)
            return
        rates = [host_value(rate) for rate in learning_rates(optimizer)]
        trainee.updated(loss, rates, self._clips, measured=False)
        values = {
            "time/step": self._times.total(now) - self.guard.held,
            **trainee.values,
            **self.logged.take(),
        }
        self._clips = []
        row = (self.step, now, *map(float, values.values()))
        self._quick_steps.add(tuple(values), row, now)

    def _end_update(
        self, trainee: Trainee, rates: Callable[[], Sequence[Any]], leads: bool, now: float
    ) -> None:
        loss = self.loss.value if leads else self.loss.take_shared()
        trainee.updated(loss, [host_value(rate) for rate in rates()], self._clips, measured=self._sampled)
        self._clips = []
        self.gradient_scale = 1.0
        if leads:
            self.loss.keep_to_share()
            self._quick_steps.flush()
            self._end_step(now)
            for news in self.trainees.news():
                self.told.noted(news)
        else:
            row = Row(self.step, time.time(), time.monotonic(), self.trainees.values_of(trainee))
            if trainee.update.tensors is not None:
                trainee.add_tensors(row)
            self.rows.take(row)

    def _end_step(self, now: float) -> None:
        times, own = self._times, self.guard
        step_s = times.total(now) - own.held
        values: dict[str, Value] = {**times.columns(now, step_s, own.fixed + own.measured)}
        values |= self.trainees.values_of(self.trainees.leader) | self.logged.take()
        row = Row(self.step, time.time(), time.monotonic(), values)
        self._add_measurements(row)
        self.rows.take(row)
        made = clock() - now
        self.budget.step_ended(step_s, own.fixed, own.measured + (made if self._sampled else 0.0), now)

    def _add_measurements(self, row: Row) -> None:
        if self._sampled:
            row.values.update(self.ranges.columns())
            self.trainees.leader.add_tensors(row)
        else:
            self._add_guilty_inputs(row, row.values.get("train/loss", 0.0))

    def _add_guilty_inputs(self, row: Row, loss: Value) -> None:
        """A loss that is not finite, in a step that was not to be measured: was it the batch?"""
        if not self._was_nonfinite and isinstance(loss, float) and not math.isfinite(loss):
            self._was_nonfinite = True  # from the first NaN on all steps have one: their batches tell nothing
            if not self._sampled:
                self.ranges.begin()
                self.ranges.read(self.model, self.inputs, None)
            row.values.update(self.ranges.columns())

    @property
    def step_is_under_way(self) -> bool:
        """A model was called for training, or backward was, since the last update."""
        return self.loss.value is not None or self.inputs is not None or self._times.forward > 0

    # -- what is logged ---------------------------------------------------------------------------------

    def log_now(self, values: Mapping[str, Any]) -> None:
        """Values that belong to the last completed step, such as those of a validation."""
        self.flush()
        self.guarded("log", self.rows.take_now, self.step, values)

    def flush(self) -> None:
        """Hands over the rows of all steps that have ended; called in the thread that is observed."""
        self.guarded("row", self._quick_steps.flush)

    def finish(self) -> None:
        """The end: everything that is still on its way from a device arrives."""
        self.leave()
        self.flush()
        self.guarded("findings", self.witness.end)
        if last := self.logged.take():
            self.guarded("log", self.rows.take_now, self.step, last)
        self.guarded("pictures", self.pictures.finish)
        self.guarded("readback", self.rows.drain)


os.register_at_fork(after_in_child=lambda: list(map(Observer.leave, _observers)))
