"""What a sweep of learning rates says: where the loss falls fastest, where it is lowest, where it diverges.

Pure numbers; the sweep itself is in `lr_range`.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from statistics import fmean, median

SMOOTHING = 0.8
DIVERGED = 4.0
"""Times the lowest smoothed loss."""
LEAST_DROP = 0.10
"""Of the loss before the sweep: one that falls less says nothing about where it is lowest."""
SUGGESTED = 0.1
"""Of the rate with the lowest loss (fastai's "minimum")."""
AT_THE_BEGINNING = 0.1
"""Share of the rates that only show what the loss is when nothing is learnt (Lightning and fastai leave out 10)."""
SLOPE_OVER = 1.0
"""Decades of the rate over which a slope is taken; between neighbours it is that of the minibatches' noise."""
NOISE_FACTOR = 3.0
"""Times the noise of the smoothed loss that it must fall."""
BARELY = 0.1
"""Share of the whole fall below which the descent has not begun."""
LITTLE = 0.01
"""Share of the loss that is no fall at all."""
NORMAL_DIFFERENCE = 0.954
"""Median distance of two draws of a normal distribution, in its standard deviations: 0.6745·√2."""


class Average:
    """Exponential moving average, corrected for its beginning (Kingma and Ba 2015, section 3)."""

    def __init__(self, smoothing: float = SMOOTHING) -> None:
        self._smoothing = smoothing
        self._sum = self._weight = 0.0

    def add(self, value: float) -> float:
        """The average with one more value."""
        self._sum = self._smoothing * self._sum + (1 - self._smoothing) * value
        self._weight = self._smoothing * self._weight + (1 - self._smoothing)
        return self._sum / self._weight


@dataclass(frozen=True)
class Read:
    """What a curve says; None where it says nothing."""

    smoothed: tuple[float, ...] = ()
    """Of the losses, as many."""
    start: float = math.nan
    """The loss while the rates are too small for anything to be learnt."""
    steepest: float | None = None
    """The rate at which the smoothed loss falls fastest over the logarithm of the rate."""
    slope: float | None = None
    """There, for a tenfold rate."""
    lowest: float | None = None
    diverged: float | None = None
    reason: str = ""
    """Why there is no suggestion; empty where there is one."""

    @property
    def tenth(self) -> float | None:
        """The second suggestion."""
        return None if self.lowest is None else self.lowest * SUGGESTED


def read(rates: Sequence[float], losses: Sequence[float], before: float, least: float = LEAST_DROP) -> Read:
    """Reads a curve.

    Args:
        rates: of each update, rising.
        losses: of the step after each of them, as many.
        before: the loss before the first.
        least: the share of the loss that it must fall by.
    """
    average = Average()
    average.add(before)
    smoothed = tuple(average.add(loss) for loss in losses)
    skipped = max(1, round(AT_THE_BEGINNING * len(losses)))
    finite = [value for value in (before, *losses[:skipped]) if math.isfinite(value)]
    start = fmean(finite) if finite else math.nan
    found = Read(smoothed=smoothed, start=start)
    place = min(
        (i for i, v in enumerate(smoothed) if math.isfinite(v)), key=smoothed.__getitem__, default=None
    )
    if place is None:
        return replace(found, reason="the loss is never finite")
    found = replace(found, diverged=_first(rates, smoothed, place))
    reason = _why_not(start, start - smoothed[place], (before, *losses[: place + 1]), least)
    if reason or place < skipped:
        return replace(found, reason=reason or "the loss never falls")
    begins = _descent_begins(smoothed, start, place)
    slope, steepest = min((_slope(rates, smoothed, at), rates[at]) for at in range(begins, place + 1))
    return replace(found, lowest=rates[place], steepest=steepest, slope=slope)


def _why_not(start: float, drop: float, losses: Sequence[float], least: float) -> str:
    """Why a loss that falls by so much says nothing about where it is lowest; empty where it does."""
    enough = drop >= least * abs(start)
    if enough and drop >= NOISE_FACTOR * _noise(losses):
        return ""
    if not drop > LITTLE * abs(start):
        return "the loss never falls"
    noise = ", no more than it differs from batch to batch" if enough else ""
    return f"the loss falls by {drop / abs(start):.0%} only{noise}"


def _descent_begins(smoothed: Sequence[float], start: float, place: int) -> int:
    """Behind the last place before the lowest one at which hardly anything was learnt: earlier dips are noise."""
    high = start - BARELY * (start - smoothed[place])
    return max((i for i in range(place) if not smoothed[i] < high), default=0)


def _first(rates: Sequence[float], smoothed: Sequence[float], place: int) -> float | None:
    """The first rate behind the lowest place at which the loss has diverged."""
    limit = DIVERGED * abs(smoothed[place])
    grown = (rate for rate, v in zip(rates[place:], smoothed[place:], strict=True) if not v <= limit)
    return next(grown, None)


def _noise(losses: Sequence[float]) -> float:
    """Standard deviation of the smoothed loss where only the minibatches differ."""
    steps = [abs(b - a) for a, b in pairwise(losses) if math.isfinite(a) and math.isfinite(b)]
    one = median(steps) / NORMAL_DIFFERENCE if steps else 0.0
    return one * math.sqrt((1 - SMOOTHING) / (1 + SMOOTHING))


def _slope(rates: Sequence[float], smoothed: Sequence[float], at: int) -> float:
    """By least squares, of the smoothed loss over the decimal logarithm of the rate."""
    places = [math.log10(rate / rates[at]) for rate in rates]
    near = [
        (place, value)
        for i, (place, value) in enumerate(zip(places, smoothed, strict=True))
        if math.isfinite(value) and (abs(place) <= SLOPE_OVER / 2 or abs(i - at) <= 1)
    ]
    x, y = fmean(x for x, _ in near), fmean(y for _, y in near)
    return sum((a - x) * (b - y) for a, b in near) / sum((a - x) ** 2 for a, _ in near)
