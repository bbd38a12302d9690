"""What is said of several ranks: the gravest first, and the right one named."""

import random
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sgdb_engine.ranks.judging import HANGS_S, first_failure, judge

from .conftest import rank_status


def test_of_ranks_that_do_as_they_should_nothing_is_said() -> None:
    ranks = [rank_status(rank, own_s=0.01 + rank * 1e-4, step_s=0.02, step=5) for rank in range(4)]
    assert judge(ranks).text == ""
    assert judge([]).text == ""


def test_the_one_that_works_longer_than_the_others_keeps_them_waiting() -> None:
    ranks = [rank_status(rank, 8, own_s=0.0003, step_s=0.018) for rank in range(8)]
    ranks[5] = rank_status(5, 8, own_s=0.0152, step_s=0.018)
    said = judge(ranks)
    assert (said.severity, said.rank) == ("warning", 5)
    assert said.text == "rank 5 keeps the others waiting: it works 15.2 ms a step, they 0.3 ms"


@given(st.integers(2, 16), st.floats(0.12, 0.9), st.integers(0, 1000))
def test_whichever_it_is_the_straggler_is_named(size: int, share: float, seed: int) -> None:
    rng = random.Random(seed)
    slow = rng.randrange(size)
    step_s = 0.1
    ranks = [
        rank_status(
            rank, size, own_s=0.001 * rng.random() + (step_s * share if rank == slow else 0), step_s=step_s
        )
        for rank in range(size)
    ]
    assert judge(ranks).rank == slow


def test_a_rank_that_stands_still_in_its_own_code_is_named_with_the_line() -> None:
    still = HANGS_S + 10
    waiting = rank_status(
        0, step=60, waits=True, phase="backward", still_s=still, step_s=0.1, where="train.py:9 in backward"
    )
    behind = rank_status(1, step=60, phase="between steps", still_s=still, step_s=0.1, where="train.py:7")
    said = judge([waiting, behind])
    assert (said.severity, said.rank) == ("warning", 1)
    assert said.text == "rank 1 has stood still for 40 s in train.py:7; rank 0 waits in backward"


def test_the_one_that_has_done_fewer_steps_is_behind_whatever_its_phase() -> None:
    ranks = [rank_status(rank, 3, step=61, waits=True, phase="backward", still_s=99) for rank in range(3)]
    ranks[2] = rank_status(2, 3, step=60, waits=True, phase="barrier", still_s=99)
    said = judge(ranks)
    assert said.rank == 2
    assert said.text.endswith("; 2 others wait in backward")


def test_when_all_wait_for_each_other_nobody_is_accused() -> None:
    said = judge([rank_status(rank, step=3, waits=True, phase="backward", still_s=99) for rank in range(2)])
    assert said.rank is None
    assert said.text == "all ranks have stood still for 99 s in backward"


@pytest.mark.parametrize(("still_s", "step_s"), [(HANGS_S - 1, 0.1), (100, 20.0)])
def test_a_long_step_is_no_hang(still_s: float, step_s: float) -> None:
    assert judge([rank_status(rank, still_s=still_s, step_s=step_s) for rank in range(2)]).text == ""


def test_a_paused_rank_does_not_hang() -> None:
    assert judge([rank_status(rank, still_s=999, state="paused") for rank in range(2)]).text == ""


def test_a_rank_that_was_killed_is_the_cause_of_what_the_others_report() -> None:
    now = time.time()
    failed = rank_status(0, state="failed", message="RuntimeError: Connection closed by peer", wall=now)
    killed = rank_status(1, gone=True, step=24, wall=now - 0.2)
    assert first_failure([failed, killed]).text == "rank 1 is gone since step 24: killed, or out of memory"
    assert judge([failed, killed]).severity == "error"


def test_of_those_that_failed_the_first_one_is_named() -> None:
    now = time.time()
    ranks = [
        rank_status(0, 3, state="failed", message="RuntimeError: Connection closed", wall=now),
        rank_status(1, 3, state="failed", message="ValueError: mine", wall=now - 1),
        rank_status(2, 3, state="stopped"),
    ]
    assert first_failure(ranks).text == "rank 1 failed: ValueError: mine"


def test_a_rank_that_was_killed_after_another_one_failed_is_no_cause() -> None:
    now = time.time()
    failed = rank_status(1, state="failed", message="ValueError: mine", wall=now - 5)
    assert first_failure([rank_status(0, gone=True, wall=now), failed]).rank == 1


def test_the_one_that_waits_in_a_collective_is_not_the_one_that_hangs() -> None:
    saving = rank_status(0, step=60, phase="between steps", still_s=40, where="train.py:7")
    waiting = rank_status(1, step=60, waits=True, phase="barrier", still_s=40, where="train.py:9 in barrier")
    assert (
        judge([saving, waiting]).text
        == "rank 0 has stood still for 40 s in train.py:7; rank 1 waits in barrier"
    )


def test_those_that_wait_for_a_busy_one_do_not_hang() -> None:
    validating = rank_status(0, step=60, phase="forward", still_s=0.1)
    assert judge([validating, rank_status(1, step=60, waits=True, phase="barrier", still_s=99)]).text == ""


def test_those_that_wait_for_one_that_has_ended_wait_in_vain() -> None:
    ended = rank_status(1, step=5, state="finished")
    said = judge([rank_status(0, step=5, waits=True, phase="backward", still_s=99), ended])
    assert said.text == "rank 1 has ended after step 5; rank 0 waits for it in backward"


def test_before_the_first_step_nobody_hangs() -> None:
    assert judge([rank_status(rank, step=0, still_s=999) for rank in range(2)]).text == ""


def test_ranks_that_have_ended_are_not_gone() -> None:
    assert first_failure([rank_status(rank, state="finished", gone=True) for rank in range(2)]) is None
