"""A whole plot in cells: what must be seen is seen, at every size."""

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sgdb_tui.plotting.cells import Cells, Ink, Paper
from sgdb_tui.plotting.layers import Surface, line_of
from sgdb_tui.plotting.plot import PlotView, draw_plot
from sgdb_tui.plotting.scale import fitted
from sgdb_tui.plotting.series import Curve, Mark
from sgdb_tui.plotting.x_axis import STEPS
from sgdb_tui.plotting.y_range import y_extent

FULL = Surface(unicode=True, backgrounds=True)
PLAIN = Surface(unicode=False, backgrounds=False)


def curve(values: Sequence[float], *, low: Sequence[float] = (), high: Sequence[float] = ()) -> Curve:
    """One bucket a step; non-finite values are counted and leave NaN, as the history does."""
    mean = np.array(values, np.float64)
    broken = ~np.isfinite(mean)
    mean = np.where(broken, np.nan, mean)
    return Curve(
        name="train",
        label="t",
        color="train",
        x=np.arange(mean.size, dtype=np.float64),
        mean=mean,
        low=np.array(low or mean, np.float64),
        high=np.array(high or mean, np.float64),
        nonfinite=broken.astype(np.int64),
    )


def plot(
    *curves: Curve,
    height: int = 12,
    width: int = 60,
    log: bool = False,
    marks: Sequence[Mark] = (),
    levels: Sequence[tuple[float, str]] = (),
    places: Sequence[tuple[float, str]] = (),
    cursor: float | None = None,
    surface: Surface = FULL,
) -> Cells:
    last = max([1.0, *(float(one.x[-1]) for one in curves if one.x.size)])
    lines = [line_of(one, log, last, "off") for one in curves]
    low, high = y_extent(lines, [value for value, _ in levels], log, 0.0, last)
    view = PlotView(lines, marks, levels, fitted(low, high, log), 0.0, last, STEPS, cursor, surface, places)
    return draw_plot(view, height, width)


def text(cells: Cells) -> str:
    return "\n".join(cells.line(row) for row in range(cells.height))


values = st.lists(st.floats(width=32), max_size=40)


@given(values, st.integers(0, 14), st.integers(0, 50), st.booleans(), st.booleans())
def test_any_values_can_be_drawn_at_any_size(
    values: list[float], height: int, width: int, log: bool, unicode: bool
) -> None:
    cells = plot(curve(values), height=height, width=width, log=log, surface=Surface(unicode, unicode))
    assert (cells.height, cells.width) == (height, width)


@given(values, st.booleans())
def test_without_unicode_everything_is_ascii(values: list[float], log: bool) -> None:
    marks = [Mark(3, "finding"), Mark(5, "epoch"), Mark(7, "checkpoint")]
    levels = [(0.5, "floor")]
    assert text(plot(curve(values), log=log, marks=marks, levels=levels, cursor=4, surface=PLAIN)).isascii()


@pytest.mark.parametrize("height", [1, 3, 5, 12])
def test_nan_is_a_red_cross_below_the_plot_at_its_step(height: int) -> None:
    values = [1.0] * 101
    values[50] = float("nan")
    cells = plot(curve(values), height=height, width=80)
    rows, columns = np.nonzero(cells.glyphs == "×")
    assert columns.tolist() == [7 + 36]
    assert cells.inks[rows[0], columns[0]] == Ink.ERROR


def test_only_nan_still_shows_crosses() -> None:
    assert text(plot(curve([float("nan")] * 10))).count("×") == 10


def test_values_that_a_log_axis_cannot_show_are_marked() -> None:
    assert "▾" in text(plot(curve([1.0, 0.1, 0.0, -1.0, 0.5]), log=True))


def test_a_spike_beyond_the_axis_is_marked_at_the_edge_and_the_rest_stays_readable() -> None:
    flat = [1.0 + 0.1 * (step % 2) for step in range(400)]
    high = list(flat)
    high[200] = 1000.0
    cells = plot(curve(flat, low=flat, high=high), width=107)
    assert cells.glyphs[0, 7 + 50] == "▴"
    rows_with_dots = np.nonzero(cells.inks == Ink.TRAIN)[0]
    assert len(set(rows_with_dots.tolist())) >= 5


def test_a_moderate_spike_is_inside_the_band() -> None:
    flat = [1.0 + 0.1 * (step % 2) for step in range(400)]
    high = list(flat)
    high[200] = 1.14
    cells = plot(curve(flat, low=flat, high=high), width=107)
    assert "▴" not in text(cells)
    assert (cells.papers[:, 57] == Paper.BAND).any() or (cells.inks[:, 57] == Ink.BAND).any()


def test_the_band_is_shaded_where_there_are_no_backgrounds() -> None:
    one = curve([5.0] * 30, low=[1.0] * 30, high=[9.0] * 30)
    cells = plot(one, surface=Surface(unicode=True, backgrounds=False))
    assert "░" in text(cells)
    assert not cells.papers.any()


def test_each_line_ends_with_its_letter_and_letters_give_way() -> None:
    first, second = curve([1.0] * 30), curve([1.0] * 30)
    second = Curve("val", "v", "val", second.x, second.mean, second.low, second.high, second.nonfinite)
    drawn = text(plot(first, second, curve([0.0] * 30)))
    assert "t" in drawn
    assert "v" in drawn


def test_events_have_a_glyph_each_and_crowds_no_lines() -> None:
    kinds = ("epoch", "validation", "checkpoint", "command", "finding")
    marks = [Mark(20 * place + 10, kind) for place, kind in enumerate(kinds)]
    one = curve([float(step) for step in range(101)])
    drawn = text(plot(one, marks=marks, width=80))
    assert all(glyph in drawn for glyph in "╵▿◆▸▲┊")
    crowd = [Mark(step, "epoch") for step in range(100)]
    assert "┊" not in text(plot(one, marks=crowd))


def test_a_level_is_a_line_with_its_name_and_stretches_the_axis() -> None:
    one = curve([1.0, 0.5, 0.2])
    assert "floor" in text(plot(one, levels=[(0.05, "floor")], log=True))


def test_a_level_decades_away_does_not_press_the_curve_flat() -> None:
    assert "floor" not in text(plot(curve([1.0, 0.5, 0.2]), levels=[(1e-9, "floor")], log=True))


def test_old_columns_do_not_change_while_a_run_grows() -> None:
    def frame(num: int) -> Cells:
        one = curve([1 / (1 + step / 50) for step in range(num)])
        view = PlotView(
            [line_of(one, True, 512, "off")], (), (), fitted(-1.5, 0, True), 0, 512, STEPS, None, FULL
        )
        return draw_plot(view, 10, 71)

    before, after = frame(300), frame(303)
    changed = np.nonzero((before.glyphs != after.glyphs).any(axis=0))[0]
    assert changed.min() >= 7 + 300 * 64 // 512 - 1


def test_the_cursor_is_a_column() -> None:
    one = curve([float(step) for step in range(101)])
    assert (plot(one, cursor=50.0, width=107).papers[:10, 57] == Paper.CURSOR).all()
    assert "│" in text(plot(one, cursor=50.0, surface=Surface(unicode=True, backgrounds=False)))


def test_the_name_of_a_level_gives_way_to_a_curve() -> None:
    left = plot(curve([1.0] * 10 + [5.0] * 30), levels=[(1.0, "floor")], height=10)
    right = plot(curve([5.0] * 30 + [1.0] * 10), levels=[(1.0, "floor")], height=10)
    row = next(line for line in text(left).splitlines() if "floor" in line)
    assert row.rstrip("╌").endswith(" floor ")
    row = next(line for line in text(right).splitlines() if "floor" in line)
    assert "╌ floor ╌" in row


def test_places_are_named_lines_and_names_cover_neither_curve_nor_one_another() -> None:
    flat = curve([5.0] * 40 + [1.0])
    cells = plot(flat, places=[(20.0, "lowest"), (24.0, "try"), (90.0, "outside")], height=10)
    lines = text(cells).splitlines()
    assert sum("┊" in line for line in lines) >= 8
    assert any("lowest" in line for line in lines)
    assert any("try" in line for line in lines)
    assert "outside" not in text(cells)
    bare = text(plot(flat, height=10))
    num_dots = sum("\u2800" < sign <= "\u28ff" for sign in bare)
    assert sum("\u2800" < sign <= "\u28ff" for sign in text(cells)) == num_dots


@pytest.mark.parametrize("width", [1, 3, 8, 24, 30])
def test_a_name_that_does_not_fit_is_no_error(width: int) -> None:
    plot(
        curve([1.0, 2.0]),
        levels=[(1.5, "a long name")],
        places=[(0.5, "a longer name")],
        width=width,
        height=5,
    )
