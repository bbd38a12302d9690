"""The learning-rate range test: the user's optimizer on the stream of batches, its rate rising exponentially.

After Smith 2015; fastai and Lightning do the same. The smoothed loss falls, is lowest, and diverges.
"""

import math
import resource
import time
from itertools import pairwise
from statistics import median
from typing import Any

import torch

from sgdb_engine.checks.experiment import Experiment
from sgdb_engine.checks.one_batch import set_rate
from sgdb_engine.checks.still import Endless
from sgdb_engine.findings.facts import LrRange, Pace

FROM, TO, STEPS = 1e-7, 10.0, 80
SMOOTHING = 0.8
DIVERGED = 4.0
"""Times the lowest smoothed loss."""
LEAST_DROP, LEAST_DROP_OF_NUMBERS = 0.10, 0.25
"""Of the first loss: a sweep whose loss falls less says nothing about where it is lowest."""
SUGGESTED = 0.1
"""Of the rate with the lowest loss (fastai's "minimum")."""


class Sweep(Experiment):
    """Sets the rate of all groups before each update, keeping their proportions."""

    name, seconds, seen_whole = "lr-range", 8.0, 0

    def prepare(self) -> None:
        self._data = Endless(self.setting.first)
        self._data.install()
        self._times = [time.perf_counter()]
        self.rates: list[float] = []
        self.losses = [self.setting.loss]
        self._smoothed = self._best = math.nan
        self._shares: list[tuple[Any, float]] = []
        for optimizer in self.setting.optimizers:
            rates = [float(group.get("lr", 0.0)) for group in optimizer.param_groups]
            highest = max(rates) or 1.0
            self._shares += [
                (group, rate / highest or 1.0)
                for group, rate in zip(optimizer.param_groups, rates, strict=True)
                if "lr" in group
            ]
        self._set()

    def safe_point(self, loss: float) -> None:
        self.losses.append(loss)
        self._times.append(time.perf_counter())
        before = self._smoothed
        self._smoothed = loss if math.isnan(before) else SMOOTHING * before + (1 - SMOOTHING) * loss
        if not self._smoothed >= self._best:
            self._best = self._smoothed
        self.child.tell("point", (self.rates[-1], loss))
        diverged = not math.isfinite(loss) or self._smoothed > DIVERGED * self._best > 0
        if len(self.rates) >= STEPS or (diverged and len(self.rates) > 5):
            self.end()
        self._set()

    def _set(self) -> None:
        """The rate of the next update."""
        rate = FROM * (TO / FROM) ** (len(self.rates) / (STEPS - 1))
        self.rates.append(rate)
        for group, share in self._shares:
            set_rate(group, rate * share)

    def result(self) -> Any:
        call = self.setting.call
        numbers = call is not None and not call.classes and not call.function.startswith("binary")
        found = judged(self.rates, self.losses[1:], self.losses[0], numbers=numbers)
        return {"sweep": found, "pace": self._pace()}

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


def judged(rates: list[float], losses: list[float], start: float, *, numbers: bool) -> LrRange:
    """What a sweep says.

    Args:
        rates: of each update.
        losses: of the step after each of them.
        start: the loss before the first.
        numbers: the targets are numbers, not classes.
    """
    rates, losses = rates[: len(losses)], losses[: len(rates)]
    if len(losses) < STEPS // 4:
        return LrRange(
            rates=tuple(rates), losses=tuple(losses), reason="the script ended too early for a sweep"
        )
    smoothed, value = [], start
    for loss in losses:
        value = SMOOTHING * value + (1 - SMOOTHING) * loss
        smoothed.append(value)
    finite = [(value, i) for i, value in enumerate(smoothed) if math.isfinite(value)]
    if not finite:
        return LrRange(rates=tuple(rates), losses=tuple(losses), reason="the loss was never finite")
    lowest, place = min(finite)
    grown = (
        i
        for i, v in enumerate(smoothed)
        if i > place and (not math.isfinite(v) or v > DIVERGED * abs(lowest))
    )
    diverged = next(grown, None)
    drop = (start - lowest) / abs(start) if start else 0.0
    least = LEAST_DROP_OF_NUMBERS if numbers else LEAST_DROP
    sound = drop >= least
    return LrRange(
        rates=tuple(rates),
        losses=tuple(losses),
        lowest=rates[place] if sound else None,
        diverged=rates[diverged] if diverged is not None else None,
        suggestion=rates[place] * SUGGESTED if sound else None,
        reason="" if sound else f"the loss fell by {drop:.0%} only: where it is lowest says nothing",
    )
