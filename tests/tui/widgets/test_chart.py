"""The line chart: keys in, picture out."""

import numpy as np
import pytest
from textual import events

from sgdb_tui.plotting.series import Curve, Mark
from sgdb_tui.plotting.x_axis import scaled
from sgdb_tui.widgets.chart import Chart

SIZES = [(1, 1), (10, 3), (80, 24), (200, 60)]
MARKS = [Mark(200, "epoch"), Mark(400, "epoch"), Mark(500, "finding"), Mark(300, "checkpoint")]


@pytest.mark.parametrize("size", SIZES)
async def test_the_picture_at_every_size(app_with, curves, golden, size: tuple[int, int]) -> None:
    app = app_with(Chart("Loss"))
    async with app.run_test(size=size) as pilot:
        app.panel.show(curves(1000), MARKS)
        await pilot.pause()
        golden(f"chart-{size[0]}x{size[1]}", app.shown())


async def test_the_picture_in_ascii(app_with, curves, golden) -> None:
    app = app_with(Chart("Loss"), ascii_only=True)
    async with app.run_test(size=(80, 24)) as pilot:
        app.panel.show(curves(1000), MARKS)
        await pilot.pause()
        assert app.shown().isascii()
        golden("chart-ascii", app.shown())


def line(values: list[float]) -> Curve:
    mean = np.array(values, np.float64)
    x = np.arange(mean.size, dtype=np.float64)
    return Curve("train", "t", "train", x, mean, mean, mean, (~np.isfinite(mean)).astype(np.int64))


@pytest.mark.parametrize(
    "values", [[], [1.0], [0.5] * 9, [float("nan")] * 9, [0.0] * 9, [-3.0, -2.0], [1e-300, 1e300]]
)
@pytest.mark.parametrize("size", [(10, 3), (80, 24)])
async def test_odd_series_are_no_error(app_with, values: list[float], size: tuple[int, int]) -> None:
    app = app_with(Chart("Loss"))
    async with app.run_test(size=size) as pilot:
        app.panel.show([line(values)])
        panel = app.panel
        panel.action_move_cursor(-1), panel.action_zoom(0.5), panel.action_pan(-1), panel.action_smoothing()
        await pilot.pause()
        panel.action_toggle_log(), panel.action_whole_run(), panel.action_hide_cursor()
        await pilot.pause()
        assert "error" not in app.shown()
        assert not [message for message in app.posted if isinstance(message, Chart.Failed)]


async def test_before_the_first_value_the_chart_says_what_it_waits_for(app_with) -> None:
    app = app_with(Chart("Loss"))
    async with app.run_test(size=(60, 10)) as pilot:
        app.panel.empty_text = "waiting for the first step"
        app.panel.show([])
        await pilot.pause()
        assert "waiting for the first step" in app.shown()


async def test_the_cursor_shows_the_values_at_its_step_and_tells_the_screen(app_with) -> None:
    app = app_with(Chart("Loss", log_y=False))
    async with app.run_test(size=(80, 12)) as pilot:
        app.panel.show([line([float(step) for step in range(101)])])
        await pilot.press("left")
        assert app.panel.cursor_step == 100
        assert "step 100  ━ train 100.0" in app.shown()
        await pilot.press("left", "left", "right")
        assert app.panel.cursor_step < 100
        assert f"step {app.panel.cursor_step}" in app.shown()
        await pilot.press("escape")
        assert [message.step for message in app.posted][-1] is None
        assert "step" not in app.shown()


async def test_the_cursor_stays_within_the_measured_steps(app_with) -> None:
    app = app_with(Chart("Loss"))
    async with app.run_test(size=(80, 12)) as pilot:
        app.panel.show([line([1.0, 2.0, 3.0])])
        await pilot.press(*["right"] * 5)
        assert app.panel.cursor_step == 2
        await pilot.press(*["left"] * 9)
        assert app.panel.cursor_step == 0


async def test_zoom_and_pan_are_told_and_survive_new_values(app_with, curves) -> None:
    app = app_with(Chart("Loss"))
    async with app.run_test(size=(80, 12)) as pilot:
        app.panel.show(curves(1000))
        await pilot.press("plus")
        first, last = app.panel.x_range
        assert 0 < first < last < 1024
        await pilot.press("shift+left")
        assert app.panel.x_range == (first - (last - first) // 4, last - (last - first) // 4)
        kept = app.panel.x_range
        app.panel.show(curves(2000))
        assert app.panel.x_range == kept
        await pilot.press("0")
        assert app.panel.x_range is None
        ranges = [message.x_range for message in app.posted]
        assert ranges[0] == (first, last)
        assert ranges[-1] is None


async def test_zoom_keeps_the_cursor_where_it_is(app_with, curves) -> None:
    app = app_with(Chart("Loss"))
    async with app.run_test(size=(80, 12)) as pilot:
        app.panel.show(curves(1000))
        await pilot.press(*["left"] * 20, *["plus"] * 5)
        first, last = app.panel.x_range
        assert first <= app.panel.cursor_step <= last
        assert last - first <= 1024 // 32


async def test_zooming_out_far_enough_is_the_whole_run(app_with, curves) -> None:
    app = app_with(Chart("Loss"))
    async with app.run_test(size=(80, 12)) as pilot:
        app.panel.show(curves(1000))
        await pilot.press("plus", "plus", "minus", "minus", "minus")
        assert app.panel.x_range is None


async def test_setting_a_range_from_outside_posts_nothing(app_with, curves) -> None:
    app = app_with(Chart("Loss"))
    async with app.run_test(size=(80, 12)) as pilot:
        app.panel.show(curves(1000))
        app.panel.x_range, app.panel.cursor_step = (100, 200), 150
        await pilot.pause()
        assert app.posted == []
        assert "100" in app.shown().splitlines()[-1]


async def test_g_and_m_change_the_axis_and_the_smoothing(app_with, curves) -> None:
    app = app_with(Chart("Loss"))
    async with app.run_test(size=(80, 16)) as pilot:
        app.panel.show(curves(1000))
        logarithmic = app.shown()
        await pilot.press("g")
        linear = app.shown()
        assert "log" in logarithmic.splitlines()[0]
        assert "log" not in linear.splitlines()[0]
        await pilot.press("m")
        assert app.panel.smoothing == "strong"
        assert app.shown() != linear
        app.panel.show(curves(1000))
        assert (app.panel.log_y, app.panel.smoothing) == (False, "strong")


def scroll_up(panel: Chart, x: int, y: int) -> events.MouseScrollUp:
    return events.MouseScrollUp(panel, x, y, 0, 0, 0, False, False, False)


async def test_a_click_puts_the_cursor_there_and_the_wheel_zooms(app_with, curves) -> None:
    app = app_with(Chart("Loss"))
    async with app.run_test(size=(80, 12)) as pilot:
        app.panel.show(curves(1000))
        await pilot.click(Chart, offset=(44, 5))
        assert app.panel.cursor_step == pytest.approx(512, abs=10)
        app.panel.post_message(scroll_up(app.panel, 44, 5))
        await pilot.pause()
        assert app.panel.x_range == pytest.approx((256, 768), abs=12)


async def test_a_click_on_the_labels_is_no_place_on_the_axis(app_with, curves) -> None:
    app = app_with(Chart("Loss"))
    async with app.run_test(size=(80, 12)) as pilot:
        app.panel.show(curves(1000))
        await pilot.click(Chart, offset=(3, 5))
        assert app.panel.cursor_step is None


async def test_the_axis_can_count_epochs_while_the_cursor_counts_steps(app_with) -> None:
    app = app_with(Chart("Loss"))
    async with app.run_test(size=(80, 12)) as pilot:
        unit = scaled("epoch", 1 / 25)
        one = line([1.0 + step for step in range(101)])
        app.panel.x_unit = unit
        app.panel.show([Curve("train", "t", "train", unit.x_of_step(one.x), *[one.mean] * 3, one.nonfinite)])
        await pilot.press("left")
        assert app.panel.cursor_step == 100
        assert "epoch 4" in app.shown()


async def test_the_axis_ends_where_the_run_ends(app_with) -> None:
    app = app_with(Chart("Loss"))
    async with app.run_test(size=(80, 12)) as pilot:
        app.panel.end_step = 100
        app.panel.show([line([1.0] * 98)])
        await pilot.pause()
        assert app.shown().splitlines()[-1].rstrip().endswith("100")


async def test_names_of_curves_are_never_markup_or_escapes(app_with) -> None:
    app = app_with(Chart("Loss"))
    async with app.run_test(size=(80, 12)) as pilot:
        one = line([1.0, 2.0])
        app.panel.show([Curve("[b]x\x1b[31m", "\x1b", "train", one.x, *[one.mean] * 3, one.nonfinite)])
        await pilot.pause()
        assert "\x1b" not in app.shown()
        assert "[b]x" in app.shown()


async def test_a_live_frame_sends_few_rows(app_with, curves) -> None:
    app = app_with(Chart("Gradient norm"))
    async with app.run_test(size=(120, 40)) as pilot:
        train = curves(4000)[0]
        flat = np.full(4000, 0.5)
        one = Curve("g", "g", "third", train.x, flat, flat * 0.9, flat * 1.1, np.zeros(4000, np.int64))
        app.panel.show([one])
        await pilot.pause()
        before = [app.panel.render_line(y) for y in range(40)]
        longer = np.full(4010, 0.5)
        x = np.arange(4010.0)
        app.panel.show(
            [Curve("g", "g", "third", x, longer, longer * 0.9, longer * 1.1, np.zeros(4010, np.int64))]
        )
        changed = sum(app.panel.render_line(y) != before[y] for y in range(40))
        assert changed < 35
