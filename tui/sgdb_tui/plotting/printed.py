"""A plot as lines of text, for where there is no dashboard."""

from collections.abc import Sequence

from sgdb_tui.plotting.layers import Surface, line_of
from sgdb_tui.plotting.plot import PlotView, draw_plot
from sgdb_tui.plotting.scale import fitted
from sgdb_tui.plotting.series import Curve
from sgdb_tui.plotting.x_axis import XUnit
from sgdb_tui.plotting.y_range import y_extent


def printed(
    curves: Sequence[Curve],
    unit: XUnit,
    *,
    width: int,
    height: int,
    unicode: bool,
    places: Sequence[tuple[float, str]] = (),
    levels: Sequence[tuple[float, str]] = (),
) -> list[str]:
    """The lines of a plot without colour on linear y axis; nothing where there is nothing to draw.

    Args:
        curves: what is drawn.
        unit: of the x axis.
        width: columns.
        height: rows, those of the labels included.
        unicode: the terminal shows more than ASCII.
        places: vertical lines: (x, name), x in the unit of the axis.
        levels: horizontal lines: (value, name).
    """
    drawn = [curve.x for curve in curves if curve.x.size]
    if not drawn:
        return []
    first, last = min(float(x[0]) for x in drawn), max(float(x[-1]) for x in drawn)
    lines = [line_of(curve, False, last - first, "off") for curve in curves]
    low, high = y_extent(lines, [value for value, _ in levels], False, first, last)
    view = PlotView(
        lines=lines,
        marks=(),
        levels=levels,
        scale=fitted(low, high, False),
        first=first,
        last=last,
        unit=unit,
        cursor=None,
        surface=Surface(unicode=unicode, backgrounds=False),
        places=places,
    )
    cells = draw_plot(view, height, width)
    return [cells.line(row).rstrip() for row in range(cells.height)]
