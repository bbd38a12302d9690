"""Per-tensor statistics in bounded memory: the latest of each, and its largest per stretch of time."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np
import numpy.typing as npt

from sgdb_engine.recording.payloads import Float32Array, FloatArray, TensorRow

MAX_BINS = 256
_BYTES_PER_CELL = 5
_BYTES_PER_COLUMN = 256
"""For a column's name, its places in the tables, and its latest value."""
_MAX_LAYOUTS = 64
"""Sets of columns whose places are remembered."""

BoolArray = npt.NDArray[np.bool_]
IndexArray = npt.NDArray[np.intp]


@dataclass(frozen=True)
class Heat:
    """One statistic of all its tensors over time."""

    edges: FloatArray
    """Steps, float64 (n + 1,): bin i holds what was measured from edges[i] on, before edges[i + 1]."""
    values: Float32Array
    """float32 (num_tensors, n): the largest finite value in the bin; NaN if there is none."""
    nonfinite: BoolArray
    """bool (num_tensors, n): whether NaN or an infinity was measured in the bin."""


@dataclass
class _Bin:
    first: int
    last: int
    largest: Float32Array
    nonfinite: BoolArray

    def padded(self, num_columns: int) -> "_Bin":
        """With room for columns that came later; itself if it has that."""
        added = num_columns - len(self.largest)
        if added == 0:
            return self
        largest = np.append(self.largest, _nothing(added))
        return _Bin(self.first, self.last, largest, np.append(self.nonfinite, np.zeros(added, np.bool_)))

    def merged(self, later: "_Bin") -> "_Bin":
        """Both as one."""
        width = max(len(self.largest), len(later.largest))
        a, b = self.padded(width), later.padded(width)
        largest = np.fmax(a.largest, b.largest)
        return _Bin(min(a.first, b.first), max(a.last, b.last), largest, a.nonfinite | b.nonfinite)

    def holds(self, places: IndexArray) -> bool:
        """Whether any of these columns was measured in it."""
        return bool((~np.isnan(self.largest[places]) | self.nonfinite[places]).any())


class TensorBins:
    """All "<stat>/<tensor>" columns; at most MAX_BINS bins, fewer where the bytes would not do."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._place: dict[str, int] = {}
        self._stats: dict[str, list[tuple[str, int]]] = {}
        self._rows: dict[tuple[str, ...], tuple[IndexArray, IndexArray]] = {}
        self._latest = np.full(0, np.nan, np.float32)
        self._latest_step = np.full(0, -1, np.int64)
        self._bins: dict[int, _Bin] = {}
        self._shift = 0

    @property
    def nbytes(self) -> int:
        """Bytes held, names included (estimated)."""
        cells = sum(_BYTES_PER_CELL * len(b.largest) for b in self._bins.values())
        return cells + len(self._place) * _BYTES_PER_COLUMN

    def add(self, rows: Sequence[TensorRow]) -> None:
        """Takes in rows, ascending in steps as they come."""
        for columns, same in groupby(rows, key=lambda row: row.columns):
            self._add_alike(columns, list(same))

    def rewind(self, step: int) -> None:
        """Forgets what came after this step; a bin that reaches across keeps its extremes."""
        self._bins = {bucket: b for bucket, b in self._bins.items() if b.first <= step}
        for b in self._bins.values():
            b.last = min(b.last, step)
        later = self._latest_step > step
        self._latest[later], self._latest_step[later] = np.nan, -1

    def stats(self) -> tuple[str, ...]:
        """The statistics, in the order in which they were first seen."""
        return tuple(self._stats)

    def tensors(self, stat: str | None) -> tuple[str, ...]:
        """The tensors that have this statistic, or any at all."""
        if stat is not None:
            return tuple(name for name, _ in self._stats.get(stat, ()))
        return tuple(dict.fromkeys(name for tensors in self._stats.values() for name, _ in tensors))

    def latest(self, stat: str) -> tuple[int, Float32Array] | None:
        """The step of the last measurement, and float32 (num_tensors,): the latest of each tensor."""
        places = self._places(stat)
        if not len(places) or (step := int(self._latest_step[places].max())) < 0:
            return None
        return step, self._latest[places]

    def heat(self, stat: str, bins: int) -> Heat:
        """The statistic over time in at most `bins` bins, the tensors in the order of tensors(stat)."""
        places = self._places(stat)
        padded = {k: b.padded(len(self._place)) for k, b in sorted(self._bins.items())}
        kept = {k: b for k, b in padded.items() if b.holds(places)}
        while len(kept) > max(1, bins):
            kept = _halved(kept)
        columns = list(kept.values())
        edges = [b.first for b in columns] + [b.last + 1 for b in columns[-1:]]
        shape = len(columns), len(places)
        values = np.array([b.largest[places] for b in columns], np.float32).reshape(shape)
        nonfinite = np.array([b.nonfinite[places] for b in columns], np.bool_).reshape(shape)
        return Heat(np.array(edges, np.float64), values.T, nonfinite.T)

    def _places(self, stat: str) -> IndexArray:
        return np.array([place for _, place in self._stats.get(stat, ())], np.intp)

    def _add_alike(self, columns: tuple[str, ...], rows: list[TensorRow]) -> None:
        sources, places = self._placed(columns)
        if not len(places):
            return
        for row in rows:
            self._latest[places] = row.values[sources]
            self._latest_step[places] = row.step
        self._make_room({row.step >> self._shift for row in rows})
        for bucket, together in groupby(rows, key=lambda row: row.step >> self._shift):
            self._add_to(bucket, places, sources, list(together))

    def _add_to(self, bucket: int, places: IndexArray, sources: IndexArray, rows: list[TensorRow]) -> None:
        values = np.stack([row.values[sources] for row in rows])
        steps = [row.step for row in rows]
        finite = np.isfinite(values)
        b = self._bins.get(bucket) or _Bin(min(steps), max(steps), _nothing(0), np.zeros(0, np.bool_))
        b = b.padded(len(self._place))
        b.first, b.last = min(b.first, *steps), max(b.last, *steps)
        largest = np.fmax.reduce(np.where(finite, values, np.float32(np.nan)), axis=0)
        b.largest[places] = np.fmax(b.largest[places], largest)
        b.nonfinite[places] |= ~finite.all(axis=0)
        self._bins[bucket] = b

    def _make_room(self, buckets: set[int]) -> None:
        columns = len(self._place)
        affordable = (self._max_bytes - columns * _BYTES_PER_COLUMN) // (_BYTES_PER_CELL * columns)
        limit = max(1, min(MAX_BINS, affordable))
        while len(buckets | self._bins.keys()) > limit and self._shift < 62:
            self._shift += 1
            self._bins = _halved(dict(sorted(self._bins.items())))
            buckets = {bucket >> 1 for bucket in buckets}

    def _placed(self, columns: tuple[str, ...]) -> tuple[IndexArray, IndexArray]:
        """Which values of a row are kept, and where; columns beyond the bytes are not."""
        known = self._rows.get(columns)
        if known is not None:
            return known
        room = self._max_bytes // (2 * _BYTES_PER_COLUMN)
        for column in columns:
            if column not in self._place and len(self._place) < room:
                stat, _, tensor = column.partition("/")
                self._stats.setdefault(stat, []).append((tensor, len(self._place)))
                self._place[column] = len(self._place)
        added = len(self._place) - len(self._latest)
        self._latest = np.append(self._latest, _nothing(added))
        self._latest_step = np.append(self._latest_step, np.full(added, -1))
        kept = [(i, self._place[column]) for i, column in enumerate(columns) if column in self._place]
        pairs = np.array(kept, np.intp).reshape(-1, 2)
        if len(self._rows) >= _MAX_LAYOUTS:
            self._rows.clear()
        self._rows[columns] = pairs[:, 0], pairs[:, 1]
        return self._rows[columns]


def _nothing(length: int) -> Float32Array:
    return np.full(length, np.nan, np.float32)


def _halved(bins: dict[int, _Bin]) -> dict[int, _Bin]:
    """Pairs of neighbours merged; the bins are ascending."""
    merged: dict[int, _Bin] = {}
    for bucket, b in bins.items():
        before = merged.get(bucket >> 1)
        merged[bucket >> 1] = b if before is None else before.merged(b)
    return merged
