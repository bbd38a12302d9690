"""One scalar column in bounded memory: aligned buckets of 2**k steps, which stay when the run grows."""

from dataclasses import dataclass

import numpy as np

from sgdb_engine.recording.payloads import FloatArray, StepArray

MAX_BUCKETS = 4096
BYTES_PER_BUCKET = 8 * 8
MAX_STEP = 2**53
"""Steps are kept as float64, exact up to here."""

_FIRST_CAPACITY = 64
_FIRST, _LAST, _COUNT, _NONFINITE, _MEAN, _MIN, _MAX, _LAST_VALUE = range(8)
"""Rows of a table: float64 (8, n), a bucket a column, ascending in steps; one value is a bucket, too."""


@dataclass(frozen=True)
class Bins:
    """Neighbouring stretches of steps, none of them empty; all float64 (n,)."""

    first: FloatArray
    """The first step that has a value."""
    last: FloatArray
    """The last step that has a value."""
    mean: FloatArray
    """Of the finite values, NaN if there is none; min and max likewise."""
    min: FloatArray
    max: FloatArray
    last_value: FloatArray
    """The value of the last step, finite or not."""
    count: FloatArray
    """Number of values, finite or not."""
    nonfinite: FloatArray
    """Number of NaN and infinite ones among them."""


class Buckets:
    """Minimum, maximum, mean, last value and counts per aligned stretch of 2**shift steps that has values."""

    def __init__(self, max_buckets: int = MAX_BUCKETS) -> None:
        self.shift = 0
        self._max_buckets = max_buckets
        self._table = np.empty((8, _FIRST_CAPACITY))
        self._used = 0

    @property
    def nbytes(self) -> int:
        """Bytes of the arrays."""
        return self._table.nbytes

    def add(self, steps: StepArray, values: FloatArray) -> None:
        """Takes in values (n,) of steps (n,), in any order; of one step the later is the last value."""
        if len(steps) == 0:
            return
        start = int(steps.min()) >> self.shift << self.shift
        kept = int(np.searchsorted(self._table[_LAST, : self._used], start))
        added = np.concatenate((self._table[:, kept : self._used], _single(steps, values)), axis=1)
        order = np.argsort(added[_LAST], kind="stable")
        self._store(kept, _combine(added[:, order], self.shift))

    def limit(self, max_buckets: int) -> None:
        """From now on keeps at most so many."""
        self._max_buckets = max_buckets
        self._store(0, self._table[:, : self._used].copy(), tight=True)

    def rewind(self, step: int) -> None:
        """Forgets what came after this step; a bucket that reaches across keeps its extremes."""
        self._used = int(np.searchsorted(self._table[_FIRST, : self._used], step, side="right"))
        if self._used:
            self._table[_LAST, self._used - 1] = min(self._table[_LAST, self._used - 1], step)

    def bins(self, first_step: float | None, last_step: float | None, bins: int | None) -> Bins:
        """The buckets that touch these steps (inclusive), merged to at most `bins` wider aligned ones."""
        begin, end = 0, self._used
        if first_step is not None:
            begin = int(np.searchsorted(self._table[_LAST, :end], first_step))
        if last_step is not None:
            end = int(np.searchsorted(self._table[_FIRST, :end], last_step, side="right"))
        table = self._table[:, begin : max(begin, end)].copy()
        shift = self.shift
        while bins is not None and table.shape[1] > max(1, bins) and shift < 62:
            shift += 1
            table = _combine(table, shift)
        return Bins(*table[[_FIRST, _LAST, _MEAN, _MIN, _MAX, _LAST_VALUE, _COUNT, _NONFINITE]])

    def last(self) -> tuple[float, float] | None:
        """The last step and its value."""
        if not self._used:
            return None
        return float(self._table[_LAST, self._used - 1]), float(self._table[_LAST_VALUE, self._used - 1])

    def points(self) -> tuple[FloatArray, FloatArray]:
        """The last step of each bucket, and its value."""
        return self._table[_LAST, : self._used], self._table[_LAST_VALUE, : self._used]

    def _store(self, kept: int, tail: FloatArray, tight: bool = False) -> None:
        while kept + tail.shape[1] > self._max_buckets:
            self.shift += 1
            tail = _combine(np.concatenate((self._table[:, :kept], tail), axis=1), self.shift)
            kept = 0
        self._used = kept + tail.shape[1]
        if self._used > self._table.shape[1] or tight:
            capacity = max(_FIRST_CAPACITY, self._used if tight else 2 * self._used)
            grown = np.empty((8, min(capacity, max(self._max_buckets, self._used))))
            grown[:, :kept] = self._table[:, :kept]
            self._table = grown
        self._table[:, kept : self._used] = tail


def _single(steps: StepArray, values: FloatArray) -> FloatArray:
    finite = np.isfinite(values)
    table = np.empty((8, len(steps)))
    table[_FIRST] = table[_LAST] = steps
    table[_COUNT] = 1.0
    table[_NONFINITE] = ~finite
    table[_MEAN] = table[_MIN] = table[_MAX] = np.where(finite, values, np.nan)
    table[_LAST_VALUE] = values
    return table


def _combine(table: FloatArray, shift: int) -> FloatArray:
    """Merges what falls into the same 2**shift steps; the table is ascending in its last steps."""
    index = table[_LAST].astype(np.int64) >> shift
    starts = np.flatnonzero(np.diff(index, prepend=index[:1] - 1))
    if len(starts) == len(index):
        return table
    merged = np.empty((8, len(starts)))
    ends = np.append(starts[1:], len(index)) - 1
    merged[_LAST], merged[_LAST_VALUE] = table[_LAST, ends], table[_LAST_VALUE, ends]
    merged[_COUNT] = np.add.reduceat(table[_COUNT], starts)
    merged[_NONFINITE] = np.add.reduceat(table[_NONFINITE], starts)
    with np.errstate(all="ignore"):  # NaN stands for "no finite value" here, and fmin and fmax pass over it
        merged[_FIRST] = np.fmin.reduceat(table[_FIRST], starts)
        merged[_MIN] = np.fmin.reduceat(table[_MIN], starts)
        merged[_MAX] = np.fmax.reduceat(table[_MAX], starts)
        finite = table[_COUNT] - table[_NONFINITE]
        total = np.repeat(merged[_COUNT] - merged[_NONFINITE], np.diff(np.append(starts, len(index))))
        # Weights of at most one: the sum of large values would overflow.
        shares = np.where(finite > 0, table[_MEAN] * (finite / total), 0.0)
        mean = np.add.reduceat(shares, starts)
    merged[_MEAN] = np.where(np.isnan(merged[_MIN]), np.nan, mean)
    return merged
