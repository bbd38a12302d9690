"""The learning-rate range test: the user's optimizer on the stream of batches, its rate rising exponentially.

After Smith 2015; fastai and Lightning do the same. The smoothed loss falls, is lowest, and diverges.
"""

import itertools
import math
import resource
import time
from collections.abc import Callable, Iterable
from itertools import pairwise
from statistics import median
from typing import TYPE_CHECKING, Any

import msgspec
import torch
from torch.optim import optimizer as optimizers
from torch.optim.optimizer import register_optimizer_step_pre_hook

from sgdb_engine.check_curves import LOSS, RATE, SMOOTHED
from sgdb_engine.checks.child import Tell
from sgdb_engine.checks.experiment import Experiment
from sgdb_engine.checks.lr_curve import DIVERGED, LEAST_DROP, Average, read
from sgdb_engine.checks.one_batch import set_rate
from sgdb_engine.checks.still import Endless, before_calls
from sgdb_engine.findings.facts import LrRange, Pace
from sgdb_engine.launch import RateRange
from sgdb_engine.witness.structure import full_rate

if TYPE_CHECKING:
    from sgdb_engine.recording.writer import Recorder

LEAST_STEPS = 5
"""With fewer a loss that is not finite may be that of a batch."""
CALLS_WITHOUT_UPDATE, LEAST_CALLS = 50, 1000
"""Times the calls that an update takes: by then a scaler leaves out all updates, since no gradient is finite."""
LEAST_DROP_OF_NUMBERS = 0.25
"""Where the targets are numbers; the check accuses a rate by where the loss is lowest."""
A_DAY_S = 86400.0
NO_RATE = "no optimizer of this training has a learning rate"


class Sweep(Experiment):
    """Sets the rates of all groups in each update, keeping their proportions, whatever a schedule says."""

    name, seconds, seen_whole = "lr-range", 8.0, 0

    def prepare(self) -> None:
        self.range = self.wanted()
        self._data = Endless(self.setting.first)
        self._data.install()
        self._times = [time.perf_counter()]
        self.rates: list[float] = [self.range.lowest]
        self.losses = [self.setting.loss]
        self.ended = "script"
        """What ended it: the script, divergence, or all steps having been made."""
        self.overridden = False
        """Something else has changed the rate between two updates."""
        self._average, self._best = Average(), math.nan
        self._average.add(self.setting.loss)
        self._calls = self._calls_of_update = 0
        self._hooked = False
        self._stepping: Any = None
        """The optimizer whose update was begun last; None before the second update."""
        observer = self.setting.engine.observer
        self._leads = observer.trainees.leader.is_of if observer is not None else lambda optimizer: True
        self._shares = shares_of(self.setting.optimizers)
        if not self._shares:
            self.child.give_up(NO_RATE)
        self._apply()
        before_calls(self.setting.first, self._called)

    def wanted(self) -> RateRange:
        """The rates."""
        return RateRange(steps=80)

    def _called(self) -> None:
        """The model is: now no step is within its hooks, and another one can be put in."""
        if not self._hooked:
            self._hooked = True
            first_of_hooks(self._update_begins)
        self._calls += 1
        if self._calls > max(LEAST_CALLS, CALLS_WITHOUT_UPDATE * self._calls_of_update):
            self.ended = "no update"
            self.end()

    def _update_begins(self, optimizer: Any, args: Any, kwargs: Any) -> None:
        """An optimizer reads its rate right behind this, or behind its closure."""
        self._stepping = optimizer
        has_closure = len(args) > 1 or kwargs.get("closure") is not None
        self.overridden |= any(float(group["lr"]) != rate for group, rate in self._put)
        if has_closure and self._leads(optimizer) and len(self.rates) <= len(self.losses):
            self._next()
        self._apply()

    def safe_point(self, loss: float) -> None:
        if self._stepping is None or not self._leads(self._stepping):
            return
        self.losses.append(loss)
        self._times.append(time.perf_counter())
        self._calls, self._calls_of_update = 0, max(self._calls, self._calls_of_update)
        smoothed = self._average.add(loss)
        if not smoothed >= self._best:
            self._best = smoothed
        self.child.tell("point", (self.rates[len(self.losses) - 2], loss, smoothed))
        diverged = not math.isfinite(loss) or smoothed > DIVERGED * self._best > 0
        if diverged and len(self.losses) > LEAST_STEPS:
            self.ended = "diverged"
            self.end()
        if len(self.losses) > self.range.steps:
            self.ended = "steps"
            self.end()
        self._go_on()

    def _go_on(self) -> None:
        """The update under way is made with the next rate, unless a closure had to know it before."""
        if len(self.rates) < len(self.losses):
            self._next()
        self._apply()

    def _next(self) -> None:
        r = self.range
        share = len(self.rates) / (r.steps - 1)
        self.rates.append(r.lowest * (r.highest / r.lowest) ** share)

    def _apply(self) -> None:
        for group, share in self._shares:
            set_rate(group, self.rates[-1] * share)
        self._put = [(group, float(group["lr"])) for group, _ in self._shares]

    def result(self) -> Any:
        rates, losses = self.rates[: len(self.losses) - 1], self.losses[1:]
        call = self.setting.call
        numbers = call is not None and not call.classes and not call.function.startswith("binary")
        return {
            "sweep": judged(rates, losses, self.losses[0], self.range.steps, numbers=numbers),
            "pace": self._pace(),
            "ended": self.ended,
            "overridden": self.overridden,
            "groups": [share for _, share in self._shares],
        }

    def _pace(self) -> Pace:
        """The stream of batches, as in a run: what a step takes."""
        steps = [after - before for before, after in pairwise(self._times)]
        whole = self._times[-1] - self._times[0]
        on_device = torch.cuda.max_memory_allocated() / 2**30 if torch.cuda.is_available() else 0.0
        return Pace(
            step_s=median(steps) if steps else 0.0,
            data_share=min(1.0, self._data.waited_s / whole) if whole else 0.0,
            host_gib=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20,
            device_gib=on_device,
        )


class WholeSweep(Sweep):
    """Over the rates that its user wants, for as long as that takes."""

    name, seconds = "lr-find", A_DAY_S

    def wanted(self) -> RateRange:
        return self.setting.rates


def shares_of(optimizers: Iterable[Any]) -> list[tuple[dict[str, Any], float]]:
    """Groups with a learning rate, and its share of the highest one, both as schedules start from them."""
    groups = [(o, group) for o in optimizers for group in o.param_groups if group.get("lr") is not None]
    rates = [full_rate(optimizer, group) or 0.0 for optimizer, group in groups]
    highest = max(rates, default=0.0)
    shares = [rate / highest if highest else 1.0 for rate in rates]
    return [(group, share) for (_, group), share in zip(groups, shares, strict=True)]


def first_of_hooks(hook: Any) -> None:
    """Called before each step of any optimizer, before all that others have registered. There is no way back."""
    handle = register_optimizer_step_pre_hook(hook)
    optimizers._global_optimizer_pre_hooks.move_to_end(handle.id, last=False)  # type: ignore[attr-defined]  # an OrderedDict


def recorded(recorder: "Recorder", told: Callable[[float, float], None] = lambda rate, loss: None) -> Tell:
    """Takes what a sweep measures into the recording; `told` is given each rate and the loss behind it."""
    count = itertools.count(1)

    def take(kind: str, value: Any) -> None:
        if kind == "point":
            point = tuple(map(float, value))
            recorder.scalars((RATE, LOSS, SMOOTHED), next(count), time.time(), time.monotonic(), point)
            told(*point[:2])

    return take


def judged(rates: list[float], losses: list[float], start: float, steps: int, *, numbers: bool) -> LrRange:
    """What a sweep says to the check.

    Args:
        rates: of each update.
        losses: of the step after each of them.
        start: the loss before the first.
        steps: how many were wanted.
        numbers: the targets are numbers, not classes.
    """
    seen = LrRange(rates=tuple(rates), losses=tuple(losses))
    if len(losses) < steps // 4:
        return msgspec.structs.replace(seen, reason="the script ended too early for a sweep")
    said = read(rates, losses, start, LEAST_DROP_OF_NUMBERS if numbers else LEAST_DROP)
    return msgspec.structs.replace(
        seen,
        lowest=said.lowest,
        diverged=said.diverged,
        suggestion=said.tenth,
        reason=f"{said.reason}: where it is lowest says nothing" if said.reason else "",
    )
