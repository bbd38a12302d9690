"""The heat map's maths: decades from the median, rows ordered worst first, bins to columns."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from sgdb_tui.plotting.series import Floats

LEVEL_EDGES = (0.75, 1.25, 1.75, 2.25, 2.75)
"""Decades from the median at which levels 1 to 5 begin; nearer is normal, and grey."""
BROKEN = 99
"""The level of a bin with non-finite values."""
EMPTY = -99
"""The level of a bin without values."""
GLYPHS = dict(zip(range(-5, 6), "LLll-.+hhHH", strict=True))
"""What levels look like without colours."""
HALF_WINDOW = 8
"""Bins to each side over which the median is smoothed."""
SWING = 4 * 1.4826
"""Median absolute deviations within which a common rise or fall is usual: four standard deviations, if normal."""

Levels = NDArray[np.int8]


def reference(values: Floats) -> Floats:
    """What is normal at each time: the median over layers, smoothed over neighbouring bins; [n], NaN if empty.

    A window in time makes the common decay of a run normal, and a common spike not; where all layers go up and
    down together all the time, as they do once a training set is learnt by heart, that is normal too.
    """
    if not values.shape[1]:
        return np.zeros(0)
    medians = np.log10([_median(values[:, column]) for column in range(values.shape[1])])
    course = _smoothed(medians)
    swing = SWING * _smoothed(np.abs(medians - course))
    return np.asarray(10 ** (course + np.clip(medians - course, -swing, swing)))


def deviations(values: Floats) -> Floats:
    """log10(value / reference) of values [num, n]; zero is infinitely far below; NaN where unmeasured."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.log10(values / reference(values)[None, :]))


def levels_of(deviation: Floats, nonfinite: NDArray[np.bool_]) -> Levels:
    """Levels -5..5 of deviations, BROKEN and EMPTY."""
    size = np.searchsorted(LEVEL_EDGES, np.nan_to_num(np.abs(deviation), nan=0.0, posinf=1e3), side="right")
    levels = np.where(deviation < 0, -size, size)
    levels = np.where(np.isnan(deviation), EMPTY, levels)
    return np.where(nonfinite, BROKEN, levels).astype(np.int8)


def badness(levels: Levels) -> Floats:
    """How far each row is from normal, shape [num]; newer bins weigh more, non-finite ones most."""
    num_bins = levels.shape[1]
    if not num_bins:
        return np.zeros(levels.shape[0])
    recency = np.linspace(0.2, 1.0, num_bins)
    size = np.where(np.abs(levels) <= 5, np.abs(levels), 0) * recency
    broken = (levels == BROKEN).any(axis=1) * 1000.0
    return np.asarray(broken + size.sum(axis=1) / recency.sum() * 10)


def worst_first(scores: Floats, previous: Sequence[int] = ()) -> list[int]:
    """Row order by score; rows of nearly the same score keep their previous order, so rows rarely jump."""
    rank = {row: place for place, row in enumerate(previous)}
    return sorted(range(scores.size), key=lambda row: (-round(float(scores[row]) * 2), rank.get(row, row)))


def resampled(levels: Levels, edges: Floats, first: float, last: float, num_columns: int) -> Levels:
    """Levels [num, n] of bins with step edges [n + 1], spread over columns of the same width in steps.

    A column takes the worst of its bins; EMPTY outside the bins.
    """
    columns = np.full((levels.shape[0], max(0, num_columns)), EMPTY, np.int8)
    if not (levels.shape[1] and num_columns > 0 and last > first):
        return columns
    borders = np.linspace(first, last, num_columns + 1)
    left = np.clip(np.searchsorted(edges, borders[:-1], side="right") - 1, 0, levels.shape[1])
    right = np.clip(np.searchsorted(edges, borders[1:], side="left"), 0, levels.shape[1])
    for column in range(num_columns):
        if borders[column + 1] > edges[0] and borders[column] < edges[-1]:
            columns[:, column] = _worst(levels[:, left[column] : max(right[column], left[column] + 1)])
    return columns


def _worst(levels: Levels) -> Levels:
    """The level furthest from normal in each row of [num, n]; measured beats EMPTY."""
    if not levels.shape[1]:
        return np.full(levels.shape[0], EMPTY, np.int8)
    weight = np.where(levels == EMPTY, -1, np.abs(levels.astype(np.int16)))
    return np.asarray(levels[np.arange(levels.shape[0]), weight.argmax(axis=1)])


def _smoothed(values: Floats) -> Floats:
    """The running median of [n]."""
    windows = (values[max(0, i - HALF_WINDOW) : i + HALF_WINDOW + 1] for i in range(values.size))
    known = [window[np.isfinite(window)] for window in windows]
    return np.array([np.median(window) if window.size else np.nan for window in known])


def _median(values: Floats) -> float:
    usable = values[np.isfinite(values) & (values > 0)]
    return float(np.median(usable)) if usable.size else float("nan")
