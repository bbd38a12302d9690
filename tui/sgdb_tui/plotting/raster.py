"""Curves to dots: per dot column the whole extent is drawn, so that no spike falls between two dots."""

import numpy as np
from numpy.typing import NDArray

from sgdb_tui.plotting.series import Floats

Dots = NDArray[np.bool_]

BRAILLE = 0x2800
_BITS = {(0, 0): 1, (1, 0): 2, (2, 0): 4, (0, 1): 8, (1, 1): 16, (2, 1): 32, (3, 0): 64, (3, 1): 128}
"""The bit of the dot in each row and column of a cell (The Unicode Standard, braille patterns)."""

NUM_DOTS = np.array([byte.bit_count() for byte in range(256)], np.uint8)
"""Dots in a cell of these bits."""


def extent(x: Floats, low: Floats, high: Floats, edges: Floats) -> tuple[Floats, Floats]:
    """Smallest low and largest high of the points between neighbouring edges.

    Args: points x, low, high [n] (x ascending), edges [m + 1]. Returns two arrays [m], NaN where empty.
    """
    num = edges.size - 1
    lows, highs = np.full(num, np.inf), np.full(num, -np.inf)
    columns = np.searchsorted(edges, x, side="right") - 1
    columns[x == edges[-1]] = num - 1
    inside = (columns >= 0) & (columns < num) & np.isfinite(low) & np.isfinite(high)
    np.minimum.at(lows, columns[inside], low[inside])
    np.maximum.at(highs, columns[inside], high[inside])
    empty = lows > highs
    lows[empty] = highs[empty] = np.nan
    return lows, highs


def stretched_extent(x: Floats, low: Floats, high: Floats, edges: Floats) -> tuple[Floats, Floats]:
    """As `extent`, and columns between two points take the straight line between them; gaps stay gaps."""
    lows, highs = extent(x, low, high, edges)
    if x.size == 0:
        return lows, highs
    for ends in (edges[:-1], edges[1:]):
        lows = np.fmin(lows, np.interp(ends, x, low, left=np.nan, right=np.nan))
        highs = np.fmax(highs, np.interp(ends, x, high, left=np.nan, right=np.nan))
    return lows, highs


def line_dots(x: Floats, fraction: Floats, edges: Floats, num_rows: int) -> Dots:
    """Dots [num_rows, m] of a line through (x, fraction); fraction 0 is the lowest row, row 0 the top."""
    lows, highs = stretched_extent(x, fraction, fraction, edges)
    visible = np.isfinite(lows) & np.isfinite(highs)
    with np.errstate(invalid="ignore"):
        top = _rows(np.where(visible, highs, 0.0), num_rows)
        bottom = _rows(np.where(visible, lows, 0.0), num_rows)
    rows = np.arange(num_rows)[:, None]
    return np.asarray((rows >= top) & (rows <= bottom) & visible)


def _rows(fraction: Floats, num_rows: int) -> NDArray[np.int64]:
    return np.clip((1.0 - fraction) * num_rows, 0, num_rows - 1).astype(np.int64)


def braille_bits(dots: Dots) -> NDArray[np.uint8]:
    """Dots [4 h, 2 w] as the low byte of braille code points [h, w]; 0 for an empty cell."""
    bits = np.zeros((dots.shape[0] // 4, dots.shape[1] // 2), np.uint8)
    for (row, column), bit in _BITS.items():
        bits |= dots[row::4, column::2] * np.uint8(bit)
    return bits


def braille(bits: NDArray[np.uint8]) -> NDArray[np.str_]:
    """Braille characters of bits."""
    return (bits.astype(np.uint32) + BRAILLE).view("<U1")


def columns_of(x: Floats, low: float, high: float, num_columns: int) -> NDArray[np.int64]:
    """Cell column of each x; -1 outside [low, high]."""
    if num_columns < 1 or not high > low:
        return np.full(np.shape(x), -1, np.int64)
    columns = np.floor((x - low) / (high - low) * num_columns)
    columns = np.where(x == high, num_columns - 1, columns)
    inside = (x >= low) & (x <= high)
    return np.where(inside, np.clip(columns, 0, num_columns - 1), -1).astype(np.int64)
