"""A damaged or unfinished file costs what is damaged, and nothing else."""

import random
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sgdb_engine.recording.decoder import Decoder
from sgdb_engine.recording.frames import HEADER_BYTES, encode_frame, scan
from sgdb_engine.recording.payloads import ScalarRows
from sgdb_engine.recording.reader import Batch, RunReader
from sgdb_engine.recording.writer import Recorder

Record = Callable[[Recorder, range], None]
Poll = Callable[..., Batch]
Steps = Callable[[Batch], list[int]]

NUM_RECORDS = 4


@pytest.fixture
def log(run_folder: Path, record_one_by_one: Record) -> Path:
    """A log of four rows, each a record of its own, behind two copies of their schema."""
    recorder = Recorder(run_folder)
    record_one_by_one(recorder, range(NUM_RECORDS))
    recorder.close()
    return run_folder / "metrics-00000.log"


def ends_of_rows(content: bytes) -> list[int]:
    """Where each row's record ends."""
    end, ends = 0, []
    for frame in scan(content, final=True).frames:
        end += HEADER_BYTES + len(frame.payload)
        ends.append(end)
    return ends[2:]


def test_a_file_torn_at_any_byte_gives_its_whole_records_and_goes_on_when_more_arrives(
    log: Path, run_folder: Path, poll_all: Poll, steps_of: Steps
) -> None:
    content = log.read_bytes()
    ends = ends_of_rows(content)
    assert len(ends) == NUM_RECORDS
    for torn_at in range(len(content)):
        log.write_bytes(content[:torn_at])
        reader = RunReader(run_folder)
        first = poll_all(reader)
        whole = sum(end <= torn_at for end in ends)
        assert steps_of(first) == list(range(whole))
        log.write_bytes(content)
        second = poll_all(reader)
        assert steps_of(second) == list(range(whole, NUM_RECORDS))
        assert first.missing_records + second.missing_records == 0


def test_a_recorder_appends_behind_a_tail_torn_at_any_byte(
    log: Path, run_folder: Path, poll_all: Poll, steps_of: Steps, record: Record
) -> None:
    content = log.read_bytes()
    ends = ends_of_rows(content)
    for torn_at in range(0, len(content), 3):
        log.write_bytes(content[:torn_at])
        follower = RunReader(run_folder)
        followed = steps_of(poll_all(follower))
        recorder = Recorder(run_folder)
        record(recorder, range(100, 103))
        recorder.close()
        followed += steps_of(poll_all(follower))
        batch = poll_all()
        whole = sum(end <= torn_at for end in ends)
        assert steps_of(batch) == followed == [*range(whole), 100, 101, 102]
        assert batch.missing_records == 0


def test_every_flipped_bit_loses_one_record_at_most_and_none_is_read_wrong(
    log: Path, steps_of: Steps
) -> None:
    content = log.read_bytes()
    steps = set(range(NUM_RECORDS))
    for bit in range(8 * len(content)):
        damaged = bytearray(content)
        damaged[bit // 8] ^= 1 << bit % 8
        decoder = Decoder()
        rows = decoder.decode(scan(bytes(damaged), final=True).frames)
        found = steps_of(Batch([r for r in rows if isinstance(r, ScalarRows)], [], [], [], [], 0, True))
        assert found == sorted(found)
        assert len(steps - set(found)) <= 1
        assert set(found) <= steps
        assert len(rows) <= 1
        assert decoder.missing == (NUM_RECORDS - 1 in found)  # behind the last record nothing shows the loss


def test_behind_a_zeroed_hole_reading_goes_on_and_the_missing_are_counted(
    run_folder: Path, record_one_by_one: Record, poll_all: Poll, steps_of: Steps
) -> None:
    recorder = Recorder(run_folder)
    record_one_by_one(recorder, range(60))
    recorder.close()
    log = run_folder / "metrics-00000.log"
    content = log.read_bytes()
    ends = ends_of_rows(content)
    log.write_bytes(content[: ends[10]] + bytes(ends[20] - ends[10] - 5) + content[ends[20] - 5 :])
    batch = poll_all()
    assert steps_of(batch) == [*range(11), *range(21, 60)]
    assert batch.missing_records == 10


def test_without_any_schema_the_rows_are_counted_as_missing(log: Path, poll_all: Poll) -> None:
    content = log.read_bytes()
    schemas_end = ends_of_rows(content)[0] - (len(content) - ends_of_rows(content)[-2])
    log.write_bytes(bytes(schemas_end) + content[schemas_end:])
    batch = poll_all()
    assert (batch.scalars, batch.missing_records) == ([], NUM_RECORDS + 2)


def test_a_log_that_is_all_zeros_is_not_yet_written(log: Path, poll_all: Poll) -> None:
    log.write_bytes(bytes(10_000))
    assert poll_all() == ([], [], [], [], [], 0, True, ())


def test_a_repeated_record_is_read_once(log: Path, poll_all: Poll, steps_of: Steps) -> None:
    log.write_bytes(2 * log.read_bytes())
    assert steps_of(poll_all()) == list(range(NUM_RECORDS))


def test_a_record_of_an_unknown_kind_is_skipped(log: Path, poll_all: Poll, steps_of: Steps) -> None:
    with log.open("ab") as file:
        file.write(encode_frame(NUM_RECORDS + 2, 77, b"from the future"))
    batch = poll_all()
    assert steps_of(batch) == list(range(NUM_RECORDS))
    assert batch.missing_records == 0


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(randomness=st.randoms(use_true_random=False), garbage=st.binary(max_size=100))
def test_spliced_files_give_nothing_that_was_not_recorded(
    log: Path, poll_all: Poll, steps_of: Steps, randomness: random.Random, garbage: bytes
) -> None:
    content = log.read_bytes()
    pieces = [garbage]
    for _ in range(6):
        start = randomness.randrange(len(content))
        pieces.append(content[start : randomness.randint(start, len(content))])
    log.write_bytes(b"".join(randomness.sample(pieces, len(pieces))))
    try:
        assert set(steps_of(poll_all())) <= set(range(NUM_RECORDS))
    finally:
        log.write_bytes(content)
