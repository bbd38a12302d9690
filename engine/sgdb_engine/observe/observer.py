"""The observer: sees a training step through hooks, and makes a row of it. The same for our loop and for a stranger's.

Order within a step: the batch is fetched · the model is called · backward · clip · `optimizer.step()`.
The safe point lies inside `optimizer.step()`, before the weights change.
"""

import math
import os
import threading
import time
import weakref
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch

from sgdb_engine.events import Finding, ProbeFailed
from sgdb_engine.findings.nonfinite import NonFinite
from sgdb_engine.observe.budget import Budget
from sgdb_engine.observe.measurements import Measurements
from sgdb_engine.observe.readback import Readback, Row, Value
from sgdb_engine.observe.statistics import columns_for_ranges
from sgdb_engine.observe.step_times import StepTimes
from sgdb_engine.recording.writer import Recorder

clock = time.perf_counter

_is_compiling = torch.compiler.is_compiling
_is_tracing: Callable[[], bool] = torch.jit.is_tracing  # type: ignore[attr-defined]
_this_thread = threading.get_ident

FLUSH_S = 0.02
"""Rows wait for one another at the most so long."""
HISTOGRAM_PERIOD_S = 2.0
"""Between two histograms of all parameters, at the least."""

_observers: "weakref.WeakSet[Observer]" = weakref.WeakSet()


Clip = tuple[Sequence[torch.Tensor], Value, float, float]
"""A call of `clip_grad_norm_`: the parameters, their norm before it, the limit, the type of the norm."""

Ended = tuple[int, float, float, float, StepTimes, list[Value], Value | None, list[Clip], dict[str, Value]]
"""A step that has no row yet: step, wall, monotonic, seconds, times, learning rates, loss, clips, logged values."""


class Observer:
    """The state of the step that is being observed; its methods are what the hooks call.

    Only the thread that made it is observed, and only in the process that made it.
    """

    def __init__(
        self,
        recorder: Recorder,
        budget_share: float,
        safe_point: Callable[[int], None],
        found: Callable[[Finding], None],
    ) -> None:
        self.step = 0
        """Optimizer steps completed."""
        self.budget = Budget(budget_share)
        self.latest: dict[str, float] = {}
        """The newest host values by column, for progress lines and status."""
        self._recorder = recorder
        self._readback = Readback(recorder, self._arrived)
        self._nonfinite = NonFinite()
        self._measurements = Measurements()
        self._found = found
        self._safe_point = safe_point
        self._thread: int | None = _this_thread()
        self._off: set[str] = set()
        self._urgent = self._was_nonfinite = False
        self._histograms_at = self._flush_at = 0.0
        self._ended: list[Ended] = []
        self._begin_step(None)
        _observers.add(self)

    def _begin_step(self, now: float | None) -> None:
        self._times = StepTimes(now)
        self._loss: Value | None = None
        self._logged: dict[str, Value] = {}
        self._clips: list[Clip] = []
        self._ready = False
        self._inputs: Any = None
        self._sampled = self._urgent or self.budget.due()
        self._urgent = False
        if self._sampled:
            self._measurements.begin()

    def here(self) -> bool:
        """Whether the caller is the training itself: not a worker, not another thread, not a compiler's trace."""
        # the compilers first: they must not trace the rest
        return not _is_compiling() and not _is_tracing() and _this_thread() == self._thread

    def leave(self) -> None:
        """Nothing is observed any more."""
        self._thread = None

    def guarded(self, probe: str, part: Callable[..., None], *args: Any) -> None:
        """Runs a part of ours. If it fails, that is told once and the part stays off; the training goes on."""
        if probe in self._off:
            return
        times = self._times
        elsewhere = times.measured + times.held
        started = clock()
        try:
            part(*args)
        except Exception as error:
            self._failed(probe, error)
        times.fixed += clock() - started - (times.measured + times.held - elsewhere)

    def _measure(self, probe: str, measurement: Callable[..., None], *args: Any) -> None:
        """The same, of what is paid from the budget."""
        if probe in self._off:
            return
        started = clock()
        try:
            measurement(*args)
        except Exception as error:
            self._failed(probe, error)
        self._times.measured += clock() - started

    def _failed(self, probe: str, error: Exception) -> None:
        self._off.add(probe)
        text = f"{type(error).__name__}: {error}"
        self._recorder.event(ProbeFailed(step=self.step, probe=probe, error=text))

    # -- what the hooks tell ----------------------------------------------------------------------------

    def name_parameters(self, model: torch.nn.Module) -> None:
        """A model was found."""
        self._measurements.name_parameters(model)

    def fetched(self, seconds: float) -> None:
        """A batch was waited for."""
        self._times.fetched(clock(), seconds)

    def evaluated(self) -> None:
        """The model was called without gradients: what lies between two steps is not a step's time."""
        self._times.evaluated()

    def called(self, inputs: Any, output: Any, seconds: float, training: bool) -> None:
        """The model was called with gradients, in training or in eval mode."""
        self._times.called(clock(), seconds, training)
        if not self._sampled:
            self._inputs = inputs
        elif not self._measurements.ranges:
            self._measure("ranges", self._measurements.read_ranges, inputs, output)

    def went_backward(self, losses: Any, seconds: float) -> None:
        """`backward` was called on these tensors. The loss of an update is the sum of all before it."""
        self._times.went_backward(clock(), seconds)
        if self._ready:  # a closure that is evaluated again
            return
        for loss in (losses,) if isinstance(losses, torch.Tensor) else losses:
            if loss.numel() == 1:
                value = host_value(loss)
                self._loss = value if self._loss is None else self._loss + value

    def about_to_clip(self, parameters: Sequence[torch.Tensor]) -> None:
        """The gradients are complete, and these are about to be clipped."""
        if self._sampled and not self._clips:
            self._measure("statistics", self._measurements.before_clip, parameters)

    def clipped(
        self, parameters: Sequence[torch.Tensor], norm: torch.Tensor, limit: float, norm_type: float
    ) -> None:
        """The gradients of these were clipped to `limit`; `norm` is what it was before."""
        self._clips.append((parameters, host_value(norm), limit, norm_type))

    def before_update(self, optimizer: torch.optim.Optimizer) -> None:
        """Just before the weights change."""
        self._ready = True
        if self._sampled:
            self._measure("statistics", self._measurements.before_update, optimizer, bool(self._clips))

    def hold(self) -> None:
        """The safe point: a command may be applied here, a pause is spent here, and a stop is raised from here."""
        if "safe point" in self._off:
            return
        started = clock()
        try:
            self._safe_point(self.step)
        except Exception as error:
            self._failed("safe point", error)
        self._times.held += clock() - started

    def after_update(self, optimizer: torch.optim.Optimizer, seconds: float) -> None:
        """The weights have changed: the step is complete."""
        self.step += 1
        self._times.optimizer += seconds
        if self._sampled:
            self._measure("statistics", self._measurements.after_update)
        now = clock()
        self.guarded("row", self._end_step, optimizer, now)
        if self._sampled:
            self.budget.pay(clock() - now)
        if self._histograms_due(now):
            self.guarded("histograms", self._take_histograms, now)
        self._begin_step(now)
        self._times.fixed = clock() - now

    def log(self, values: Mapping[str, Value]) -> None:
        """Values of the user's own, by column name; part of the row of the step that is under way."""
        for name, value in values.items():
            self.guarded(f"log {name}", self._log, name, value)

    def _log(self, name: str, value: Value) -> None:
        self._logged[name] = host_value(value)

    def log_now(self, values: Mapping[str, float]) -> None:
        """Values that belong to the last completed step, such as those of a validation."""
        self.flush()
        self.guarded("log", self._log_now, values)

    def flush(self) -> None:
        """Hands over the rows of all steps that have ended; called in the thread that is observed."""
        self.guarded("row", self._flush)

    def _log_now(self, values: Mapping[str, float]) -> None:
        floats: dict[str, Value] = {name: float(value) for name, value in values.items()}
        self._readback.take(Row(self.step, time.time(), time.monotonic(), floats))

    def finish(self) -> None:
        """The end: everything that is still on its way from a device arrives."""
        self.leave()
        self.flush()
        self.guarded("readback", self._readback.drain)

    # -- the row ----------------------------------------------------------------------------------------

    def _end_step(self, optimizer: torch.optim.Optimizer, now: float) -> None:
        """Notes what the step was; its row is made later, with those of others, unless there is a reason not to wait.

        A row costs a third when the code that makes it is still in the cache from the row before.
        """
        times, loss = self._times, self._loss
        step_s = times.total(now)
        self.budget.step_ended(step_s, times.fixed, times.measured)
        rates = [host_value(group["lr"]) for group in optimizer.param_groups if "lr" in group]
        self._ended.append(
            (self.step, time.time(), time.monotonic(), step_s, times, rates, loss, self._clips, self._logged)
        )
        if self._sampled or now >= self._flush_at or (type(loss) is float and not math.isfinite(loss)):
            self._flush()

    def _flush(self) -> None:
        """Makes the rows of the steps that have ended; only the last one can have been measured."""
        ended, self._ended = self._ended, []
        self._flush_at = clock() + FLUSH_S
        for each in ended[:-1]:
            self._readback.take(self._row_of(each, None))
        for last in ended[-1:]:
            row = self._row_of(last, self._measurements.grad_norm if self._sampled else None)
            if self._sampled:
                self._add_measurements(row)
            elif not self._was_nonfinite and isinstance(last[6], float) and not math.isfinite(last[6]):
                self._add_guilty_inputs(row)
            self._readback.take(row)

    def _row_of(self, ended: Ended, grad_norm: Value | None) -> Row:
        step, wall, monotonic, step_s, times, rates, loss, clips, logged = ended
        values: dict[str, Value] = {
            "time/step": step_s,
            "time/data": times.data,
            "time/forward": times.forward,
            "time/backward": times.backward,
            "time/optimizer": times.optimizer,
            "time/sgdb": times.fixed + times.measured,
        }
        add_learning_rates(values, rates)
        if loss is not None:
            values["train/loss"] = loss
        if clips or grad_norm is not None:
            self._add_gradient_norm(values, grad_norm, clips)
        values.update(logged)
        return Row(step, wall, monotonic, values)

    def _histograms_due(self, now: float) -> bool:
        measured = self._sampled and self._measurements.tensors is not None
        return measured and now >= self._histograms_at and "row" not in self._off

    def _take_histograms(self, now: float) -> None:
        """Too costly for the purse of the other measurements: they come as seldom as the budget asks."""
        columns, values = self._measurements.histograms()
        if columns:
            row = Row(self.step, time.time(), time.monotonic(), {}, False, columns, values)
            self._readback.take(row)
        pause_s = (clock() - now) / self.budget.share if self.budget.share else math.inf
        self._histograms_at = now + max(HISTOGRAM_PERIOD_S, pause_s)

    def _add_gradient_norm(self, values: dict[str, Value], norm: Value | None, clips: Sequence[Clip]) -> None:
        coefficient: Value | None = None
        for parameters, clipped, limit, norm_type in clips:
            if self._measurements.all_in(parameters):
                if norm is None and norm_type == 2:
                    norm = clipped
                new = clip_coefficient(clipped, limit)
                coefficient = new if coefficient is None else coefficient * new
        if norm is not None:
            values["grad_norm"] = norm
        if coefficient is not None:
            values["clip_coef"] = coefficient

    def _add_guilty_inputs(self, row: Row) -> None:
        """The loss is not finite, in a step that was not to be measured: was it the batch?"""
        self._was_nonfinite = True  # from the first NaN on all steps have one: their batches tell nothing
        self._measurements.begin()
        self._measurements.read_ranges(self._inputs, None)
        self._add_ranges(row)

    def _add_measurements(self, row: Row) -> None:
        row.sampled = True
        self._add_ranges(row)
        row.tensor_columns, row.tensor_values = self._measurements.columns, self._measurements.tensors

    def _add_ranges(self, row: Row) -> None:
        for place, stats in self._measurements.ranges.items():
            row.values.update(zip(columns_for_ranges(place), stats, strict=True))

    def _arrived(self, row: Row, values: dict[str, float], tensors: np.ndarray | None) -> None:
        self.latest.update(values)
        if row.sampled or not math.isfinite(sum(values.values())):
            self.guarded("findings", self._look_for_nonfinite, row, values, tensors)

    def _look_for_nonfinite(self, row: Row, values: dict[str, float], tensors: np.ndarray | None) -> None:
        findings = self._nonfinite.inputs(row.step, values) + self._nonfinite.scalars(row.step, values)
        if tensors is not None:
            findings += self._nonfinite.tensors(row.step, row.tensor_columns, tensors)
        self._urgent |= bool(findings)  # a whole measurement of the next step tells which tensors it reached
        for finding in findings:
            self._found(finding)


def _switch_off_in_child() -> None:
    for observer in list(_observers):
        observer.leave()


os.register_at_fork(after_in_child=_switch_off_in_child)


def host_value(value: Value) -> Value:
    """A number of the CPU as a float; one on a device as it is, to be read late.

    Raises:
        RuntimeError: a tensor of several values.
    """
    if not isinstance(value, torch.Tensor):
        return float(value)
    if value.is_cpu:
        return float(value.item())
    return value.detach().reshape(())


def add_learning_rates(values: dict[str, Value], rates: Sequence[Value]) -> None:
    """`lr`, and `lr/<group>` of each group where there are several."""
    if rates:
        values["lr"] = rates[0]
    if len(rates) > 1:
        values.update((f"lr/{i}", rate) for i, rate in enumerate(rates))


def clip_coefficient(norm: Value, limit: float) -> Value:
    """What `clip_grad_norm_` multiplied the gradients by: min(1, limit / (norm + 1e-6)), as PyTorch computes it."""
    coefficient = limit / (norm + 1e-6)
    if isinstance(coefficient, torch.Tensor):
        return coefficient.clamp(max=1.0)
    return 1.0 if coefficient > 1.0 else coefficient
