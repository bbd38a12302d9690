"""A whole plot: y labels, the layers, the rail of events and NaN marks, x labels."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sgdb_tui.plotting import layers
from sgdb_tui.plotting.cells import Cells, Ink
from sgdb_tui.plotting.layers import EVENT_LOOK, Line, Surface
from sgdb_tui.plotting.raster import columns_of
from sgdb_tui.plotting.scale import Scale
from sgdb_tui.plotting.series import Floats, Mark, MarkKind
from sgdb_tui.plotting.ticks import rows_of, y_ticks
from sgdb_tui.plotting.x_axis import XUnit

NARROWEST_WITH_LABELS = 24
LOWEST_WITH_LABELS = 4
LOWEST_WITH_RAIL = 6
LABEL_WIDTH = 6


@dataclass(frozen=True, eq=False)
class PlotView:
    """Everything that a plot shows. x is in the unit of the axis."""

    lines: Sequence[Line]
    marks: Sequence[Mark]
    levels: Sequence[tuple[float, str]]
    scale: Scale
    first: float
    last: float
    unit: XUnit
    cursor: float | None
    surface: Surface
    places: Sequence[tuple[float, str]] = ()
    """Vertical lines: (x, name)."""


def plot_width(width: int) -> int:
    """Columns left for the plot beside its y labels."""
    return width - LABEL_WIDTH - 1 if width >= NARROWEST_WITH_LABELS else width


def draw_plot(view: PlotView, height: int, width: int) -> Cells:
    """The plot as cells [height, width]; what does not fit (labels, rail) is left out."""
    whole = Cells(height, width)
    if height < 1 or width < 1:
        return whole
    columns = plot_width(width)
    left = width - columns
    rail = Cells(1, columns)
    needed = _paint_rail(rail, view)
    num_label_rows = int(height >= LOWEST_WITH_LABELS)
    num_rail_rows = int(needed and height >= LOWEST_WITH_RAIL)
    area = Cells(height - num_label_rows - num_rail_rows, columns)
    ticks = y_ticks(view.scale, area.height, width=LABEL_WIDTH)
    rows = rows_of([tick.value for tick in ticks], view.scale, area.height) if ticks else []
    _paint_area(area, view, rows)
    if needed and not num_rail_rows:
        _overlay(area, rail)
    whole.paste(0, left, area)
    if num_rail_rows:
        whole.paste(area.height, left, rail)
    if left:
        for tick, row in zip(ticks, rows, strict=True):
            whole.write(row, 0, tick.label.rjust(LABEL_WIDTH), Ink.DIM)
    if num_label_rows:
        _paint_x_labels(whole, view, left, columns)
    return whole


def _paint_area(area: Cells, view: PlotView, rows: Sequence[int]) -> None:
    surface, scale = view.surface, view.scale
    dot_edges = np.linspace(view.first, view.last, 2 * area.width + 1)
    layers.paint_grid(area, rows, surface)
    layers.paint_events(area, _event_columns(view, area.width), surface)
    for line in view.lines:
        layers.paint_band(area, line.curve, dot_edges[::2], scale, surface)
    layers.paint_levels(area, view.levels, scale, surface)
    places = _place_columns(view, area.width)
    layers.paint_places(area, places, surface)
    layers.paint_lines(area, view.lines, scale, surface, dot_edges)
    for line in view.lines:
        layers.paint_spikes(area, line.curve, dot_edges[::2], scale, surface)
    layers.paint_end_labels(area, view.lines, scale, view.first, view.last)
    layers.paint_names(area, view.levels, places, scale)
    if view.cursor is not None:
        column = int(columns_of(np.array([view.cursor]), view.first, view.last, area.width)[0])
        if column >= 0:
            layers.paint_cursor(area, column, surface)


def _place_columns(view: PlotView, width: int) -> list[tuple[int, str]]:
    columns = columns_of(np.array([x for x, _ in view.places]), view.first, view.last, width)
    named = zip(columns.tolist(), view.places, strict=True)
    return [(column, name) for column, (_, name) in named if column >= 0]


def _event_columns(view: PlotView, width: int) -> dict[MarkKind, list[int]]:
    columns: dict[MarkKind, list[int]] = {}
    for kind in EVENT_LOOK:
        steps = np.array([mark.step for mark in view.marks if mark.kind == kind], np.float64)
        if steps.size:
            places = columns_of(view.unit.x_of_step(steps), view.first, view.last, width)
            columns[kind] = sorted({int(place) for place in places if place >= 0})
    return columns


def _paint_rail(rail: Cells, view: PlotView) -> bool:
    """Events, and above them what cannot be drawn: NaN and Inf in red, zero and below on a log axis."""
    events = _event_columns(view, rail.width)
    for kind, places in events.items():
        glyph, plain, ink = EVENT_LOOK[kind]
        if kind in ("epoch", "validation") and rail.width < 6 * len(places):
            continue
        rail.glyphs[0, places] = glyph if view.surface.unicode else plain
        rail.inks[0, places] = ink
    needed = any(places for kind, places in events.items() if kind not in ("epoch", "validation"))
    for line in view.lines:
        curve = line.curve
        below = curve.x[curve.mean <= 0] if view.scale.log else curve.x[:0]
        needed |= _mark(rail, below, view, "▾" if view.surface.unicode else "v", Ink.WARNING)
    for line in view.lines:
        broken = line.curve.x[line.curve.nonfinite > 0]
        needed |= _mark(rail, broken, view, "×" if view.surface.unicode else "X", Ink.ERROR)
    return needed


def _mark(rail: Cells, x: Floats, view: PlotView, glyph: str, ink: Ink) -> bool:
    columns = columns_of(x, view.first, view.last, rail.width)
    columns = columns[columns >= 0]
    rail.glyphs[0, columns] = glyph
    rail.inks[0, columns] = ink
    return bool(columns.size)


def _overlay(area: Cells, rail: Cells) -> None:
    used = rail.glyphs[0] != " "
    area.glyphs[-1, used] = rail.glyphs[0, used]
    area.inks[-1, used] = rail.inks[0, used]


def _paint_x_labels(whole: Cells, view: PlotView, left: int, columns: int) -> None:
    end = 0
    for x in view.unit.ticks(view.first, view.last, columns):
        column = int(columns_of(np.array([x]), view.first, view.last, columns)[0])
        label = view.unit.label(x)
        start = min(max(left + column - len(label) // 2, left), whole.width - len(label))
        if column < 0 or start < end:
            continue
        whole.write(whole.height - 1, start, label, Ink.DIM)
        end = start + len(label) + 1
