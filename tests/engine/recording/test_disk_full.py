"""A disk that is full, or gone, or broken, never reaches the training; what waited is written when it can be."""

import errno
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from sgdb_engine.recording.frames import scan
from sgdb_engine.recording.reader import Batch, RunReader
from sgdb_engine.recording.writer import Recorder

Open = Callable[..., Recorder]
Record = Callable[[Recorder, range], None]
Poll = Callable[..., Batch]
Steps = Callable[[Batch], list[int]]


class FailingDisk:
    """os.pwrite that takes `room` bytes more and then fails; ftruncate gives nothing back."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.room: int | None = None
        self.error = errno.ENOSPC
        self._pwrite = os.pwrite
        monkeypatch.setattr(os, "pwrite", self._write)

    def _write(self, descriptor: int, content: bytes, offset: int) -> int:
        if self.room is None:
            return self._pwrite(descriptor, content, offset)
        if self.room == 0:
            raise OSError(self.error, os.strerror(self.error))
        written = self._pwrite(descriptor, content[: self.room], offset)
        self.room -= written
        return written


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> FailingDisk:
    return FailingDisk(monkeypatch)


@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS, errno.ESTALE])
def test_whatever_fails_rows_wait_and_are_written_later(
    open_recorder: Open, record: Record, poll_all: Poll, steps_of: Steps, disk: FailingDisk, error: int
) -> None:
    recorder = open_recorder()
    record(recorder, range(100))
    assert recorder.flush()
    disk.room, disk.error = 0, error
    record(recorder, range(100, 300))
    assert not recorder.flush()
    assert os.strerror(error) in recorder.problem
    assert steps_of(poll_all()) == list(range(100))
    disk.room = None
    record(recorder, range(300, 400))
    assert recorder.flush()
    assert recorder.problem == ""
    assert steps_of(poll_all()) == list(range(400))


def test_filled_up_at_any_byte_the_file_holds_whole_records_only(
    open_recorder: Open, record: Record, poll_all: Poll, steps_of: Steps, disk: FailingDisk, run_folder: Path
) -> None:
    follower, followed = RunReader(run_folder), []
    recorder = open_recorder()
    log = run_folder / "metrics-00000.log"
    for room in range(0, 300, 7):
        disk.room = room
        record(recorder, range(room, room + 7))
        assert not recorder.flush()
        content = log.read_bytes()
        assert scan(content, final=False).consumed == len(content)
        followed += steps_of(poll_all(follower))
        disk.room = None
        assert recorder.flush()
        followed += steps_of(poll_all(follower))
    assert followed == list(range(301))


def test_events_wait_too(open_recorder: Open, poll_all: Poll, disk: FailingDisk) -> None:
    from sgdb_engine.events import Noted

    recorder = open_recorder()
    disk.room = 5
    recorder.event(Noted(text="a"))
    assert not recorder.flush()
    recorder.event(Noted(text="b"))
    disk.room = None
    assert recorder.flush()
    assert [event.text for event in poll_all().events if isinstance(event, Noted)] == ["a", "b"]


def test_beyond_the_backlog_the_oldest_rows_go_and_a_gap_tells_which(
    open_recorder: Open, record_one_by_one: Record, poll_all: Poll, disk: FailingDisk
) -> None:
    recorder = open_recorder(backlog_bytes=1000)
    disk.room = 0
    record_one_by_one(recorder, range(50))
    recorder.rewind(40)
    recorder.flush()
    disk.room = None
    assert recorder.flush()
    batch = poll_all()
    (gap,) = batch.gaps
    (rows,) = batch.scalars
    assert rows.steps.tolist() == list(range(gap.last_step + 1, 50))
    assert gap.first_step == 0
    assert 25 < gap.last_step < 35
    assert [rewind.step for rewind in batch.rewinds] == [40]
    assert batch.missing_records == 0


def test_a_full_disk_at_the_end_does_not_hold_up_closing(
    open_recorder: Open, record: Record, disk: FailingDisk
) -> None:
    recorder = open_recorder()
    disk.room = 0
    record(recorder, range(10))
    recorder.close()
    assert recorder.problem


def test_a_folder_that_is_gone_is_told_and_is_no_error(tmp_path: Path, record: Record) -> None:
    recorder = Recorder(tmp_path / "never made")
    record(recorder, range(10))
    assert not recorder.flush()
    assert "No such file" in recorder.problem
    recorder.close()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 256 kB."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(place)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("only root can mount a small file system")
    yield place
    subprocess.run(["umount", str(place)], check=True)


def test_a_really_full_disk_keeps_whole_records_and_recovers(small_disk: Path, poll_all: Poll) -> None:
    ballast = small_disk / "ballast"
    ballast.write_bytes(bytes(100 * 1024))
    columns = tuple(f"column {i}" for i in range(20))
    recorder = Recorder(small_disk)
    flushed = []
    for step in range(2000):
        recorder.scalars(columns, step, 0.0, 0.0, [float(step)] * 20)
        if step % 200 == 199:
            flushed.append(recorder.flush())
    assert flushed[0]
    assert not flushed[-1]
    assert "No space left" in recorder.problem
    content = (small_disk / "metrics-00000.log").read_bytes()
    assert scan(content, final=False).consumed == len(content)
    ballast.unlink()
    for path in small_disk.iterdir():
        assert path.stat().st_size <= 256 * 1024
    subprocess.run(["mount", "-o", "remount,size=4m", str(small_disk)], check=True)
    assert recorder.flush()
    recorder.close()
    steps = np.concatenate([rows.steps for rows in poll_all(RunReader(small_disk)).scalars])
    assert steps.tolist() == list(range(2000))
