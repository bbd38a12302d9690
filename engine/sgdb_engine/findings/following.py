"""The course of a run as it goes: losses, learning rates and clipping of each step, kept in a few numbers."""

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import fmean, median

from sgdb_engine.findings.facts import Course, Evaluation
from sgdb_engine.findings.moving import Moving

EARLY = 80
SMOOTHED = 5
STRAYS = 4.0
"""Standard deviations."""
RECENT = 20
WINDOW = 50
"""Losses that a jump is compared with."""
SPIKE_DEVIATIONS, SPIKE_RATIO, SPIKE_SHARE = 12.0, 3.0, 0.2
"""A spike lies above median + 12 MAD, 3 medians, and jumps by a fifth of the first loss."""
SPIKE_BEYOND = 4.0
"""And beyond the highest of those before it by so many times what that one lies above their median: what is noisy, or
hard once in each epoch, is no spike."""
AFTERWARDS = 10
"""Losses of which most must be back."""


@dataclass
class _Suspect:
    """A loss that may turn out to be a spike."""

    spike: tuple[int, float, float]
    """Step, loss, median before it."""
    back_below: float
    after: list[bool] = field(default_factory=list)
    """Of the losses since: whether they are back."""


class Following:
    """Takes in steps, gives the course."""

    def __init__(self) -> None:
        self.steps = 0
        self._early: list[float] = []
        self._window: deque[float] = deque(maxlen=WINDOW)
        self._clips: deque[float] = deque(maxlen=WINDOW)
        self._highest_lr = self._lr = math.nan
        self._since = 0.0
        """Sum of the losses since the last evaluation."""
        self._count = 0
        self._suspect: _Suspect | None = None
        self._spike: tuple[int, float, float] = (0, math.nan, math.nan)
        self.period = 0
        """Steps after which a batch of few rows comes again; 0: none was seen."""
        self._short: set[int] = set()
        self.moving = Moving()
        """What is measured of each tensor."""
        self.loss_scale = math.nan
        """Of a GradScaler."""

    def step(
        self,
        step: int,
        loss: float | None,
        lr: float | None,
        clip: float | None = None,
        loss_scale: float | None = None,
    ) -> None:
        """A step is over."""
        self.steps = step
        if loss_scale is not None:
            self.loss_scale = loss_scale
        if lr is not None:
            self._lr = lr
            if not lr <= self._highest_lr:
                self._highest_lr = lr
        if clip is not None:
            self._clips.append(clip)
        if loss is None or not math.isfinite(loss) or self._is_of_few_rows(step):
            return
        self._since += loss
        self._count += 1
        if len(self._early) < EARLY:
            self._early.append(loss)
        self._judge_suspect(loss)
        if len(self._window) == WINDOW and self._suspect is None:
            self._look_for_spike(step, loss)
        self._window.append(loss)

    def clipped(self, coefficient: float) -> None:
        """The gradients of a step were multiplied by that, on the whole."""
        self._clips.append(coefficient)

    def few_rows(self, step: int) -> None:
        """This step's batch was much smaller than usual: the last one of an epoch, and so it will be in each."""
        self._short.add(step)
        self.period = self.period or step

    def _is_of_few_rows(self, step: int) -> bool:
        return step in self._short or (self.period > 0 and step % self.period == 0)

    def _look_for_spike(self, step: int, loss: float) -> None:
        jump = SPIKE_SHARE * abs(self._early[0])
        if not loss > self._window[-1] + jump / 2:  # the usual case costs one comparison
            return
        middle, highest = median(self._window), max(self._window)
        deviation = median(abs(value - middle) for value in self._window)
        usual = max(middle + SPIKE_DEVIATIONS * deviation, SPIKE_RATIO * middle, middle + jump)
        if loss > max(usual, highest + SPIKE_BEYOND * (highest - middle)) and not loss <= self._spike[1]:
            self._suspect = _Suspect((step, loss, middle), (loss + highest) / 2)

    def _judge_suspect(self, loss: float) -> None:
        """A spike passes; where the losses stay up, something else has begun."""
        suspect = self._suspect
        if suspect is None:
            return
        suspect.after.append(loss < suspect.back_below)
        if len(suspect.after) == AFTERWARDS:
            self._suspect = None
            if sum(suspect.after) > AFTERWARDS / 2:
                self._spike = suspect.spike

    def take_mean(self) -> float:
        """Of the losses since it was last taken."""
        mean = self._since / self._count if self._count else math.nan
        self._since, self._count = 0.0, 0
        return mean

    def course(self, evaluations: Sequence[Evaluation]) -> Course:
        """So far."""
        early = self._early
        means = [fmean(early[i : i + SMOOTHED]) for i in range(len(early) - SMOOTHED + 1)]
        start = early[0] if early else math.nan
        step, value, middle = self._spike
        recent = list(self._window)[-RECENT:]
        return Course(
            steps=self.steps,
            start=start,
            early_peak=max(means) / start if means and start > 0 else math.nan,
            early_median=median(early) / start if means and start > 0 else math.nan,
            early_noise=_noise(early) / start if means and start > 0 else math.nan,
            recent=fmean(recent) if recent else math.nan,
            highest_lr=self._highest_lr,
            lr=self._lr,
            clip_coef=median(self._clips) if self._clips else math.nan,
            spike_step=step,
            spike=value,
            spike_median=middle,
            evaluations=tuple(evaluations),
            weight_ratio=self.moving.weight_ratio,
            loss_scale=self.loss_scale,
        )


def _noise(values: Sequence[float]) -> float:
    middle = median(values)
    return STRAYS * 1.4826 * median(abs(value - middle) for value in values) / math.sqrt(SMOOTHED)
