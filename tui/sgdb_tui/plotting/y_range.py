"""What a y axis should hold: lines whole, bands too unless a spike would press all else flat."""

from collections.abc import Sequence

import numpy as np

from sgdb_tui.plotting.layers import Line
from sgdb_tui.plotting.scale import to_axis
from sgdb_tui.plotting.series import Floats

GENEROUS = 1.6
"""Bands are shown whole as long as that does not stretch the axis further than by this."""
LEVEL_REACH_DECADES = 2.0
"""A level further than this below or above everything else stays outside a log axis."""


def y_extent(
    lines: Sequence[Line], levels: Sequence[float], log: bool, first: float, last: float
) -> tuple[float, float]:
    """Lowest and highest place, in axis space, of what lies between first and last; NaN, NaN if empty.

    Where bands reach too far out, their outermost hundredths are left out: the plot marks them at its edge.
    """
    inner: list[float] = []
    outer: list[float] = []
    for line in lines:
        inside = (line.curve.x >= first) & (line.curve.x <= last)
        inner += _percentiles(line.y[inside], (0, 100))
        lows = _percentiles(to_axis(line.curve.low[inside], log), (0, 1))
        highs = _percentiles(to_axis(line.curve.high[inside], log), (99, 100))
        inner += lows[1:] + highs[:1]
        outer += lows[:1] + highs[1:]
    if not inner:
        return float("nan"), float("nan")
    low, high = min(inner), max(inner)
    if max(high, *outer) - min(low, *outer) <= GENEROUS * (high - low):
        low, high = min(low, *outer), max(high, *outer)
    reach = LEVEL_REACH_DECADES if log else high - low
    on_axis = to_axis(np.array(levels, np.float64), log)
    near = [float(level) for level in on_axis if low - reach <= level <= high + reach]
    return min([low, *near]), max([high, *near])


def _percentiles(values: Floats, percents: tuple[float, float]) -> list[float]:
    finite = values[np.isfinite(values)]
    return [float(value) for value in np.percentile(finite, percents)] if finite.size else []
