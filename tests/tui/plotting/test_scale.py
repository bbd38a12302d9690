"""Axes that stay where they are while a run grows."""

import math

import numpy as np
from hypothesis import assume, given
from hypothesis import strategies as st

from sgdb_tui.plotting.scale import Scale, fitted, snapped_end

finite = st.floats(-1e9, 1e9)


@given(finite, finite, st.booleans())
def test_an_axis_holds_its_range(one: float, other: float, log: bool) -> None:
    low, high = sorted((one, other))
    assume(not log or max(abs(low), abs(high)) < 300)
    scale = fitted(low, high, log)
    assert scale.low <= low
    assert high <= scale.high
    assert scale.low < scale.high


@given(st.floats(-100, 100), st.floats(0.1, 100), st.floats(0, 0.04), st.floats(0, 0.04))
def test_an_axis_stays_as_long_as_it_serves(low: float, span: float, a: float, b: float) -> None:
    scale = fitted(low, low + span, False)
    assert fitted(low + a * span, low + span - b * span, False, scale) is scale


def test_an_axis_shrinks_when_less_than_half_of_it_is_used() -> None:
    scale = fitted(0.0, 100.0, False)
    assert fitted(0.0, 40.0, False, scale).high < 50


def test_changing_the_kind_of_axis_starts_anew() -> None:
    assert fitted(0.0, 2.0, True, Scale(False, -5.0, 5.0)).log


def test_nothing_finite_keeps_the_axis_or_starts_at_one() -> None:
    nan = float("nan")
    scale = fitted(3.0, 4.0, False)
    assert fitted(nan, nan, False, scale) is scale
    assert fitted(nan, nan, False) == Scale(False, 0.0, 1.0)


def test_a_log_axis_has_no_place_for_zero_and_below() -> None:
    fractions = Scale(True, -1.0, 1.0).fraction(np.array([0.0, -1.0, 1.0]))
    assert np.isnan(fractions[:2]).all()
    assert fractions[2] == 0.5


@given(st.integers(0, 10**6), st.integers(1, 10**9))
def test_the_x_axis_wastes_at_most_a_quarter(first: int, span: int) -> None:
    end = snapped_end(first, first + span)
    assert first + span <= end <= first + 1.25 * span + 1


def test_the_x_axis_jumps_seldom() -> None:
    ends = {snapped_end(0, last) for last in range(1000, 100_000)}
    assert len(ends) <= 4 * (math.log2(100) + 1)


def test_the_x_axis_ends_where_the_run_will() -> None:
    assert snapped_end(0, 990, limit=1000) == 1000
    assert snapped_end(0, 100, limit=10_000) < 130
