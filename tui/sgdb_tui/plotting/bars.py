"""Range bars on one shared asinh axis: min to max, mean and spread of many tensors in the same picture."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sgdb_tui.plotting.cells import Cells, Ink
from sgdb_tui.plotting.series import Floats

USUAL_DECADES = 0.5
"""Rows whose width is within this of the median are all usual, and keep the model's order."""


@dataclass(frozen=True)
class RangeRow:
    """Statistics of one tensor or feature; `nonfinite` values are counted and left out of the others."""

    name: str
    low: float
    high: float
    mean: float
    std: float
    nonfinite: int = 0
    shares: tuple[float, ...] = ()
    """Share of the values in each of equally wide bins from low to high; empty where it was not measured."""


@dataclass(frozen=True)
class AsinhAxis:
    """asinh(value / unit): linear near zero, logarithmic far from it, on both sides."""

    unit: float
    low: float
    high: float

    def fraction(self, value: float) -> float:
        """Place between 0 and 1 of a value, clipped."""
        low, high = np.arcsinh(self.low / self.unit), np.arcsinh(self.high / self.unit)
        return float(np.clip((np.arcsinh(value / self.unit) - low) / (high - low), 0.0, 1.0))


def shared_axis(rows: Sequence[RangeRow], previous: AsinhAxis | None = None) -> AsinhAxis:
    """An axis for all rows, zero included; the previous one is kept while it serves."""
    ends = np.array([[row.low, row.high] for row in rows], np.float64).reshape(-1, 2)
    ends = ends[np.isfinite(ends).all(axis=1)]
    if not ends.size:
        return previous or AsinhAxis(1.0, -1.0, 1.0)
    low, high = min(0.0, float(ends.min())), max(0.0, float(ends.max()))
    serves = previous is not None and previous.low <= low and high <= previous.high
    if previous and serves and high - low >= 0.5 * (previous.high - previous.low):
        return previous
    if low == high:
        return AsinhAxis(1.0, -1.0, 1.0)
    spreads = np.array([row.std for row in rows], np.float64)
    spreads = spreads[np.isfinite(spreads) & (spreads > 0)]
    unit = float(np.median(spreads)) if spreads.size else (high - low) / 4
    return AsinhAxis(max(unit, (high - low) * 1e-6), low * 1.1, high * 1.1)


def range_badness(rows: Sequence[RangeRow]) -> Floats:
    """How unusual each row is, shape [n]: non-finite values first, then the width against the median's."""
    widths = np.array([max(abs(row.low), abs(row.high)) for row in rows], np.float64)
    usable = widths[np.isfinite(widths) & (widths > 0)]
    median = float(np.median(usable)) if usable.size else 1.0
    with np.errstate(divide="ignore", invalid="ignore"):
        decades = np.clip(np.nan_to_num(np.log10(widths / median), nan=0.0, neginf=0.0), -3, 3)
    broken = np.array([row.nonfinite > 0 for row in rows], np.float64)
    return np.asarray(broken * 1000 + np.maximum(np.abs(decades) - USUAL_DECADES, 0) * 5)


def draw_bar(row: RangeRow, axis: AsinhAxis, width: int, *, unicode: bool) -> Cells:
    """One bar, one row high."""
    cells = Cells(1, width)
    if width < 1:
        return cells
    if row.nonfinite or not all(map(np.isfinite, (row.low, row.high, row.mean, row.std))):
        cells.write(0, 0, f"NON-FINITE: {row.nonfinite} values"[:width], Ink.ERROR)
        return cells
    thin, thick, dot, zero = "─━●│" if unicode else "-=o|"
    cells.write(0, _column(0.0, axis, width), zero, Ink.GRID)
    first, last = _column(row.low, axis, width), _column(row.high, axis, width)
    cells.write(0, first, thin * (last - first + 1), Ink.DIM)
    first = _column(max(row.mean - row.std, row.low), axis, width)
    last = _column(min(row.mean + row.std, row.high), axis, width)
    cells.write(0, first, thick * (last - first + 1), Ink.TRAIN)
    cells.write(0, _column(row.mean, axis, width), dot, Ink.TRAIN)
    return cells


def draw_histogram(row: RangeRow, width: int, *, unicode: bool) -> Cells:
    """The distribution from low to high, one row high; the height is the root of the share, so that tails show."""
    cells = Cells(1, width)
    if row.nonfinite or not row.shares:
        text = f"NON-FINITE: {row.nonfinite} values" if row.nonfinite else "not measured yet"
        cells.write(0, 0, text[:width], Ink.ERROR if row.nonfinite else Ink.DIM)
        return cells
    heights = np.sqrt(np.array(row.shares, np.float64))
    highest = heights.max() or 1.0
    steps = " ▁▂▃▄▅▆▇" if unicode else " .:-=+*#"
    levels = np.where(heights > 0, np.ceil(heights / highest * (len(steps) - 1)), 0).astype(int)
    bins = (np.arange(width) * len(row.shares)) // max(1, width)
    cells.write(0, 0, "".join(steps[level] for level in levels[bins]), Ink.TRAIN)
    return cells


def _column(value: float, axis: AsinhAxis, width: int) -> int:
    return min(int(axis.fraction(value) * width), width - 1)
