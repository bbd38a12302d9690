"""Axes: where a value lies, and ranges that stay put while a run grows."""

import math
from dataclasses import dataclass

import numpy as np

from sgdb_tui.plotting.series import Floats

SMALLEST_SPAN = 1e-9
"""Relative span below which an axis is widened: finer than that, float64 labels lose their meaning."""
SMALLEST_EXPONENT, LARGEST_EXPONENT = -307.0, 308.0
"""What float64 can hold: the margin of an axis must not lead out of it."""


@dataclass(frozen=True)
class Scale:
    """A y axis; `low` and `high` are in axis space (log10 of the value when `log`)."""

    log: bool
    low: float
    high: float

    def to_axis(self, values: Floats) -> Floats:
        """Values to axis space; what a log axis cannot show becomes NaN."""
        return to_axis(values, self.log)

    def fraction(self, values: Floats) -> Floats:
        """Height of values in the plot: 0 at the lower end, 1 at the upper."""
        return (self.to_axis(values) - self.low) / (self.high - self.low)

    @property
    def value_range(self) -> tuple[float, float]:
        """Both ends as values."""
        if not self.log:
            return self.low, self.high
        return 10.0 ** max(self.low, SMALLEST_EXPONENT), 10.0 ** min(self.high, LARGEST_EXPONENT)


def to_axis(values: Floats, log: bool) -> Floats:
    """Values to axis space: log10 (NaN for zero and below) or the values themselves."""
    values = np.asarray(values, np.float64)
    if not log:
        return values
    return np.log10(np.where(values > 0, values, np.nan))


def fitted(low: float, high: float, log: bool, previous: Scale | None = None, pad: float = 0.04) -> Scale:
    """An axis holding [low, high] (axis space), which keeps the previous one while that still serves.

    It serves as long as it holds the range and the range fills at least half of it.
    """
    if not (math.isfinite(low) and math.isfinite(high)):
        return previous if previous is not None and previous.log == log else Scale(log, 0.0, 1.0)
    if previous is not None and previous.log == log and previous.low <= low and high <= previous.high:
        if high - low >= 0.5 * (previous.high - previous.low):
            return previous
        if high == low:
            return previous
    low, high = _widened(low, high, log)
    margin = pad * (high - low)
    return Scale(log, low - margin, high + margin)


def _widened(low: float, high: float, log: bool) -> tuple[float, float]:
    smallest = 0.05 if log else max(abs(low), abs(high)) * SMALLEST_SPAN
    if high - low > smallest:
        return low, high
    half = 0.15 if log else (max(abs(low), abs(high)) * 0.1 or 1.0)
    middle = (low + high) / 2
    return middle - half, middle + half


def snapped_end(first: float, last: float, limit: float | None = None) -> float:
    """The right end of a growing x axis: jumps by 14 to 25 %, so that old columns stay where they are.

    `limit` is where the run will end, when that is known: no room is left behind it.
    """
    span = last - first
    if not span > 0:
        return first + 1.0
    power = 2.0 ** math.floor(math.log2(span))
    end = next(first + power * quarter / 4 for quarter in (4, 5, 6, 7, 8) if power * quarter / 4 >= span)
    return min(end, limit) if limit is not None and limit >= last else end
