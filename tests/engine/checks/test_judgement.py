"""Curves and their verdicts."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sgdb_engine.findings.judgement import excess_of, is_near_zero, judge


def falls_to(end: float, start: float = 2.0, steps: int = 200, hold: int = 100) -> list[float]:
    """Exponentially from start to end, then flat."""
    return [start * (end / start) ** min(1.0, i / (steps - hold)) for i in range(steps + 1)]


FLAT = [2.0] * 201
NOISY_RISE = [2.0 + 0.01 * i for i in range(201)]


@pytest.mark.parametrize(
    ("losses", "floor", "status", "words"),
    [
        (falls_to(0.001), 0.0, "pass", "near zero"),
        (falls_to(0.019), 0.0, "pass", "near zero"),
        (falls_to(0.03), 0.0, "pass", "1.5% of what could be learnt is left"),
        (falls_to(0.19), 0.0, "pass", "9.5%"),
        (falls_to(0.21), 0.0, "inconclusive", "stays there"),
        (falls_to(0.99), 0.0, "inconclusive", "stays there"),
        (falls_to(1.01), 0.0, "fail", "cannot be learnt by heart"),
        (falls_to(1.01), 1.0, "pass", "the lowest possible here is 1"),
        (falls_to(1.3), 1.0, "inconclusive", "stays there"),
        (falls_to(1.6), 1.0, "fail", "cannot be learnt by heart"),
        (falls_to(1.6, steps=100, hold=0), 0.0, "inconclusive", "still falling"),
        (falls_to(0.3, steps=100, hold=0), 0.0, "inconclusive", "still falling"),
        (FLAT, 0.0, "fail", "no better than a guess"),
        (falls_to(1.95), 0.0, "fail", "no better than a guess"),
        (NOISY_RISE, 0.0, "fail", "rises"),
        ([2.0, 5.0, 900.0], 0.0, "fail", "rises"),
        ([2.0, 1.9, 1.8], 0.0, "inconclusive", "too few steps"),
        ([2.0], 0.0, "inconclusive", "too few steps"),
        ([2.0] * 80, 0.0, "inconclusive", "too few steps"),
        ([2.0, 1.0, math.nan], 0.0, "fail", "became NaN at step 2"),
        ([2.0, math.inf, 1.0], 0.0, "fail", "became infinite at step 1"),
        ([math.nan], 0.0, "fail", "NaN before the first update"),
    ],
)
def test_each_curve_gets_its_verdict(losses: list[float], floor: float, status: str, words: str) -> None:
    judgement = judge(losses, floor, blind=2.05)
    assert judgement.status == status, judgement
    assert words in judgement.reason


def test_inputs_that_do_not_tell_the_targets_apart_fail_though_the_loss_reaches_its_floor() -> None:
    judgement = judge(falls_to(1.09, start=1.3), floor=1.09, blind=1.0986)
    assert judgement.status == "fail"
    assert "do not tell the targets apart" in judgement.reason


def test_a_model_that_knew_the_batch_before_passes() -> None:
    judgement = judge([0.011, 0.0109] * 100, floor=0.0, blind=1.1)
    assert judgement.status == "pass"
    assert "knew this batch already" in judgement.reason


def test_a_model_that_knew_the_batch_before_and_forgets_it_does_not_pass() -> None:
    assert judge([0.011, *[1.0] * 200], floor=0.0, blind=1.1).status == "fail"


def test_the_verdict_needs_no_blind_guess() -> None:
    assert judge(falls_to(0.001), 0.0).status == "pass"
    assert judge(FLAT, 0.0).status == "fail"


def test_training_ends_near_zero_by_the_mean_of_five_losses() -> None:
    assert is_near_zero([2.0, *[0.01] * 5], 0.0)
    assert not is_near_zero([2.0, *[0.01] * 4], 0.0)
    assert not is_near_zero([2.0, 0.2, *[0.01] * 4], 0.0)
    assert not is_near_zero([2.0, *[math.nan] * 5], 0.0)


positive = st.floats(1e-6, 1e6)


@given(floor=st.floats(0, 1e3), room=positive, share=st.floats(0, 2))
def test_the_excess_is_1_at_the_start_0_at_the_floor_and_linear_between(
    floor: float, room: float, share: float
) -> None:
    start = floor + room
    room = start - floor
    if room > 0:
        assert excess_of(floor + share * room, start, floor) == pytest.approx(
            share, rel=1e-6, abs=1e-6 * (1 + floor / room)
        )


@given(losses=st.lists(st.floats(width=32), min_size=1, max_size=200), floor=st.floats(0, 10))
def test_no_curve_breaks_the_judge(losses: list[float], floor: float) -> None:
    judgement = judge(losses, floor, blind=floor + 1)
    assert judgement.reason
    finite = all(map(math.isfinite, losses))
    assert finite or judgement.status == "fail"
