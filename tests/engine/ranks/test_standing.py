"""What a rank says of itself, and who reads it."""

import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sgdb_engine.ranks.standing import SILENCE_S, lives, rank_file, read_rank, read_ranks, write_rank

from .conftest import WriteRank, rank_status


def test_what_is_written_is_read(tmp_path: Path, write: WriteRank) -> None:
    told = write(1, step=7, phase="backward", loss=float("nan"), grad_norm=2.5, own_s=0.1, where="a.py:3")
    read = read_rank(tmp_path, 1)
    assert read is not None
    assert read.loss != read.loss
    assert (read.step, read.phase, read.grad_norm, read.where) == (7, told.phase, 2.5, "a.py:3")


def test_all_that_have_spoken_are_there_in_their_order(tmp_path: Path, write: WriteRank) -> None:
    for rank in (3, 0, 2):
        write(rank, 4)
    assert [status.rank for status in read_ranks(tmp_path)] == [0, 2, 3]


def test_where_one_process_trains_there_are_none(tmp_path: Path) -> None:
    assert read_ranks(tmp_path) == []


def test_a_size_that_cannot_be_does_not_take_for_ever(tmp_path: Path, write: WriteRank) -> None:
    write(0, 10**15)
    began = time.monotonic()
    assert len(read_ranks(tmp_path)) == 1
    assert time.monotonic() - began < 10


@given(content=st.binary(max_size=300))
def test_damage_is_silence(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    folder = tmp_path_factory.mktemp("ranks")
    rank_file(folder, 0).write_bytes(content)
    assert read_rank(folder, 0) is None


def test_a_link_is_not_followed(tmp_path: Path, write: WriteRank) -> None:
    write(0)
    rank_file(tmp_path, 1).symlink_to(rank_file(tmp_path, 0))
    assert read_rank(tmp_path, 1) is None


def test_text_is_cleaned(tmp_path: Path) -> None:
    write_rank(tmp_path, rank_status(0, message="\x1b[2Jgone"))
    read = read_rank(tmp_path, 0)
    assert read is not None
    assert "\x1b" not in read.message


def test_a_process_is_asked_here_and_a_fresh_word_is_believed_from_elsewhere() -> None:
    assert lives(rank_status(0))
    assert not lives(rank_status(0, gone=True))
    assert lives(rank_status(0, host="another"))
    assert not lives(rank_status(0, host="another", wall=time.time() - SILENCE_S - 1))
