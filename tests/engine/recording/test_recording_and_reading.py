"""What is recorded is read, by a reader that follows and by one that comes later."""

import math
import os
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from sgdb_engine.events import Finding, FindingChanged, Noted, TrainingFailed, Validated
from sgdb_engine.recording.reader import Batch, RunReader, read_scalars
from sgdb_engine.recording.writer import Recorder

Open = Callable[..., Recorder]
Record = Callable[[Recorder, range], None]
Poll = Callable[..., Batch]
Steps = Callable[[Batch], list[int]]


def test_rows_recorded_are_read_once_flushed(
    open_recorder: Open, record: Record, poll_all: Poll, steps_of: Steps
) -> None:
    recorder = open_recorder()
    record(recorder, range(1000))
    assert recorder.flush()
    assert steps_of(poll_all()) == list(range(1000))
    assert recorder.problem == ""


def test_a_reader_follows_a_live_run(
    open_recorder: Open, record: Record, poll_all: Poll, steps_of: Steps, run_folder: Path
) -> None:
    recorder, reader = open_recorder(), RunReader(run_folder)
    assert poll_all(reader).scalars == []
    for start in range(0, 500, 100):
        record(recorder, range(start, start + 100))
        recorder.flush()
        assert steps_of(poll_all(reader)) == list(range(start, start + 100))


def test_closing_brings_everything_to_the_disk(
    open_recorder: Open, record: Record, poll_all: Poll, steps_of: Steps
) -> None:
    recorder = open_recorder()
    record(recorder, range(777))
    recorder.close()
    recorder.close()
    assert steps_of(poll_all()) == list(range(777))


def test_what_comes_after_closing_goes_nowhere_and_is_no_error(
    open_recorder: Open, record: Record, poll_all: Poll
) -> None:
    recorder = open_recorder()
    recorder.close()
    record(recorder, range(10))
    recorder.event(Noted(text="late"))
    assert not recorder.flush()
    assert poll_all() == ([], [], [], [], [], 0, True, ())


def test_each_step_may_have_columns_of_its_own(open_recorder: Open, poll_all: Poll) -> None:
    recorder = open_recorder()
    for step in range(10):
        recorder.scalars(("a",), step, 0.0, 0.0, [float(step)])
        if step % 5 == 0:
            recorder.scalars(("b", "a"), step, 0.0, 0.0, [1.0, 2.0])
    recorder.flush()
    found = {rows.columns: rows.steps.tolist() for rows in poll_all().scalars}
    assert found == {("a",): list(range(10)), ("b", "a"): [0, 5]}


def test_nan_and_infinities_come_back(open_recorder: Open, poll_all: Poll) -> None:
    recorder = open_recorder()
    values = [math.nan, math.inf, -math.inf, -0.0, 5e-324]
    recorder.scalars(("a", "b", "c", "d", "e"), 0, 0.0, 0.0, values)
    recorder.tensors(("g/w",), 0, 0.0, 0.0, np.array([math.nan], np.float32))
    recorder.event(Validated(metrics={"val/loss": math.nan, "val/accuracy": -math.inf}))
    recorder.flush()
    batch = poll_all()
    assert batch.scalars[0].values.tobytes() == np.array([values]).tobytes()
    assert math.isnan(batch.tensors[0].values[0])
    (event,) = batch.events
    assert isinstance(event, Validated)
    assert math.isnan(event.metrics["val/loss"])
    assert event.metrics["val/accuracy"] == -math.inf


def test_json_never_holds_a_bare_nan(open_recorder: Open, run_folder: Path) -> None:
    recorder = open_recorder()
    finding = Finding(code="nan", severity="error", step=1, message="NaN", evidence={"loss": math.inf})
    recorder.event(FindingChanged(finding=finding, step=1))
    recorder.flush()
    assert '"loss":"Infinity"' in (run_folder / "events.jsonl").read_text()
    (event,) = RunReader(run_folder).poll().events
    assert isinstance(event, FindingChanged)
    assert event.finding == finding


def test_tensor_rows_come_back(open_recorder: Open, poll_all: Poll) -> None:
    recorder = open_recorder()
    recorder.tensors(
        ("grad_norm/fc.weight", "grad_norm/fc.bias"), 3, 1.0, 2.0, np.array([0.5, 2.0], np.float32)
    )
    recorder.flush()
    (row,) = poll_all().tensors
    assert row[:4] == (("grad_norm/fc.weight", "grad_norm/fc.bias"), 3, 1.0, 2.0)
    assert row.values.tolist() == [0.5, 2.0]


def test_events_are_stamped_and_come_back(open_recorder: Open, poll_all: Poll) -> None:
    recorder = open_recorder()
    recorder.event(Noted(text="first", step=1))
    recorder.event(Noted(text="second", step=2, wall=17.0))
    recorder.flush()
    first, second = poll_all().events
    assert first.wall > 1e9
    assert second == Noted(text="second", step=2, wall=17.0)


def test_a_rewind_opens_a_batch_so_that_it_holds_for_what_came_before(
    open_recorder: Open, record: Record, run_folder: Path, steps_of: Steps
) -> None:
    recorder = open_recorder()
    record(recorder, range(10))
    recorder.rewind(4)
    record(recorder, range(5, 8))
    recorder.flush()
    reader = RunReader(run_folder)
    first, second = reader.poll(), reader.poll()
    assert (steps_of(first), first.rewinds, first.caught_up) == (list(range(10)), [], False)
    assert (steps_of(second), [r.step for r in second.rewinds], second.caught_up) == ([5, 6, 7], [4], True)
    steps, values = read_scalars(run_folder, ["lr"], 0, 100)["lr"]
    assert steps.tolist() == list(range(8))
    assert values.tolist() == [step / 2 for step in range(8)]


def test_segments_rotate_and_each_can_be_read_alone(
    open_recorder: Open, record_one_by_one: Record, poll_all: Poll, steps_of: Steps, run_folder: Path
) -> None:
    reader = RunReader(run_folder)
    recorder = open_recorder(segment_bytes=1000)
    followed = []
    for start in range(0, 60, 20):
        record_one_by_one(recorder, range(start, start + 20))
        followed += steps_of(poll_all(reader))
    assert followed == list(range(60))
    recorder.close()
    segments = sorted(run_folder.glob("metrics-*.log"))
    assert len(segments) > 4
    assert all(path.stat().st_size < 1500 for path in segments)
    for path in segments[:2]:
        path.unlink()
    left = steps_of(poll_all())
    assert left == list(range(left[0], 60))
    assert 0 < left[0] < 30


def test_a_small_bound_per_poll_reads_all_the_same(
    open_recorder: Open, record: Record, run_folder: Path, poll_all: Poll, steps_of: Steps
) -> None:
    recorder = open_recorder(segment_bytes=5000)
    for start in range(0, 2000, 100):
        record(recorder, range(start, start + 100))
        recorder.flush()
    assert steps_of(poll_all(RunReader(run_folder, max_bytes_per_poll=64))) == list(range(2000))


def test_raw_rows_can_be_read_between_two_steps(
    open_recorder: Open, record: Record, run_folder: Path
) -> None:
    recorder = open_recorder(segment_bytes=10_000)
    for start in range(0, 2000, 100):
        record(recorder, range(start, start + 100))
        recorder.flush()
    found = read_scalars(run_folder, ["train/loss", "unheard/of"], 150, 1234)
    assert found["train/loss"][0].tolist() == list(range(150, 1235))
    assert found["train/loss"][1].tolist() == list(range(150, 1235))
    assert found["unheard/of"][0].tolist() == []


def test_rows_that_make_no_sense_are_left_out_and_named(open_recorder: Open, poll_all: Poll) -> None:
    recorder = open_recorder()
    recorder.scalars(("a", "b"), 1, 0.0, 0.0, [1.0])
    recorder.scalars(("a", "b"), 2, 0.0, 0.0, [1.0, "x"])  # type: ignore[list-item]
    recorder.scalars(("a", "b"), 3, 0.0, 0.0, [1.0, 2.0])
    recorder.tensors(("a", "b"), 4, 0.0, 0.0, np.zeros(3, np.float32))
    recorder.event(None)  # type: ignore[arg-type]
    recorder.event(Noted(text="good"))
    recorder.flush()
    batch = poll_all()
    assert [rows.steps.tolist() for rows in batch.scalars] == [[3]]
    assert len(batch.events) == 1
    assert "could not be recorded" in recorder.problem


def test_foreign_text_is_cleaned_on_the_way(open_recorder: Open, poll_all: Poll) -> None:
    recorder = open_recorder()
    recorder.scalars(("loss\x1b[2J", "half \ud800"), 0, 0.0, 0.0, [1.0, 2.0])
    recorder.event(TrainingFailed(error="E\x1b]0;x\x07", traceback="line 1\n\tline 2\x9b"))
    recorder.event(Validated(metrics={"a\nb": 1.0}))
    recorder.flush()
    batch = poll_all()
    assert batch.scalars[0].columns == ("loss\ufffd[2J", "half \ufffd")
    failed, validated = batch.events
    assert isinstance(failed, TrainingFailed)
    assert isinstance(validated, Validated)
    assert (failed.error, failed.traceback) == ("E\ufffd]0;x\ufffd", "line 1\n    line 2\ufffd")
    assert validated.metrics == {"a\ufffdb": 1.0}


def test_events_of_another_version_are_skipped_and_damaged_lines_counted(
    run_folder: Path, poll_all: Poll
) -> None:
    lines = [
        b'{"type":"from_the_future","x":1}',
        b"{damaged",
        b'{"type":"note","text":"a","new_field":1}',
        b"\xff",
        b"",
    ]
    (run_folder / "events.jsonl").write_bytes(b"\n".join(lines) + b'{"type":"note","text":"unfinished"')
    batch = poll_all()
    assert batch.events == [Noted(text="a")]
    assert batch.missing_records == 2


def test_a_second_recorder_goes_on_where_the_first_ended(
    open_recorder: Open, record: Record, poll_all: Poll, steps_of: Steps, run_folder: Path
) -> None:
    reader = RunReader(run_folder)
    followed = []
    for start in range(0, 300, 100):
        recorder = open_recorder()
        record(recorder, range(start, start + 100))
        recorder.close()
        followed += steps_of(poll_all(reader))
    assert followed == steps_of(poll_all()) == list(range(300))
    assert poll_all().missing_records == 0


def test_links_in_a_run_folder_are_not_followed(
    open_recorder: Open, record: Record, poll_all: Poll, run_folder: Path, tmp_path: Path
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_bytes(b"untouched")
    (run_folder / "metrics-00000.log").symlink_to(elsewhere)
    (run_folder / "events.jsonl").symlink_to(elsewhere)
    assert poll_all() == ([], [], [], [], [], 0, True, ())
    recorder = open_recorder()
    record(recorder, range(10))
    recorder.event(Noted(text="x"))
    assert not recorder.flush()
    assert recorder.problem
    assert elsewhere.read_bytes() == b"untouched"


def test_events_that_cannot_be_written_do_not_hold_up_the_rows(
    open_recorder: Open, record: Record, poll_all: Poll, steps_of: Steps, run_folder: Path
) -> None:
    (run_folder / "events.jsonl").mkdir()
    recorder = open_recorder()
    recorder.event(Noted(text="x"))
    record(recorder, range(10))
    assert not recorder.flush()
    assert steps_of(poll_all()) == list(range(10))


def test_the_files_are_for_their_owner_alone(open_recorder: Open, record: Record, run_folder: Path) -> None:
    recorder = open_recorder()
    record(recorder, range(1))
    recorder.event(Noted(text="x"))
    recorder.flush()
    assert {path.name: path.stat().st_mode & 0o777 for path in run_folder.iterdir()} == {
        "metrics-00000.log": 0o600,
        "events.jsonl": 0o600,
    }


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_forked_child_records_nothing(
    open_recorder: Open, record: Record, poll_all: Poll, steps_of: Steps
) -> None:
    recorder = open_recorder()
    record(recorder, range(5))
    child = os.fork()
    if child == 0:
        record(recorder, range(100, 200))
        recorder.close()
        os._exit(0 if not recorder.flush() else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    record(recorder, range(5, 10))
    recorder.flush()
    assert steps_of(poll_all()) == list(range(10))


def test_several_threads_may_record(open_recorder: Open, poll_all: Poll) -> None:
    recorder = open_recorder()

    def record_hardware() -> None:
        for step in range(1000):
            recorder.scalars(("cpu/percent",), step, 0.0, 0.0, [1.0])

    threads = [threading.Thread(target=record_hardware) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    recorder.flush()
    assert sum(len(rows.steps) for rows in poll_all().scalars) == 4000


def test_a_stuck_disk_does_not_reach_the_training_and_leaves_a_gap(
    open_recorder: Open, record: Record, poll_all: Poll, monkeypatch: pytest.MonkeyPatch
) -> None:
    stuck, release = threading.Event(), threading.Event()
    pwrite = os.pwrite

    def slow(*arguments: object) -> int:
        stuck.set()
        release.wait(30)
        return pwrite(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr("sgdb_engine.recording.writer._QUEUE_LENGTH", 100)
    recorder = open_recorder()
    monkeypatch.setattr(os, "pwrite", slow)
    record(recorder, range(10))
    assert stuck.wait(10)
    record(recorder, range(10, 1000))
    assert not recorder.flush(timeout_s=0.01)
    release.set()
    assert recorder.flush()
    batch = poll_all()
    steps = np.concatenate([rows.steps for rows in batch.scalars]).tolist()
    (gap,) = batch.gaps
    assert steps == [*range(gap.first_step), *range(gap.last_step + 1, 1000)]
    assert 900 <= gap.last_step < 1000
