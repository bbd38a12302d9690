"""The course of a run as it goes: losses, learning rates and clipping of each step, kept in a few numbers."""

import math
from collections import deque
from collections.abc import Sequence
from statistics import fmean, median

from sgdb_engine.findings.facts import Course, Evaluation

EARLY = 80
SMOOTHED = 5
STRAYS = 4.0
"""Standard deviations."""
RECENT = 20
WINDOW = 50
"""Losses that a jump is compared with."""
SPIKE_DEVIATIONS, SPIKE_RATIO, SPIKE_SHARE = 12.0, 3.0, 0.2
"""A spike lies above median + 12 MAD, 3 medians, and jumps by a fifth of the first loss."""
SPIKE_OVER_HIGHEST = 1.5
"""Times the highest of those before it: a batch that is always hard comes once in each epoch."""


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
        self._spike: tuple[int, float, float, int] = (0, math.nan, math.nan, 0)
        self.period = 0
        """Steps after which a batch of few rows comes again; 0: none was seen."""
        self._short: set[int] = set()
        self._sizes: dict[str, float] = {}
        """Root mean square of each weight when it was first measured."""
        self._ratio = 1.0

    def step(
        self, step: int, loss: float | None, lr: float | None, clip: float | None = None, epoch: int = 0
    ) -> None:
        """A step is over."""
        self.steps = step
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
        if len(self._window) == WINDOW:
            self._look_for_spike(step, loss, epoch)
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

    def _look_for_spike(self, step: int, loss: float, epoch: int) -> None:
        jump = SPIKE_SHARE * abs(self._early[0])
        if not loss > self._window[-1] + jump / 2:  # the usual case costs one comparison
            return
        middle = median(self._window)
        deviation = median(abs(value - middle) for value in self._window)
        usual = max(middle + SPIKE_DEVIATIONS * deviation, SPIKE_RATIO * middle, middle + jump)
        if loss > max(usual, SPIKE_OVER_HIGHEST * max(self._window)):
            known = self._spike[1]
            if not loss <= known:
                self._spike = (step, loss, middle, epoch)

    def weights(self, columns: tuple[str, ...], values: Sequence[float]) -> None:
        """Mean and standard deviation of each tensor, as just measured, among other columns."""
        of = dict(zip(columns, values, strict=True))
        sizes = {
            name: math.hypot(of[f"param_mean/{name}"], of[f"param_std/{name}"])
            for column in columns
            if column.startswith("param_std/")
            and (name := column.removeprefix("param_std/")).endswith("weight")
        }
        if not self._sizes:
            self._sizes = sizes
            return
        ratios = [size / self._sizes[name] for name, size in sizes.items() if self._sizes.get(name, 0.0) > 0]
        if ratios:
            self._ratio = median(ratios)

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
        step, value, middle, epoch = self._spike
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
            spike_epoch=epoch,
            evaluations=tuple(evaluations),
            weight_ratio=self._ratio,
        )


def _noise(values: Sequence[float]) -> float:
    middle = median(values)
    return STRAYS * 1.4826 * median(abs(value - middle) for value in values) / math.sqrt(SMOOTHED)
