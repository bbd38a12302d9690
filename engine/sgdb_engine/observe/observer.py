"""The observer: sees a training step through hooks, and makes a row of it. The same for our loop and for a stranger's.

Order within a step: the batch is fetched · the model is called · backward · clip · `optimizer.step()`.
The safe point lies inside `optimizer.step()`, before the weights change.
"""

import math
import os
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch

from sgdb_engine.events import Finding, ProbeFailed
from sgdb_engine.findings.nonfinite import NonFinite
from sgdb_engine.observe.budget import Budget
from sgdb_engine.observe.parameters import UpdateStatistics, columns_of, statistics_for
from sgdb_engine.observe.readback import Readback, Row
from sgdb_engine.observe.statistics import RANGE_STATS, tensor_ranges
from sgdb_engine.recording.writer import Recorder

clock = time.perf_counter

BASE_COLUMNS = (
    "time/step",
    "time/data",
    "time/forward",
    "time/backward",
    "time/optimizer",
    "time/sgdb",
)


def columns_for_ranges(place: str) -> tuple[str, ...]:
    """`input` → `input/min` … `input/nonfinite`."""
    return tuple(f"{place}/{stat}" for stat in RANGE_STATS)


_forks = 0


def _forked() -> None:
    global _forks
    _forks += 1


os.register_at_fork(after_in_child=_forked)


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
        self._found = found
        self._urgent = False
        self._safe_point = safe_point
        self._thread = threading.get_ident()
        self._fork = _forks
        self._off: set[str] = set()
        self._statistics: UpdateStatistics | None = None
        self._tracked: tuple[torch.Tensor, ...] = ()
        self._tensor_columns: tuple[str, ...] = ()
        self._names: dict[int, str] = {}
        self._begin_step(None)

    # -- what a step consists of ------------------------------------------------------------------------

    def _begin_step(self, now: float | None) -> None:
        self._step_start = now
        self._data_s = self._forward_s = self._backward_s = self._optimizer_s = 0.0
        self._fixed_s = self._measured_s = self._held_s = 0.0
        self._tensors: torch.Tensor | None = None
        self._losses: list[torch.Tensor] = []
        self._logged: dict[str, float | torch.Tensor] = {}
        self._grad_norm: float | torch.Tensor | None = None
        self._clip_at: float | None = None
        self._gradients_read = False
        self._ranges: dict[str, torch.Tensor] = {}
        self._sampled = self._urgent or self.budget.due()
        self._urgent = False

    def here(self) -> bool:
        """Whether the caller is the training itself: not a worker, not another thread, not a compiler's trace."""
        if torch.compiler.is_compiling():  # first: a compiler must not trace the rest
            return False
        return threading.get_ident() == self._thread and self._fork == _forks

    def guarded(self, probe: str, measure: Callable[..., None], *args: Any) -> None:
        """Runs a part of ours. If it fails, that is told once and the part stays off; the training goes on."""
        if probe in self._off:
            return
        started = clock()
        try:
            measure(*args)
        except Exception as error:
            self._off.add(probe)
            self._recorder.event(
                ProbeFailed(step=self.step, probe=probe, error=f"{type(error).__name__}: {error}")
            )
        self._fixed_s += clock() - started

    # -- what the hooks tell ----------------------------------------------------------------------------

    def fetched(self, seconds: float) -> None:
        """A batch was waited for."""
        if self._step_start is None:
            self._step_start = clock() - seconds
        self._data_s += seconds

    def evaluated(self) -> None:
        """The model was called without training it: what lies between two steps is not a step's time."""
        if self._forward_s == 0:
            self._step_start = None
            self._data_s = 0.0

    def called(self, inputs: Any, output: Any, seconds: float) -> None:
        """The model was called in training."""
        if self._step_start is None:
            self._step_start = clock() - seconds
        self._forward_s += seconds
        if self._sampled and not self._ranges:
            self._measure("ranges", self._read_ranges, inputs, output)

    def went_backward(self, losses: Any, seconds: float) -> None:
        """`backward` was called on these tensors."""
        self._backward_s += seconds
        loss = losses if isinstance(losses, torch.Tensor) else losses[0]
        if loss.numel() == 1:
            self._losses.append(loss.detach())

    def about_to_clip(self) -> None:
        """The gradients are complete, and about to be clipped."""
        self._read_gradients()

    def clipped(self, norm: torch.Tensor, limit: float) -> None:
        """The gradients were clipped to `limit`; `norm` is what it was before."""
        self._grad_norm = norm.detach()
        self._clip_at = float(limit)

    def before_update(self, optimizer: torch.optim.Optimizer) -> None:
        """Just before the weights change."""
        if self._statistics is None:
            self._track(optimizer)
        if self._sampled:
            self._read_gradients()
            self._measure("statistics", self._keep_weights)

    def hold(self) -> None:
        """The safe point: a command may be applied here, a pause is spent here, and a stop is raised from here."""
        started = clock()
        try:
            self._safe_point(self.step)
        finally:
            held = clock() - started
            self._held_s += held
            self._fixed_s -= held

    def after_update(self, optimizer: torch.optim.Optimizer, seconds: float) -> None:
        """The weights have changed: the step is complete."""
        now = clock()
        self.step += 1
        self._optimizer_s += seconds
        if self._gradients_read:
            self._measure("statistics", self._read_update)
        self.guarded("row", self._emit, optimizer, now)
        self._begin_step(clock())
        self._fixed_s = self._step_start - now if self._step_start else 0.0

    def log(self, values: Mapping[str, float | torch.Tensor]) -> None:
        """Values of the user's own, by column name; part of the row of the step that is under way."""
        self._logged.update(
            {
                name: value.detach() if isinstance(value, torch.Tensor) else value
                for name, value in values.items()
            }
        )

    def log_now(self, values: Mapping[str, float]) -> None:
        """Values that belong to the last completed step, such as those of a validation."""
        columns, row = tuple(values), tuple(float(value) for value in values.values())
        self._recorder.scalars(columns, self.step, time.time(), time.monotonic(), row)
        self._arrived(self.step, columns, row, (), None)

    def finish(self) -> None:
        """Everything that is still on its way from a device arrives."""
        self.guarded("readback", self._readback.drain)

    def _arrived(
        self,
        step: int,
        columns: tuple[str, ...],
        values: tuple[float, ...],
        tensor_columns: tuple[str, ...],
        tensors: np.ndarray | None,
    ) -> None:
        self.latest.update(zip(columns, values, strict=True))
        self.guarded("findings", self._look_for_nonfinite, step, columns, values, tensor_columns, tensors)

    def _look_for_nonfinite(
        self,
        step: int,
        columns: tuple[str, ...],
        values: tuple[float, ...],
        tensor_columns: tuple[str, ...],
        tensors: np.ndarray | None,
    ) -> None:
        findings = self._nonfinite.inputs(step, columns, values) if tensors is not None else []
        findings += self._nonfinite.scalars(step, columns, values)
        if tensors is not None:
            findings += self._nonfinite.tensors(step, tensor_columns, tensors)
        self._urgent |= bool(findings)  # a whole measurement of the next step tells which tensors it reached
        for finding in findings:
            self._found(finding)

    # -- measuring --------------------------------------------------------------------------------------

    def _measure(self, probe: str, measurement: Callable[..., None], *args: Any) -> None:
        """A measurement: paid from the budget, not counted among the fixed costs of the hook that it runs in."""
        fixed_s = self._fixed_s
        started = clock()
        self.guarded(probe, measurement, *args)
        spent = clock() - started
        self._measured_s += spent
        self._fixed_s = fixed_s - spent

    def _read_ranges(self, inputs: Any, output: Any) -> None:
        for place, value in (("input", inputs), ("output", output)):
            for name, tensor in float_tensors(place, value).items():
                self._ranges[name] = tensor_ranges(tensor)

    def _track(self, optimizer: torch.optim.Optimizer) -> None:
        tracked = [p for group in optimizer.param_groups for p in group["params"] if p.requires_grad]
        if not tracked:
            return
        names = [self._names.get(id(p), f"param.{i}") for i, p in enumerate(tracked)]
        self._tracked = tuple(tracked)
        self._statistics = statistics_for(tracked)
        self._tensor_columns = columns_of(names)

    def name_parameters(self, root: torch.nn.Module) -> None:
        """The names under which the parameters of a model are reported."""
        self._names.update({id(p): name for name, p in root.named_parameters()})
        self._statistics = None

    def _read_gradients(self) -> None:
        if self._sampled and not self._gradients_read and self._statistics is not None:
            self._measure("statistics", self._read_gradients_now)

    def _read_gradients_now(self) -> None:
        assert self._statistics is not None
        self._grad_norm = self._statistics.before_clip()
        self._gradients_read = True

    def _keep_weights(self) -> None:
        if self._statistics is not None:
            self._statistics.before_update()

    def _read_update(self) -> None:
        assert self._statistics is not None
        self._tensors = self._statistics.after_update()

    # -- the row ----------------------------------------------------------------------------------------

    def _emit(self, optimizer: torch.optim.Optimizer, now: float) -> None:
        step_s = now - (self._step_start or now) - self._held_s
        own_s = self._fixed_s + self._measured_s
        self.budget.step_ended(step_s, self._fixed_s, self._measured_s)
        columns = list(BASE_COLUMNS)
        values = [step_s, self._data_s, self._forward_s, self._backward_s, self._optimizer_s, own_s]
        for name, rate in learning_rates(optimizer):
            columns.append(name)
            values.append(rate)
        late: list[torch.Tensor] = []
        late_columns: list[str] = []

        def add(name: str, value: float | torch.Tensor) -> None:
            if not isinstance(value, torch.Tensor):
                columns.append(name)
                values.append(float(value))
            elif value.device.type == "cpu":
                columns.append(name)
                values.append(value.item())
            else:
                late_columns.append(name)
                late.append(value)

        if self._losses:
            add("train/loss", self._losses[0] if len(self._losses) == 1 else torch.stack(self._losses).sum())
        if self._grad_norm is not None:
            add("grad_norm", self._grad_norm)
            if self._clip_at is not None:
                add("clip_coef", clip_coefficient(self._grad_norm, self._clip_at))
        for name, value in self._logged.items():
            add(name, value)
        for place, stats in self._ranges.items():
            late_columns.extend(columns_for_ranges(place))
            late.append(stats)
        self._readback.take(
            Row(
                self.step,
                time.time(),
                time.monotonic(),
                tuple(columns),
                values,
                tuple(late_columns),
                late,
                self._tensor_columns,
                self._tensors,
            )
        )


def learning_rates(optimizer: torch.optim.Optimizer) -> list[tuple[str, float]]:
    """`lr`, and `lr/<group>` of each group where there are several."""
    rates = [float(group["lr"]) for group in optimizer.param_groups if "lr" in group]
    if not rates:
        return []
    groups = [(f"lr/{i}", rate) for i, rate in enumerate(rates)] if len(rates) > 1 else []
    return [("lr", rates[0]), *groups]


def clip_coefficient(norm: float | torch.Tensor, limit: float) -> float | torch.Tensor:
    """What `clip_grad_norm_` multiplied the gradients by: min(1, limit / (norm + 1e-6)), as PyTorch computes it."""
    if isinstance(norm, torch.Tensor):
        return (limit / (norm + 1e-6)).clamp(max=1.0)
    return min(1.0, limit / (norm + 1e-6)) if not math.isnan(norm) else math.nan


def float_tensors(place: str, value: Any) -> dict[str, torch.Tensor]:
    """The tensors in what a model takes or gives, by column prefix: `input`, or `input.<name or index>` for several."""
    found: dict[str, torch.Tensor] = {}

    def visit(name: str, item: Any) -> None:
        if isinstance(item, torch.Tensor):
            if not item.is_complex():
                found[name] = item
        elif isinstance(item, Mapping):
            for key, inner in item.items():
                visit(f"{name}.{key}", inner)
        elif isinstance(item, (list, tuple)):
            for i, inner in enumerate(item):
                visit(f"{name}.{i}", inner)

    visit(place, value)
    return {place: next(iter(found.values()))} if len(found) == 1 else found
