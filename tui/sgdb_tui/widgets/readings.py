"""A table of values: name, present value, trend arrow and a sparkline of the whole run."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from sgdb_tui.formatting import fit
from sgdb_tui.plotting.cells import Ink, Run
from sgdb_tui.widgets.list_panel import ListPanel, Row, ink

BARS = "▁▂▃▄▅▆"
"""No higher: full blocks of neighbouring rows would merge into one mass."""

_NAME_WIDTH = 14
_VALUE_WIDTH = 9
_SHORTEST_SPARKLINE = 6
_NO_HISTORY = np.empty(0)


@dataclass(frozen=True, eq=False)
class Reading:
    """One row: a quantity, its present value in words, and how it came there."""

    name: str
    value: str
    tone: Ink = Ink.TEXT
    past: NDArray[np.float64] = field(default_factory=lambda: _NO_HISTORY)
    """The whole run in equal parts, NaN where nothing was measured; empty for no sparkline."""


def trend(past: NDArray[np.float64]) -> str:
    """An arrow: whether the last eighth lies clearly, by the noise of both, off the eighth before it."""
    finite = past[np.isfinite(past)]
    part = max(2, len(finite) // 8)
    if len(finite) < 2 * part:
        return " "
    last, before = finite[-part:], finite[-2 * part : -part]
    change = float(last.mean() - before.mean())
    noise = max(float(last.std() + before.std()) / 2, 0.005 * abs(float(before.mean())))
    if abs(change) <= noise:
        return "→"
    return "↗" if change > 0 else "↘"


def sparkline(past: NDArray[np.float64], width: int) -> str:
    """One bar a column, a gap where nothing finite was measured; on a log scale when values span 20 times."""
    if width < 1 or not len(past):
        return ""
    columns = [part[np.isfinite(part)] for part in np.array_split(past, min(width, len(past)))]
    values = np.array([part.mean() if len(part) else np.nan for part in columns])
    finite = values[np.isfinite(values)]
    if not len(finite):
        return ""
    if finite.min() > 0 and finite.max() > 20 * finite.min():
        values, finite = np.log(values), np.log(finite)
    low, span = float(finite.min()), float(np.ptp(finite))
    if span <= 1e-9 * max(1.0, abs(low)):
        return "".join(BARS[1] if np.isfinite(value) else " " for value in values)
    levels = np.where(np.isfinite(values), (values - low) / span * (len(BARS) - 1), -1)
    return "".join(BARS[round(level)] if level >= 0 else " " for level in levels.tolist())


class Readings(ListPanel):
    """Readings, one a row; those that do not fit scroll."""

    def __init__(self, title: str, *, id: str, empty: str = "") -> None:  # noqa: A002 - Textual's name
        super().__init__(title, id=id)
        self.readings: Sequence[Reading] = ()
        self._empty = empty

    def show(self, readings: Sequence[Reading]) -> None:
        """Show these values."""
        self.readings = readings
        self.redraw()

    def empty_words(self) -> str:
        """What stands there before anything was measured."""
        return self._empty

    def rows(self, width: int) -> Sequence[Row]:
        """Name, value, arrow, sparkline."""
        longest = max((len(reading.name) for reading in self.readings), default=0)
        name_width = max(0, min(longest, _NAME_WIDTH, width - _VALUE_WIDTH - 1))
        return [self._row(reading, name_width, width) for reading in self.readings]

    def _row(self, reading: Reading, name_width: int, width: int) -> list[Run]:
        name = fit(reading.name, name_width).ljust(name_width)
        value = fit(reading.value, _VALUE_WIDTH).rjust(_VALUE_WIDTH)
        row = [ink(f"{name} ", Ink.DIM), ink(value, reading.tone)]
        left = width - name_width - 1 - _VALUE_WIDTH
        if left >= 2 and len(reading.past):
            row.append(ink(f" {trend(reading.past)}", Ink.DIM))
        if left - 4 >= _SHORTEST_SPARKLINE and len(reading.past):
            row.append(ink(" " + sparkline(reading.past, left - 4), Ink.EVENT))
        return row
