"""Units of the x axis: step, epoch, samples, time, a value that rises; all charts keep their ranges in steps."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from sgdb_tui.formatting import count, duration, number
from sgdb_tui.plotting.series import Floats
from sgdb_tui.plotting.ticks import x_ticks

TIME_STEPS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400)
"""Round distances in seconds."""
DECADE_COLUMNS = 8
"""Columns that the label of a power of ten takes, with the blanks beside it."""


@dataclass(frozen=True, eq=False)
class XUnit:
    """How steps are shown along x; both maps ascend."""

    name: str
    x_of_step: Callable[[Floats], Floats]
    step_of_x: Callable[[Floats], Floats]
    label: Callable[[float], str]
    ticks: Callable[[float, float, int], list[float]] = x_ticks
    """(low, high, columns) to places of labels."""

    def x_at(self, step: float) -> float:
        """The place of one step."""
        return float(self.x_of_step(np.array([step], np.float64))[0])

    def step_at(self, x: float) -> int:
        """The step nearest to a place."""
        return round(float(self.step_of_x(np.array([x], np.float64))[0]))


def _same(values: Floats) -> Floats:
    return np.asarray(values, np.float64)


def step_ticks(low: float, high: float, columns: int) -> list[float]:
    """Round places that are whole steps."""
    return [place for place in x_ticks(low, high, columns) if place == round(place)] or [round(low)]


STEPS = XUnit("step", _same, _same, lambda x: count(x, 7), step_ticks)
"""The step itself."""


def scaled(name: str, per_step: float) -> XUnit:
    """A unit that grows evenly with the step: epochs (1 / steps_per_epoch) or samples (batch size)."""

    def label(x: float) -> str:
        return count(x, 7) if x == round(x) else number(float(f"{x:.6g}"), 7).rstrip("0").rstrip(".")

    return XUnit(name, lambda steps: _same(steps) * per_step, lambda x: _same(x) / per_step, label)


def by_time(steps: Floats, seconds: Floats) -> XUnit:
    """Seconds since the start, from ascending samples [n] of both; a pause takes its time on the axis."""
    steps, seconds = np.asarray(steps, np.float64), np.asarray(seconds, np.float64)
    if steps.size < 2:
        return XUnit("time", _same, _same, duration, time_ticks)
    # equal times would make the inverse ambiguous
    seconds = np.maximum.accumulate(seconds) + np.arange(seconds.size) * 1e-9
    return XUnit(
        "time",
        lambda values: _extrapolated(values, steps, seconds),
        lambda values: _extrapolated(values, seconds, steps),
        duration,
        time_ticks,
    )


def by_rising_value(name: str, steps: Floats, values: Floats) -> XUnit:
    """A positive value that rises with each step, on a logarithmic axis: places are its decimal logarithms [n]."""
    if len(steps) < 2:
        return XUnit(name, _same, _same, lambda x: count(x, 7), step_ticks)
    steps, decades = np.asarray(steps, np.float64), np.log10(np.asarray(values, np.float64))
    return XUnit(
        name,
        lambda at: _extrapolated(at, steps, decades),
        lambda x: _extrapolated(x, decades, steps),
        lambda x: value_label(10.0**x),
        decade_ticks,
    )


def value_label(value: float) -> str:
    """Two digits, the shortest spelling: 0.015, 1, 10, 1e-5."""
    rounded = float(f"{value:.2g}")
    return f"{rounded:g}" if 1e-3 <= rounded < 1e5 else number(rounded, 7)


def decade_ticks(low: float, high: float, columns: int) -> list[float]:
    """Powers of ten, a label apart; every second or third one where there is little room."""
    first, last = int(np.ceil(low - 1e-9)), int(np.floor(high + 1e-9))
    if last <= first:
        return x_ticks(low, high, columns)
    every = max(1, int(np.ceil(DECADE_COLUMNS * (high - low) / max(1, columns))))
    return [float(power) for power in range(first, last + 1) if power % every == 0]


def time_ticks(low: float, high: float, columns: int) -> list[float]:
    """Round times, a label apart."""
    most = max(2, columns // 12)
    if high - low < TIME_STEPS[0]:
        return x_ticks(low, high, columns)
    for step in (*TIME_STEPS, *(TIME_STEPS[-1] * power for power in (2, 5, 10, 20, 50, 100))):
        first, last = int(np.ceil(low / step)), int(np.floor(high / step))
        if last - first + 1 <= most:
            return [float(multiple * step) for multiple in range(first, last + 1)] or [low]
    return [low]


def _extrapolated(values: Floats, x: Floats, y: Floats) -> Floats:
    """Linear interpolation, continued at both ends at the mean slope, so that the map stays invertible."""
    values = _same(values)
    slope = (y[-1] - y[0]) / (x[-1] - x[0])
    inside = np.interp(values, x, y)
    return np.asarray(inside + np.minimum(values - x[0], 0) * slope + np.maximum(values - x[-1], 0) * slope)
