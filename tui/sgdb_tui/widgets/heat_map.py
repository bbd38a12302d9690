"""The heat map of layers over time: decades from what is normal, grey where nothing is wrong."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from textual.reactive import reactive

from sgdb_engine.recording.history import Heat
from sgdb_tui.formatting import number
from sgdb_tui.plotting import heat as maths
from sgdb_tui.plotting.cells import Cells, Ink, Paper, Run
from sgdb_tui.plotting.scale import snapped_end
from sgdb_tui.widgets.row_panel import RowPanel

VALUE_WIDTH = 7


class HeatMap(RowPanel):
    """One row a layer; `show` gives it new values, everything else is the user's."""

    HELP = """\
Each row is a layer, each column a span of steps. Grey is normal: the gradient of a weight, root mean
square, lies within a factor of 5.6 of the median of all layers at that time. Blue is below, orange above,
darker to lighter in steps of half a decade and more; a red `×` marks NaN or infinite values. Without
colours: `L l -` below, `.` normal, `+ h H` above. The newest norm stands at the right.

Up and down move the row cursor, `w` sorts worst first or in the model's order, `/` filters.
"""
    end_step: reactive[int | None] = reactive(None, repaint=False)
    """Where the run ends or ended, if known: the axis never reaches beyond it."""

    class RowSelected(RowPanel.RowSelected):
        """The user moved the cursor to another layer."""

    def __init__(self, title: str = "", *, id: str | None = None, classes: str | None = None) -> None:  # noqa: A002 - Textual's name
        super().__init__(title, id=id, classes=classes)
        self._heat: Heat | None = None
        self._levels: maths.Levels = np.zeros((0, 0), np.int8)
        self._latest: NDArray[np.float32] = np.zeros(0, np.float32)
        self._columns: maths.Levels = np.zeros((0, 0), np.int8)

    def show(self, names: Sequence[str], heat: Heat, latest: NDArray[np.float32], title: str = "") -> None:
        """Show values of the layers `names`: history as heat, newest values [num] at the right."""
        self._heat = heat
        self._levels = maths.levels_of(maths.deviations(np.asarray(heat.values, np.float64)), heat.nonfinite)
        self._latest = np.asarray(latest)
        self.set_rows(names, maths.badness(self._levels))
        if title:
            self.panel_title = title
        self.redraw()

    def watch_end_step(self) -> None:
        """Draw anew."""
        self.redraw()

    @property
    def map_width(self) -> int:
        """Cells of the map; each holds two spans of time where colours allow it."""
        return max(0, self.row_width() - VALUE_WIDTH - 1)

    def prepare(self, width: int, height: int) -> None:
        """Spread the bins over the columns."""
        super().prepare(width, height)
        if self._heat is None:
            return
        edges = np.asarray(self._heat.edges, np.float64)
        num_columns = self.map_width * (2 if self.palette.backgrounds else 1)
        if edges.size < 2:
            self._columns = np.full((len(self._names), num_columns), maths.EMPTY, np.int8)
            return
        first, limit = float(edges[0]), float(self.end_step) if self.end_step is not None else None
        last = snapped_end(first, float(edges[-1]), limit)
        self._columns = maths.resampled(self._levels, edges, first, last, num_columns)

    def row_runs(self, row: int, width: int) -> list[Run]:
        """The row's history, then its newest value."""
        value = float(self._latest[row]) if row < self._latest.size else float("nan")
        abnormal = row < len(self._levels) and self._newest_level(row) not in (0, maths.EMPTY)
        ink = Ink.ERROR if not np.isfinite(value) else Ink.WARNING if abnormal else Ink.DIM
        text = number(value, VALUE_WIDTH)[:width].rjust(min(width, VALUE_WIDTH))
        gap = Run(" ", Ink.DIM, Paper.SURFACE)
        if not self.map_width:
            return [Run(text, ink, Paper.SURFACE)]
        levels = self._columns[row]
        cells = _painted(levels) if self.palette.backgrounds else _spelled(levels, self.palette.unicode)
        return [*cells.runs(0), gap, Run(text, ink, Paper.SURFACE)]

    def key_runs(self) -> list[Run]:
        """The colours in order, with what they mean."""
        if self._heat is None:
            return []
        if not self.palette.backgrounds:
            return [Run("vs median  L l - . + h H ", Ink.DIM, Paper.SURFACE)]
        blocks = [Run("  " if not level else " ", Ink.TEXT, Paper.HEAT + level) for level in range(-5, 6)]
        label = [Run("vs median  low ", Ink.DIM, Paper.SURFACE)]
        return [*label, *blocks, Run(" high ", Ink.DIM, Paper.SURFACE)]

    def _newest_level(self, row: int) -> int:
        measured = self._levels[row][self._levels[row] != maths.EMPTY]
        return int(measured[-1]) if measured.size else maths.EMPTY


def _painted(levels: maths.Levels) -> Cells:
    """Two levels a cell: left as ink of a half block, right as paper; a broken one takes the whole cell."""
    pairs = levels.reshape(-1, 2).astype(np.int16)
    cells = Cells(1, pairs.shape[0])
    left, right = pairs[:, 0], pairs[:, 1]
    cells.papers[0] = np.where(right == maths.EMPTY, Paper.SURFACE, Paper.HEAT + right)
    same = left == right
    cells.glyphs[0] = np.where(same, " ", "▌")
    cells.inks[0] = np.where(same, Ink.TEXT, np.where(left == maths.EMPTY, Ink.SURFACE, Ink.HEAT + left))
    broken = (pairs == maths.BROKEN).any(axis=1)
    cells.glyphs[0, broken] = "×"
    cells.inks[0, broken] = Ink.ERROR
    cells.papers[0, broken] = Paper.HEAT
    return cells


def _spelled(levels: maths.Levels, unicode: bool) -> Cells:
    """One letter a cell, for terminals without backgrounds."""
    cells = Cells(1, levels.size)
    for column, level in enumerate(levels.tolist()):
        if level == maths.BROKEN:
            cells.write(0, column, "×" if unicode else "X", Ink.ERROR)
        elif level != maths.EMPTY:
            glyph = "·" if level == 0 and unicode else maths.GLYPHS[level]
            cells.write(0, column, glyph, Ink.HEAT + level)
    return cells
