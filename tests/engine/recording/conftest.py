"""A run folder, rows to record in it, and all that a reader finds there."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sgdb_engine.recording.reader import Batch, RunReader
from sgdb_engine.recording.writer import Recorder

COLUMNS = ("train/loss", "lr")


@pytest.fixture
def run_folder(tmp_path: Path) -> Path:
    folder = tmp_path / "run"
    folder.mkdir()
    return folder


@pytest.fixture
def open_recorder(run_folder: Path) -> Iterator[Callable[..., Recorder]]:
    """Opens recorders on the run folder, and closes them at the end."""
    opened: list[Recorder] = []

    def open_one(**sizes: int) -> Recorder:
        opened.append(Recorder(run_folder, **sizes))
        return opened[-1]

    yield open_one
    for recorder in opened:
        recorder.close()


@pytest.fixture
def record() -> Callable[[Recorder, range], None]:
    """Records a row for each step; the loss is the step, the learning rate its half."""

    def record_steps(recorder: Recorder, steps: range) -> None:
        for step in steps:
            recorder.scalars(COLUMNS, step, 1e9 + step, float(step), [float(step), step / 2])

    return record_steps


@pytest.fixture
def record_one_by_one(record: Callable[[Recorder, range], None]) -> Callable[[Recorder, range], None]:
    """The same, each row in a record of its own."""

    def record_steps(recorder: Recorder, steps: range) -> None:
        for step in steps:
            record(recorder, range(step, step + 1))
            recorder.flush()

    return record_steps


@pytest.fixture
def poll_all(run_folder: Path) -> Callable[..., Batch]:
    """All that a reader, a new one by default, finds until it has caught up, as one batch."""

    def poll(reader: RunReader | None = None) -> Batch:
        reader = reader or RunReader(run_folder)
        whole = Batch([], [], [], [], [], 0, True)
        while True:
            batch = reader.poll()
            for kept, found in zip(whole[:5], batch[:5], strict=True):
                kept.extend(found)  # type: ignore[arg-type]
            whole = whole._replace(missing_records=whole.missing_records + batch.missing_records)
            if batch.caught_up:
                return whole

    return poll


@pytest.fixture
def steps_of() -> Callable[[Batch], list[int]]:
    """The steps of all scalar rows of a batch, in order; checks that their values are the recorded ones."""

    def steps(batch: Batch) -> list[int]:
        for rows in batch.scalars:
            assert rows.columns == COLUMNS
            assert rows.values[:, 0].tolist() == rows.steps.tolist()
            assert (rows.values[:, 1] * 2).tolist() == rows.steps.tolist()
            assert rows.monotonic.tolist() == rows.steps.tolist()
        return [int(step) for rows in batch.scalars for step in rows.steps]

    return steps
