"""What a viewer remembers of a run: bounded in bytes, and never hiding a spike or a NaN."""

from typing import NamedTuple

import numpy as np

from sgdb_engine.events import EpochEnded
from sgdb_engine.recording.buckets import BYTES_PER_BUCKET, MAX_BUCKETS, MAX_STEP, Buckets
from sgdb_engine.recording.buckets import Bins as Bins
from sgdb_engine.recording.clock import StepClock
from sgdb_engine.recording.json_records import Gap
from sgdb_engine.recording.payloads import (
    HISTOGRAM_BINS,
    HISTOGRAM_PREFIXES,
    Float32Array,
    FloatArray,
    HistogramKind,
    ScalarRows,
    TensorRow,
    histogram_stats,
)
from sgdb_engine.recording.pictures import Newest
from sgdb_engine.recording.reader import Batch
from sgdb_engine.recording.tensor_bins import MAX_BINS, TensorBins
from sgdb_engine.recording.tensor_bins import Heat as Heat

_MIN_BUCKETS = 64
_BYTES_PER_NAME = 256
_MAX_NOTES = 10_000
"""Epochs and gaps kept."""
_MAX_HISTOGRAMS = 20_000


class Point(NamedTuple):
    """A value at a step."""

    step: int
    value: float


class Histogram(NamedTuple):
    """How the values of a tensor lay when they were measured last."""

    shares: Float32Array
    """float32 (HISTOGRAM_BINS,)"""
    low: float
    high: float


class History:
    """Fed with a RunReader's batches, by one thread. Half the bytes are for scalars, half for tensors."""

    def __init__(self, max_bytes: int = 64 * 2**20) -> None:
        self._columns: dict[str, Buckets] = {}
        self._clock = StepClock()
        self._tensors = TensorBins(max_bytes // 2)
        self._histograms: dict[HistogramKind, dict[str, Histogram]] = {}
        self.pictures = Newest()
        self._scalar_bytes = max_bytes // 2 - 2 * MAX_BUCKETS * BYTES_PER_BUCKET
        self._max_buckets = MAX_BUCKETS
        self.first_step: int | None = None
        self.last_step: int | None = None
        self.epochs: list[tuple[int, int]] = []
        """(completed epochs, step)."""
        self.gaps: list[Gap] = []
        self.missing_records = 0
        """Records that damage took."""
        self.columns_left_out = 0
        """Scalar columns for which there was no room; they are in the files."""

    @property
    def nbytes(self) -> int:
        """Bytes held (estimated)."""
        scalars = sum(column.nbytes + _BYTES_PER_NAME for column in self._columns.values())
        return scalars + self._clock.nbytes + self._tensors.nbytes + self.pictures.nbytes

    def add(self, batch: Batch) -> None:
        """Takes in what a poll found."""
        for rewind in batch.rewinds:
            self.rewind(rewind.step)
        for rows in batch.scalars:
            self._add_rows(rows)
        tensors = [row for row in batch.tensors if row.columns and abs(row.step) <= MAX_STEP]
        self._tensors.add([row for row in tensors if not _is_histogram(row)])
        for row in filter(_is_histogram, tensors):
            self._add_histograms(row)
        for picture in batch.pictures:
            self.pictures.take(picture)
        self.epochs += [(e.epoch, e.step) for e in batch.events if isinstance(e, EpochEnded)]
        self.gaps += batch.gaps
        self.missing_records += batch.missing_records
        del self.epochs[:-_MAX_NOTES], self.gaps[:-_MAX_NOTES]

    def rewind(self, step: int) -> None:
        """Later steps are dropped from view; a bucket that reaches across keeps its extremes."""
        for column in self._columns.values():
            column.rewind(step)
        self._clock.rewind(step)
        self._tensors.rewind(step)
        self.pictures.rewind(step)
        self.epochs = [(epoch, at) for epoch, at in self.epochs if at <= step]
        if self.last_step is not None and self.first_step is not None:
            self.last_step = max(self.first_step, min(self.last_step, step))

    def names(self) -> tuple[str, ...]:
        """The scalar columns, in the order in which they were first seen."""
        return tuple(self._columns)

    def last(self, name: str) -> Point | None:
        """The last value of a scalar column, finite or not."""
        column = self._columns.get(name)
        found = column.last() if column else None
        return found and Point(int(found[0]), found[1])

    def series(
        self,
        name: str,
        first_step: float | None = None,
        last_step: float | None = None,
        bins: int | None = None,
    ) -> Bins:
        """A scalar column between two steps (inclusive), in at most `bins` aligned bins; empty if unknown."""
        return self._columns.get(name, _EMPTY).bins(first_step, last_step, bins)

    def tensor_stats(self) -> tuple[str, ...]:
        """The statistics kept per tensor."""
        return self._tensors.stats()

    def tensor_names(self, stat: str | None = None) -> tuple[str, ...]:
        """The tensors of a statistic, in the order of latest() and heat(); of all statistics if None."""
        return self._tensors.tensors(stat)

    def latest(self, stat: str) -> tuple[int, Float32Array] | None:
        """The last step measured, and the latest value of each tensor, float32 (num_tensors,)."""
        return self._tensors.latest(stat)

    def heat(self, stat: str, bins: int = MAX_BINS) -> Heat:
        """The largest finite value of each tensor over time, and where there were non-finite ones."""
        return self._tensors.heat(stat, bins)

    def histograms(self, kind: HistogramKind) -> dict[str, Histogram]:
        """The newest of each tensor, or of each layer."""
        return self._histograms.get(kind, {})

    def _add_histograms(self, row: TensorRow) -> None:
        kind = _KINDS[row.columns[0].partition("/")[0]]
        if len(row.columns) % len(histogram_stats(kind)):
            return
        names = [c.partition("/")[2] for c in row.columns[: len(row.columns) // len(histogram_stats(kind))]]
        known = self._histograms.setdefault(kind, {})
        if len(known) > _MAX_HISTOGRAMS:
            known.clear()
        for name, values in zip(names, row.values.reshape(-1, len(names)).T, strict=True):
            known[name] = Histogram(values[:HISTOGRAM_BINS], *values[HISTOGRAM_BINS:].tolist())

    def time_at(self, step: float) -> float:
        """Seconds of training since the start when this step was done; NaN if nothing is known."""
        return float(self._clock.elapsed_at(np.array([step]))[0])

    def times_at(self, steps: FloatArray) -> FloatArray:
        """time_at for float64 (n,)."""
        return self._clock.elapsed_at(steps)

    def wall_at(self, step: float) -> float:
        """Seconds since the epoch when this step was done; NaN if nothing is known."""
        return float(self._clock.wall_at(np.array([step]))[0])

    def step_rate(self) -> float | None:
        """Steps per second over the last seconds; None if too little is known."""
        return self._clock.step_rate()

    def _add_rows(self, rows: ScalarRows) -> None:
        sound = np.abs(rows.steps) <= MAX_STEP
        if not sound.all():
            rows = ScalarRows(
                rows.columns, rows.steps[sound], rows.wall[sound], rows.monotonic[sound], rows.values[sound]
            )
        if not len(rows.steps):
            return
        low, high = int(rows.steps.min()), int(rows.steps.max())
        self.first_step = low if self.first_step is None else min(low, self.first_step)
        self.last_step = high if self.last_step is None else max(high, self.last_step)
        self._clock.add(rows.steps, rows.wall, rows.monotonic)
        for place, name in enumerate(rows.columns):
            column = self._columns.get(name) or self._new_column(name)
            if column is not None:
                column.add(rows.steps, rows.values[:, place])

    def _new_column(self, name: str) -> Buckets | None:
        """A column more; where there is no room all keep fewer buckets, down to a point."""
        while (len(self._columns) + 1) * (
            self._max_buckets * BYTES_PER_BUCKET + _BYTES_PER_NAME
        ) > self._scalar_bytes:
            if self._max_buckets // 2 < _MIN_BUCKETS:
                self.columns_left_out += 1
                return None
            self._max_buckets //= 2
            for column in self._columns.values():
                column.limit(self._max_buckets)
        self._columns[name] = Buckets(self._max_buckets)
        return self._columns[name]


_EMPTY = Buckets()


_KINDS: dict[str, HistogramKind] = {histogram_stats(kind)[0]: kind for kind in HISTOGRAM_PREFIXES}


def _is_histogram(row: TensorRow) -> bool:
    return row.columns[0].partition("/")[0] in _KINDS
