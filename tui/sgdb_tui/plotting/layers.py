"""The layers of a plot, each painted over the ones before: grid, events, levels, band, lines, cursor."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from rich.cells import cell_len

from sgdb_tui.plotting.cells import Cells, Ink, Paper, role_ink
from sgdb_tui.plotting.raster import (
    NUM_DOTS,
    braille,
    braille_bits,
    columns_of,
    extent,
    line_dots,
    stretched_extent,
)
from sgdb_tui.plotting.scale import Scale, to_axis
from sgdb_tui.plotting.series import Curve, Floats, MarkKind
from sgdb_tui.plotting.smoothing import Smoothing, smoothed
from sgdb_tui.plotting.ticks import row_of

Counts = NDArray[np.int64]

_FREE = list(" ·╌┊-:")
"""What a name may cover."""

EIGHTHS = np.array(list(" ▁▂▃▄▅▆▇█"))

EVENT_LOOK: dict[MarkKind, tuple[str, str, Ink]] = {
    "epoch": ("╵", "'", Ink.DIM),
    "validation": ("▿", "v", Ink.DIM),
    "checkpoint": ("◆", "c", Ink.EVENT),
    "command": ("▸", ">", Ink.EVENT),
    "finding": ("▲", "!", Ink.WARNING),
}
"""Glyph, its ASCII form and ink of each kind of event; later kinds win where two meet."""


@dataclass(frozen=True, eq=False)
class Line:
    """A curve in axis space, as it is drawn."""

    curve: Curve
    y: Floats
    """Smoothed mean in axis space, NaN where nothing can be drawn, shape [n]."""

    @property
    def letter(self) -> str:
        """The curve's letter; what would not take exactly one cell becomes a question mark."""
        letter = self.curve.label[:1]
        return letter if letter.isprintable() and cell_len(letter) == 1 else "?"


@dataclass(frozen=True)
class Surface:
    """What the terminal can show."""

    unicode: bool
    backgrounds: bool


def line_of(curve: Curve, log: bool, span: float, smoothing: Smoothing) -> Line:
    """A curve made ready for drawing; smoothing happens in axis space, where it is seen."""
    return Line(curve, smoothed(curve.x, to_axis(curve.mean, log), span, smoothing))


def paint_grid(cells: Cells, rows: Sequence[int], surface: Surface) -> None:
    """Dots in the rows of the labels; ASCII dots would look like values."""
    for row in rows if surface.unicode else ():
        cells.glyphs[row, 3::6] = "·"
        cells.inks[row, 3::6] = Ink.GRID


def paint_events(cells: Cells, columns: dict[MarkKind, list[int]], surface: Surface) -> None:
    """A thin vertical line at each event, unless events of that kind crowd."""
    for kind, places in columns.items():
        if not places or cells.width < 6 * len(places):
            continue
        ink = Ink.GRID if kind in ("epoch", "validation") else EVENT_LOOK[kind][2]
        cells.glyphs[:, places] = "┊" if surface.unicode else ":"
        cells.inks[:, places] = ink


def paint_levels(cells: Cells, levels: Sequence[tuple[float, str]], scale: Scale, surface: Surface) -> None:
    """A dashed line at each level that lies on the axis."""
    for row, _ in _rows_of_levels(cells, levels, scale):
        cells.write(row, 0, ("╌" if surface.unicode else "-") * cells.width, Ink.GOOD)


def paint_places(cells: Cells, places: Sequence[tuple[int, str]], surface: Surface) -> None:
    """A thin vertical line at each column."""
    for column, _ in places:
        cells.glyphs[:, column] = "┊" if surface.unicode else ":"
        cells.inks[:, column] = Ink.GOOD


def paint_names(
    cells: Cells, levels: Sequence[tuple[float, str]], places: Sequence[tuple[int, str]], scale: Scale
) -> None:
    """The names of levels and places beside their lines, where they hide nothing if there is such a place."""
    for row, name in _rows_of_levels(cells, levels, scale):
        words = f" {name} "[: max(0, cells.width - 1)]
        _write_where_free(cells, words, [(row, 1), (row, cells.width - 1 - len(words))])
    for column, name in places:
        sides = [column + 1, column - len(name)]
        slots = [(row, side) for row in range(cells.height) for side in sides]
        _write_where_free(cells, name, [(row, at) for row, at in slots if 0 <= at <= cells.width - len(name)])


def _rows_of_levels(cells: Cells, levels: Sequence[tuple[float, str]], scale: Scale) -> list[tuple[int, str]]:
    fractions = [(float(scale.fraction(np.array([value]))[0]), name) for value, name in levels]
    return [(row_of(fraction, cells.height), name) for fraction, name in fractions if 0 <= fraction <= 1]


def _write_where_free(cells: Cells, words: str, slots: Sequence[tuple[int, int]]) -> None:
    """At the first of the places (row, column) where the fewest cells are covered."""
    covered = [
        int((~np.isin(cells.glyphs[row, max(0, at) : at + len(words)], _FREE)).sum()) for row, at in slots
    ]
    if slots:
        cells.write(*slots[covered.index(min(covered))], words, Ink.GOOD)


def paint_band(cells: Cells, curve: Curve, edges: Floats, scale: Scale, surface: Surface) -> None:
    """The range from the smallest to the largest value, behind the lines; what leaves the plot is marked.

    edges [w + 1] are the cell borders along x.
    """
    spread = curve.high > curve.low
    low = np.where(spread, curve.low, np.nan)
    high = np.where(spread, curve.high, np.nan)
    if scale.log:  # a range that reaches zero reaches the lower end of a log axis
        low = np.where(spread, np.maximum(low, scale.value_range[0]), np.nan)
    lows, highs = stretched_extent(curve.x, scale.fraction(low), scale.fraction(high), edges)
    visible = np.isfinite(lows) & np.isfinite(highs)
    rows = cells.height
    eighths = np.zeros(cells.width, np.int64)
    eighths[visible] = np.round(np.clip(highs[visible], 0, 1) * rows * 8)
    floor_eighths = np.zeros(cells.width, np.int64)
    floor_eighths[visible] = np.round(np.clip(lows[visible], 0, 1) * rows * 8)
    if surface.backgrounds:
        _fill_with_paper(cells, floor_eighths, eighths)
    else:
        _fill_with_shade(cells, floor_eighths, eighths, surface)


def _bottoms(cells: Cells) -> Counts:
    return (cells.height - 1 - np.arange(cells.height, dtype=np.int64))[:, None] * 8


def _fill_with_paper(cells: Cells, low: Counts, high: Counts) -> None:
    """Whole cells as background; the upper and lower edges in eighths of a cell."""
    below = np.clip(low - _bottoms(cells), 0, 8)
    above = np.clip(high - _bottoms(cells), 0, 8)
    full = (below == 0) & (above == 8)
    cells.papers[full] = Paper.BAND
    free = cells.papers == Paper.SURFACE
    top_edge = free & (below == 0) & (above > 0) & (above < 8)
    cells.glyphs[top_edge] = EIGHTHS[above[top_edge]]
    cells.inks[top_edge] = Ink.BAND
    bottom_edge = free & (below > 0) & (below < 8) & (above == 8)
    cells.glyphs[bottom_edge] = EIGHTHS[below[bottom_edge]]
    cells.inks[bottom_edge] = Ink.SURFACE
    cells.papers[bottom_edge] = Paper.BAND


def _fill_with_shade(cells: Cells, low: Counts, high: Counts, surface: Surface) -> None:
    covered = np.clip(high - _bottoms(cells), 0, 8) - np.clip(low - _bottoms(cells), 0, 8) >= 4
    cells.glyphs[covered] = "░" if surface.unicode else "."
    cells.inks[covered] = Ink.BAND


def paint_spikes(cells: Cells, curve: Curve, edges: Floats, scale: Scale, surface: Surface) -> None:
    """Arrows at the upper and lower edge where values lie outside the plot."""
    low, high = scale.fraction(curve.low), scale.fraction(curve.high)
    if not ((high > 1.0 + 1e-9) | (low < -1e-9)).any():
        return
    lows, highs = extent(curve.x, low, high, edges)
    over, under = highs > 1.0 + 1e-9, lows < -1e-9
    cells.glyphs[0, over] = "▴" if surface.unicode else "^"
    cells.inks[0, over] = Ink.WARNING
    cells.glyphs[-1, under] = "▾" if surface.unicode else "v"
    cells.inks[-1, under] = Ink.WARNING


def paint_lines(cells: Cells, lines: Sequence[Line], scale: Scale, surface: Surface, edges: Floats) -> None:
    """All lines in braille; in a shared cell the dots are joined and the curve with most dots gives the ink.

    edges [2 w + 1] are the borders of dot columns along x.
    """
    if not lines:
        return
    shape = (cells.height, cells.width)
    most = np.zeros(shape, np.uint8)
    owner = np.zeros(shape, np.uint8)
    joined = np.zeros(shape, np.uint8)
    for index, line in enumerate(lines):
        fraction = (line.y - scale.low) / (scale.high - scale.low)
        bits = braille_bits(line_dots(line.curve.x, fraction, edges, cells.height * 4))
        wins = NUM_DOTS[bits] > most
        owner[wins], most[wins] = index, NUM_DOTS[bits[wins]]
        joined |= bits
    drawn = joined > 0
    _settle_edges(cells, drawn)
    inks = np.array([role_ink(line.curve.color) for line in lines], np.uint8)
    if surface.unicode:
        cells.glyphs[drawn] = braille(joined[drawn])
    else:
        cells.glyphs[drawn] = np.array([line.letter for line in lines])[owner[drawn]]
    cells.inks[drawn] = inks[owner[drawn]]


def _settle_edges(cells: Cells, drawn: NDArray[np.bool_]) -> None:
    """A cell that shows dots has no room for an edge in eighths: its larger part takes the whole paper."""
    codes = cells.glyphs.view(np.uint32)  # comparing strings would cost a tenth of the frame
    upper_half = (codes >= ord("▅")) & (codes <= ord("█"))
    band = drawn & upper_half & (cells.inks == Ink.BAND)
    surface = drawn & upper_half & (cells.inks == Ink.SURFACE)
    cells.papers[band] = Paper.BAND
    cells.papers[surface] = Paper.SURFACE


def paint_end_labels(cells: Cells, lines: Sequence[Line], scale: Scale, first: float, last: float) -> None:
    """Each curve's letter behind its last point; letters give way to one another by a row."""
    taken: set[tuple[int, int]] = set()
    for line in lines:
        drawn = np.flatnonzero(np.isfinite(line.y) & (line.curve.x >= first) & (line.curve.x <= last))
        if not drawn.size:
            continue
        x, y = line.curve.x[drawn[-1]], line.y[drawn[-1]]
        column = min(int(columns_of(np.array([x]), first, last, cells.width)[0]) + 1, cells.width - 1)
        row = row_of(float((y - scale.low) / (scale.high - scale.low)), cells.height)
        free = [place for place in (row, row - 1, row + 1, row - 2, row + 2) if (place, column) not in taken]
        row = next((place for place in free if 0 <= place < cells.height), row)
        taken.add((row, column))
        cells.write(row, column, line.letter, role_ink(line.curve.color))


def paint_cursor(cells: Cells, column: int, surface: Surface) -> None:
    """A column that leaves what is under it readable."""
    if surface.backgrounds:
        cells.papers[:, column] = Paper.CURSOR
        edges = np.isin(cells.glyphs[:, column], EIGHTHS)
        cells.glyphs[edges, column] = " "
        return
    blank = np.isin(cells.glyphs[:, column], list(" ·░┊╌.:-"))
    cells.glyphs[blank, column] = "│" if surface.unicode else "|"
    cells.inks[blank, column] = Ink.STRONG
