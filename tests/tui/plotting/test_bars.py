"""Range bars: one axis for all rows, and nothing left unsaid."""

import math

from hypothesis import given
from hypothesis import strategies as st

from sgdb_tui.plotting.bars import AsinhAxis, RangeRow, draw_bar, draw_histogram, range_badness, shared_axis
from sgdb_tui.plotting.heat import worst_first

USUAL = RangeRow("h.0", -0.2, 0.25, 0.01, 0.05)
FAR = RangeRow("h.8", -3.9, 4.4, 0.0, 0.3)
BROKEN = RangeRow("h.7", -0.2, 0.2, 0.0, 0.05, nonfinite=2304)
NAN = RangeRow("h.9", math.nan, math.nan, math.nan, math.nan)


def test_a_bar_shows_range_spread_mean_and_zero() -> None:
    row = RangeRow("ln", 0.5, 2.0, 1.0, 0.25)
    bar = draw_bar(row, AsinhAxis(1.0, -2.0, 2.0), 41, unicode=True).line(0)
    assert bar.index("│") == 20
    assert bar.index("│") < bar.index("─") < bar.index("━") < bar.index("●") < bar.rindex("─")
    assert bar.rstrip() == bar


def test_non_finite_values_replace_the_bar() -> None:
    assert (
        draw_bar(BROKEN, AsinhAxis(1.0, -1.0, 1.0), 40, unicode=True).line(0).strip()
        == "NON-FINITE: 2304 values"
    )


def test_non_finite_first_then_the_widest() -> None:
    rows = [USUAL, USUAL, USUAL, FAR, BROKEN]
    assert worst_first(range_badness(rows))[:2] == [4, 3]


finite = st.floats(-1e30, 1e30)
recorded = st.floats(width=32)
anything = st.builds(RangeRow, st.just("x"), recorded, recorded, recorded, recorded, st.integers(0, 3))


@given(st.lists(anything, max_size=8), st.integers(0, 40), st.booleans())
def test_any_statistics_can_be_drawn(rows: list[RangeRow], width: int, unicode: bool) -> None:
    axis = shared_axis(rows)
    for row in rows:
        bar = draw_bar(row, axis, width, unicode=unicode)
        assert bar.width == width
        assert unicode or bar.line(0).isascii() if bar.height and width else True
    assert not [score for score in range_badness(rows).tolist() if math.isnan(score)]


@given(finite, finite)
def test_the_axis_ascends(one: float, other: float) -> None:
    axis = shared_axis([USUAL, FAR])
    low, high = sorted((one, other))
    assert 0 <= axis.fraction(low) <= axis.fraction(high) <= 1


def test_the_axis_stays_while_it_serves() -> None:
    axis = shared_axis([USUAL, FAR])
    assert shared_axis([USUAL, RangeRow("h.8", -3.8, 4.5, 0.0, 0.3)], axis) is axis
    assert shared_axis([USUAL], axis) is not axis


def test_no_rows_and_only_nan_have_an_axis() -> None:
    assert shared_axis([]).fraction(0.0) == 0.5
    assert shared_axis([NAN]).fraction(0.0) == 0.5


def test_a_histogram_shows_its_tails_and_its_gaps() -> None:
    row = RangeRow("ln", -1.0, 1.0, 0.0, 0.3, shares=(0.01, 0.0, 0.98, 0.01))
    assert draw_histogram(row, 8, unicode=True).line(0) == "▁▁  ▇▇▁▁"
    assert draw_histogram(row, 8, unicode=False).line(0) == "..  ##.."


def test_a_histogram_of_non_finite_values_says_so_and_an_unmeasured_one_too() -> None:
    assert "NON-FINITE: 2304" in draw_histogram(BROKEN, 40, unicode=True).line(0)
    assert "not measured yet" in draw_histogram(USUAL, 40, unicode=True).line(0)


@given(st.lists(st.floats(0, 1), max_size=30), st.integers(0, 60), st.booleans())
def test_a_histogram_of_anything_is_as_wide_as_asked(shares: list[float], width: int, unicode: bool) -> None:
    row = RangeRow("x", 0.0, 1.0, 0.5, 0.1, shares=tuple(shares))
    assert len(draw_histogram(row, width, unicode=unicode).line(0)) == width
