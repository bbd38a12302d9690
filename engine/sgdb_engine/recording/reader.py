"""Reading a run folder: a live run and a finished one are read by the same code, by tailing the files."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from sgdb_engine.events import AnyEvent
from sgdb_engine.recording.decoder import Decoded
from sgdb_engine.recording.event_log import EventReader
from sgdb_engine.recording.json_records import Gap, Rewind
from sgdb_engine.recording.log_reader import LogReader
from sgdb_engine.recording.payloads import FloatArray, ScalarRows, StepArray, TensorRow, concatenate
from sgdb_engine.recording.pictures import Picture

_MAX_BYTES_PER_POLL = 2**20
_MAX_BYTES_PER_READ = 8 * 2**20


class Batch(NamedTuple):
    """What a poll found. Rewinds come first: they hold for everything before this batch, not for its rows."""

    scalars: list[ScalarRows]
    """All rows of the same columns as one item, in the order of their first row."""
    tensors: list[TensorRow]
    events: list[AnyEvent]
    gaps: list[Gap]
    rewinds: list[Rewind]
    missing_records: int
    """Records that damage took, since the last batch."""
    caught_up: bool
    """Whether that was all for now."""
    pictures: Sequence[Picture] = ()
    """In their order."""


class RunReader:
    """Follows a run folder; bounded work per poll, no error on damage, no link followed."""

    def __init__(self, folder: Path, max_bytes_per_poll: int = _MAX_BYTES_PER_POLL, rank: int = 0) -> None:
        self._max_bytes = max_bytes_per_poll
        self._log = LogReader(folder, rank)
        self._events = EventReader(folder, rank)
        self._pending: list[Decoded] = []
        self._at_end = False

    def poll(self) -> Batch:
        """What came since the last poll, as far as the bound on its work allows."""
        missing = 0
        if not self._pending:
            self._pending, missing, self._at_end = self._log.poll(self._max_bytes)
        records, self._pending = _split_at_rewind(self._pending)
        events, damaged, all_events = self._events.poll(self._max_bytes)
        caught_up = self._at_end and not self._pending and all_events
        return _batch(records, events, missing + damaged, caught_up)


def _split_at_rewind(records: list[Decoded]) -> tuple[list[Decoded], list[Decoded]]:
    for place in range(1, len(records)):
        if isinstance(records[place], Rewind) and not isinstance(records[place - 1], Rewind):
            return records[:place], records[place:]
    return records, []


def _batch(records: list[Decoded], events: list[AnyEvent], missing: int, caught_up: bool) -> Batch:
    rows: dict[tuple[str, ...], list[ScalarRows]] = {}
    pictures: list[Picture] = []
    batch = Batch([], [], events, [], [], missing, caught_up, pictures)
    for record in records:
        if isinstance(record, ScalarRows):
            rows.setdefault(record.columns, []).append(record)
        elif isinstance(record, TensorRow):
            batch.tensors.append(record)
        elif isinstance(record, Gap):
            batch.gaps.append(record)
        elif isinstance(record, Rewind):
            batch.rewinds.append(record)
        else:
            pictures.append(record)
    batch.scalars.extend(concatenate(parts) for parts in rows.values())
    return batch


def read_scalars(
    folder: Path, columns: Sequence[str], first_step: int, last_step: int
) -> dict[str, tuple[StepArray, FloatArray]]:
    """All rows of these columns between two steps (inclusive), from the files: name to (steps, values).

    Steps int64 (n,) ascending, values float64 (n,); a column that is not there has none. Rewound rows are
    left out; of two rows of one step the later one counts.
    """
    found: dict[str, list[tuple[StepArray, FloatArray]]] = {name: [] for name in columns}
    log = LogReader(folder)
    at_end = False
    while not at_end:
        records, _, at_end = log.poll(_MAX_BYTES_PER_READ)
        for record in records:
            if isinstance(record, Rewind):
                found = {name: [_up_to(record.step, part) for part in parts] for name, parts in found.items()}
            elif isinstance(record, ScalarRows):
                _collect(found, record, first_step, last_step)
    return {name: _in_order(parts) for name, parts in found.items()}


def _collect(
    found: dict[str, list[tuple[StepArray, FloatArray]]], rows: ScalarRows, first_step: int, last_step: int
) -> None:
    for place, name in enumerate(rows.columns):
        if name in found:
            inside = (rows.steps >= first_step) & (rows.steps <= last_step)
            found[name].append((rows.steps[inside], rows.values[inside, place]))


def _up_to(step: int, part: tuple[StepArray, FloatArray]) -> tuple[StepArray, FloatArray]:
    steps, values = part
    kept = steps <= step
    return steps[kept], values[kept]


def _in_order(parts: list[tuple[StepArray, FloatArray]]) -> tuple[StepArray, FloatArray]:
    steps = np.concatenate([np.empty(0, np.int64), *(part[0] for part in parts)])
    values = np.concatenate([np.empty(0, np.float64), *(part[1] for part in parts)])
    unique, from_the_end = np.unique(steps[::-1], return_index=True)
    return unique, values[::-1][from_the_end]
