"""What a y axis should hold: lines whole, bands too unless a spike would press all else flat."""

from collections.abc import Sequence

import numpy as np

from sgdb_tui.plotting.layers import Line
from sgdb_tui.plotting.scale import to_axis
from sgdb_tui.plotting.series import Curve, Floats

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
    shown = [(line.curve, line.y, _inside(line.curve, first, last)) for line in lines]
    ends = [end for _, y, inside in shown for end in _percentiles(y[inside], 0.0)]
    if not ends:
        return float("nan"), float("nan")
    low, high = min(ends), max(ends)
    for cut in (1.0, 0.0):  # first without the outermost hundredths, then whole if that is near enough
        bands = [
            end
            for curve, _, inside in shown
            for end in (
                *_percentiles(to_axis(curve.low[inside], log), cut)[:1],
                *_percentiles(to_axis(curve.high[inside], log), cut)[1:],
            )
        ]
        wider_low, wider_high = min([low, *bands]), max([high, *bands])
        if cut or wider_high - wider_low <= GENEROUS * (high - low):
            low, high = wider_low, wider_high
    reach = LEVEL_REACH_DECADES if log else high - low
    on_axis = to_axis(np.array(levels, np.float64), log)
    near = [float(level) for level in on_axis if low - reach <= level <= high + reach]
    return min([low, *near]), max([high, *near])


def _inside(curve: Curve, first: float, last: float) -> slice:
    return slice(*np.searchsorted(curve.x, (first, np.nextafter(last, np.inf))).tolist())


def _percentiles(values: Floats, cut: float) -> list[float]:
    """The lower and upper end of finite values without `cut` percent at each side; nothing if there are none."""
    finite = values[np.isfinite(values)]
    if not finite.size:
        return []
    num_cut = int(finite.size * cut / 100)
    if not num_cut:
        return [float(finite.min()), float(finite.max())]
    ordered = np.partition(finite, (num_cut, finite.size - 1 - num_cut))
    return [float(ordered[num_cut]), float(ordered[-1 - num_cut])]
