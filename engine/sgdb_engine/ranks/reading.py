"""What the other ranks record, for who reads the first one's: how they stand, what went wrong, their part of norms."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from sgdb_engine.events import AnyEvent
from sgdb_engine.ranks.standing import RankStatus, read_ranks
from sgdb_engine.recording.event_log import EventReader
from sgdb_engine.recording.payloads import FloatArray, ScalarRows, StepArray
from sgdb_engine.recording.reader import RunReader

SQUARE = "grad_square"
"""Column of a rank that holds a part of the parameters: the square of its part of the gradient norm."""
NORM = "grad_norm"
_MAX_BYTES_PER_POLL = 2**17
_MOST_WAITING = 2**16
"""Rows of a rank that wait for those of the others."""


class RankNews(NamedTuple):
    """What a poll found."""

    ranks: list[RankStatus]
    """How each stands now; empty where the training has one process."""
    events: list[tuple[int, AnyEvent]]
    """Of the other ranks, with their rank."""
    rows: list[ScalarRows]
    """Gradient norms of the whole model, where ranks hold parts of it."""


class RanksReader:
    """Follows the files of the ranks; bounded work per poll, no error on damage."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._events: dict[int, EventReader] = {}
        self._rows: dict[int, RunReader] = {}
        self._norms = GlobalNorms()

    def poll(self, first: Sequence[ScalarRows]) -> RankNews:
        """What came since the last poll, `first` being the new rows of the first rank."""
        ranks = read_ranks(self._folder)
        others = [status.rank for status in ranks if status.rank]
        size = ranks[0].size if ranks else 1
        return RankNews(ranks, list(self._new_events(others)), self._new_norms(others, size, first))

    def _new_events(self, others: Sequence[int]) -> Iterator[tuple[int, AnyEvent]]:
        for rank in others:
            reader = self._events.setdefault(rank, EventReader(self._folder, rank))
            for event in reader.poll(_MAX_BYTES_PER_POLL)[0]:
                yield rank, event

    def _new_norms(self, others: Sequence[int], size: int, first: Sequence[ScalarRows]) -> list[ScalarRows]:
        self._norms.add(0, first)
        if not self._norms.needed or len(others) + 1 < size:
            return []
        for rank in others:
            reader = self._rows.setdefault(rank, RunReader(self._folder, _MAX_BYTES_PER_POLL, rank))
            self._norms.add(rank, reader.poll().scalars)
        return self._norms.ready((0, *others))


class GlobalNorms:
    """Adds up the squares of all ranks, step by step: √Σ is the norm of the whole gradient.

    Within 1e-7 of what `torch.nn.utils.get_total_norm(…).full_tensor()` gives for a model of FSDP2.
    """

    def __init__(self) -> None:
        self._waiting: dict[str, dict[int, _Column]] = {}
        """By column and rank."""

    @property
    def needed(self) -> bool:
        """Whether ranks hold parts of the model at all."""
        return bool(self._waiting)

    def add(self, rank: int, rows: Sequence[ScalarRows]) -> None:
        """Takes in what a rank recorded."""
        for part in rows:
            for place, name in enumerate(part.columns):
                if name.endswith(SQUARE) and (rank == 0 or name in self._waiting):
                    column = self._waiting.setdefault(name, {}).setdefault(rank, _Column.empty())
                    self._waiting[name][rank] = column.with_rows(part, place)

    def ready(self, ranks: Sequence[int]) -> list[ScalarRows]:
        """The norms of the steps that all of these ranks have recorded since."""
        return [
            rows
            for name, columns in self._waiting.items()
            if all(rank in columns for rank in ranks)
            for rows in _added_up(name.removesuffix(SQUARE) + NORM, columns, ranks)
        ]


class _Column(NamedTuple):
    steps: StepArray
    times: FloatArray
    """float64 (2, n): wall, monotonic."""
    squares: FloatArray

    @classmethod
    def empty(cls) -> "_Column":
        return cls(np.empty(0, np.int64), np.empty((2, 0)), np.empty(0))

    def with_rows(self, rows: ScalarRows, place: int) -> "_Column":
        times = np.stack((rows.wall, rows.monotonic))
        return _Column(
            np.concatenate((self.steps, rows.steps))[-_MOST_WAITING:],
            np.concatenate((self.times, times), axis=1)[:, -_MOST_WAITING:],
            np.concatenate((self.squares, rows.values[:, place]))[-_MOST_WAITING:],
        )

    def where(self, kept: np.ndarray) -> "_Column":
        return _Column(self.steps[kept], self.times[:, kept], self.squares[kept])


def _added_up(name: str, columns: dict[int, _Column], ranks: Sequence[int]) -> list[ScalarRows]:
    common = columns[ranks[0]].steps
    for rank in ranks[1:]:
        common = np.intersect1d(common, columns[rank].steps)
    if not len(common):
        return []
    found = [columns[rank].where(_last_of(common, columns[rank].steps)) for rank in ranks]
    for rank in ranks:
        columns[rank] = columns[rank].where(columns[rank].steps > common[-1])
    norms = np.sqrt(sum(each.squares for each in found))
    wall, monotonic = found[0].times
    return [ScalarRows((name,), common, wall, monotonic, np.asarray(norms)[:, None])]


def _last_of(wanted: StepArray, steps: StepArray) -> np.ndarray:
    """Where the last row of each wanted step is; wanted ascending, all of them there."""
    unique, from_the_end = np.unique(steps[::-1], return_index=True)
    places = np.searchsorted(unique, wanted)
    return np.asarray(len(steps) - 1 - from_the_end[places])
