"""Range bars: smallest to largest value, mean and spread of each tensor or feature, on one axis."""

from collections.abc import Sequence

from textual.reactive import reactive

from sgdb_engine.recording.payloads import HistogramKind
from sgdb_tui.formatting import number
from sgdb_tui.plotting.bars import (
    AsinhAxis,
    RangeRow,
    draw_bar,
    draw_histogram,
    range_badness,
    shared_axis,
)
from sgdb_tui.plotting.cells import Ink, Paper, Run
from sgdb_tui.widgets.row_panel import RowPanel

VALUE_WIDTH = 7
NARROWEST_WITH_VALUES = 24
HISTOGRAMS: tuple[HistogramKind | None, ...] = (None, "weights", "gradients", "activations")
"""What is shown, one after the other; None: ranges."""
SIGNS = """\
`─` reaches from the smallest to the largest value, `━` one standard deviation around the mean `●`. All rows
share one axis, linear near zero and logarithmic far from it; `│` is zero. The numbers at the right are the
smallest and the largest value. NON-FINITE counts NaN and infinite values.
"""
"""How a row is read, for the help."""

__all__ = ["RangeBars", "RangeRow"]


class RangeBars(RowPanel):
    """One row a tensor; used for parameters, inputs and outputs."""

    HELP = f"""\
{SIGNS}
`h` shows histograms instead: of the weights; once more, of their gradients; once more, of what each layer gives
in a forward pass. Each reaches from its own smallest to its own largest value, which stand at the right; the
height is the square root of the share, so that tails show. They are measured every few seconds.

Up and down move the row cursor, `w` sorts the most unusual first or in the model's order, `/` filters.
"""

    histograms: reactive[HistogramKind | None] = reactive(None, repaint=False)
    """Of what; None for ranges."""

    class RowSelected(RowPanel.RowSelected):
        """The user moved the cursor to another row."""

    def __init__(self, title: str = "", *, id: str | None = None, classes: str | None = None) -> None:  # noqa: A002 - Textual's name
        super().__init__(title, id=id, classes=classes)
        self._rows: tuple[RangeRow, ...] = ()
        self._axis: AsinhAxis | None = None

    def show(self, rows: Sequence[RangeRow]) -> None:
        """Show these rows; order, filter and cursor stay the user's."""
        self._rows = tuple(rows)
        self._axis = shared_axis(self._rows, self._axis)
        self.set_rows([row.name for row in self._rows], range_badness(self._rows))
        self.redraw()

    def row_runs(self, row: int, width: int) -> list[Run]:
        """Bar and numbers."""
        shown, axis = self._rows[row], self._axis
        if axis is None:
            return []
        values = [] if shown.nonfinite or width < NARROWEST_WITH_VALUES else [shown.low, shown.high]
        text = "".join(" " + number(value, VALUE_WIDTH).rjust(VALUE_WIDTH) for value in values)
        room = width - len(text)
        if self.histograms:
            bar = draw_histogram(shown, room, unicode=self.palette.unicode)
        else:
            bar = draw_bar(shown, axis, room, unicode=self.palette.unicode)
        return [*(bar.runs(0) if bar.width else []), Run(text, Ink.DIM, Paper.SURFACE)]

    def key_runs(self) -> list[Run]:
        """What the signs mean."""
        if not self._rows:
            return []
        if self.histograms:
            return [Run(f"histograms of {self.histograms} ", Ink.DIM, Paper.SURFACE)]
        signs = "─ min..max ━ ±σ ● mean " if self.palette.unicode else "- min..max = +-sigma o mean "
        return [Run(signs, Ink.DIM, Paper.SURFACE)]

    def watch_histograms(self) -> None:
        """Draw anew."""
        self.redraw()
