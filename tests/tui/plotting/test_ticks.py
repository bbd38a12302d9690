"""Ticks: round, apart, at least two."""

from itertools import pairwise

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from sgdb_tui.plotting.scale import Scale, fitted
from sgdb_tui.plotting.ticks import rows_of, x_ticks, y_ticks

rows = st.integers(5, 60)


@given(st.floats(-1e6, 1e6), st.floats(1e-3, 1e6), rows)
def test_linear_ticks_are_inside_ascending_apart_and_two_at_least(low: float, span: float, rows: int) -> None:
    assume(span > abs(low) * 1e-6)
    check_ticks(Scale(False, low, low + span), rows)


@given(st.floats(-12, 12), st.floats(0.06, 20), rows)
def test_log_ticks_are_inside_ascending_apart_and_two_at_least(low: float, span: float, rows: int) -> None:
    check_ticks(Scale(True, low, low + span), rows)


def check_ticks(scale: Scale, rows: int) -> None:
    ticks = y_ticks(scale, rows)
    values = [tick.value for tick in ticks]
    low, high = scale.value_range
    places = rows_of(values, scale, rows)
    assert len(ticks) >= 2
    assert values == sorted(values)
    assert all(low <= value <= high for value in values)
    assert all(below - above >= 2 for below, above in pairwise(places))
    assert all(0 < len(tick.label) <= 6 for tick in ticks)


@pytest.mark.parametrize(
    ("low", "high", "rows", "labels"),
    [
        (0.0, 1.0, 6, ["0.0", "0.5", "1.0"]),
        (0.0, 100.0, 12, ["0", "20", "40", "60", "80", "100"]),
        (0.12, 0.19, 8, ["0.12", "0.14", "0.16", "0.18"]),
        (0.0, 3e-4, 6, ["0", "2e-4"]),
    ],
)
def test_linear_ticks_have_common_decimals(low: float, high: float, rows: int, labels: list[str]) -> None:
    assert [tick.label for tick in y_ticks(Scale(False, low, high), rows)] == labels


@pytest.mark.parametrize(
    ("low", "high", "rows", "labels"),
    [
        (-0.7, 0.8, 14, ["0.2", "0.5", "1", "2", "5"]),
        (-6.0, 2.0, 9, ["1e-6", "1e-4", "0.01", "1", "100"]),
        (-0.55, -0.15, 14, ["0.3", "0.4", "0.5", "0.6", "0.7"]),
    ],
)
def test_log_ticks_follow_1_2_5_and_short_ranges_are_linear(
    low: float, high: float, rows: int, labels: list[str]
) -> None:
    assert [tick.label for tick in y_ticks(Scale(True, low, high), rows)] == labels


@given(st.integers(0, 10**7), st.integers(1, 10**7), st.integers(1, 200))
def test_labels_of_the_x_axis_do_not_touch(first: int, span: int, columns: int) -> None:
    places = x_ticks(first, first + span, columns)
    assert all(first <= place <= first + span for place in places)
    gaps = [(b - a) / span * columns for a, b in pairwise(places)]
    assert all(gap > 5 - 1e-6 for gap in gaps)


def test_a_constant_series_gets_an_axis_around_it_with_ticks() -> None:
    for log in (False, True):
        scale = fitted(0.0, 0.0, log)
        assert len(y_ticks(scale, 10)) >= 2
