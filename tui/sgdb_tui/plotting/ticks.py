"""Ticks of linear and logarithmic axes: 1-2-5 steps, the finest that fits, one number of decimals."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from sgdb_tui.formatting import count, number
from sgdb_tui.plotting.scale import Scale

MANTISSAS = ((1, 2, 3, 5, 7), (1, 2, 3, 5), (1, 2, 5), (1, 3), (1,))
DECADES = (2, 3, 5, 10, 20, 50, 100)
X_GAP = 4
"""Blank columns between labels of the x axis."""
SHORT_LOG_RANGE = 1.0
"""Below this many decades a log axis gets round linear ticks: there may be no power of ten in it."""


@dataclass(frozen=True)
class Tick:
    """A labelled place on an axis."""

    value: float
    label: str


def y_ticks(scale: Scale, rows: int, gap: int = 2, width: int = 6) -> list[Tick]:
    """Ticks of a y axis `rows` high, at least `gap` rows apart: two at least, where two rows are."""
    low, high = scale.value_range
    candidates = _log_candidates(low, high) if _is_long(scale) else _linear_candidates(low, high)
    finest: list[float] = []
    for values in candidates:
        inside = [value for value in values if low <= value <= high]
        if len(inside) >= 2 and not finest:
            finest = inside
        if len(inside) >= 2 and _closest(inside, scale, rows) >= gap:
            return _labelled(inside, width)
    return _labelled(_thinned(finest, scale, rows, gap), width)


def x_ticks(low: float, high: float, columns: int) -> list[float]:
    """Round places on a linear axis, at least the width of a label apart; the finest that fit."""
    if not (high > low and columns > 0):
        return [low]
    for values in _linear_candidates(low, high):
        if len(values) < 2:
            return values or [low]
        width = max(len(count(value, 7)) for value in (values[0], values[-1]))
        if (values[1] - values[0]) / (high - low) * columns >= width + X_GAP:
            return values
    return [low]


def linear_steps(span: float) -> Iterator[float]:
    """The steps 1, 2, 5 times powers of ten, ascending from at most a fortieth of the span."""
    exponent = math.floor(math.log10(span / 40))
    while True:
        yield from (mantissa * 10.0**exponent for mantissa in (1, 2, 5))
        exponent += 1


def decimals_of(values: list[float]) -> int:
    """Decimals that all values need, at most 12."""
    for decimals in range(12):
        if all(abs(value - round(value, decimals)) <= 1e-9 * max(abs(value), 1e-12) for value in values):
            return decimals
    return 12


def _is_long(scale: Scale) -> bool:
    return scale.log and scale.high - scale.low >= SHORT_LOG_RANGE


def _linear_candidates(low: float, high: float) -> Iterator[list[float]]:
    span = high - low
    for step in linear_steps(span):
        first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
        yield [
            multiple * step if step >= 1 else multiple / round(1 / step)
            for multiple in range(first, last + 1)
        ]
        if step > 10 * span:
            return


def _log_candidates(low: float, high: float) -> Iterator[list[float]]:
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    for mantissas in MANTISSAS:
        yield [mantissa * 10.0**power for power in range(first, last + 1) for mantissa in mantissas]
    for every in DECADES:
        yield [10.0**power for power in range(first, last + 1) if power % every == 0]


def rows_of(values: list[float], scale: Scale, rows: int) -> list[int]:
    """The row of each value, 0 at the top."""
    fractions = scale.fraction(np.asarray(values, np.float64))
    return [row_of(float(fraction), rows) for fraction in fractions]


def row_of(fraction: float, rows: int) -> int:
    """The row of a height between 0 (lowest row) and 1 (row 0)."""
    return min(max(int((1.0 - fraction) * rows), 0), rows - 1)


def _closest(values: list[float], scale: Scale, rows: int) -> int:
    return min(above - below for below, above in pairwise(sorted(rows_of(values, scale, rows))))


def _thinned(values: list[float], scale: Scale, rows: int, gap: int) -> list[float]:
    kept: list[float] = []
    last = math.inf
    for value, row in zip(values, rows_of(values, scale, rows) if values else [], strict=True):
        if last - row >= gap:
            kept.append(value)
            last = row
    return kept


def _labelled(values: list[float], width: int) -> list[Tick]:
    if not values:
        return []
    small, large = min(abs(v) for v in values if v or len(values) == 1), max(abs(v) for v in values)
    decimals = decimals_of(values)
    common = [f"{value:.{decimals}f}" for value in values]
    even = 1e-3 <= large < 1e5 and max(map(len, common)) <= width and decimals <= 4
    spread = small > 0 and large / small >= 5 and decimals > 0
    if even and not spread:
        return [Tick(value, label) for value, label in zip(values, common, strict=True)]
    return [Tick(value, _short(value, width)) for value in values]


def _short(value: float, width: int) -> str:
    """The shortest spelling: 0.02, 3, 1e-5, 250k."""
    if value == 0:
        return "0"
    if abs(value) >= 1e4:
        return min(count(value, width), number(value, width), key=len)
    text = f"{value:.6g}"
    return text if len(text) <= 5 and "e" not in text else number(float(f"{value:.3g}"), width)
