"""The heat map of layers."""

import numpy as np
import pytest

from sgdb_engine.recording.history import Heat
from sgdb_tui.plotting.cells import Paper
from sgdb_tui.widgets.heat_map import HeatMap

NAMES = [f"net.{index}.weight" for index in range(12)]


def heat() -> Heat:
    """Twelve layers over 640 steps: one vanishes, one ends in NaN."""
    steps = np.arange(64)
    values = np.exp(-steps / 64) * (1 + 0.2 * np.sin(np.arange(12))[:, None] * np.cos(steps))
    values[3, 32:] *= 10 ** -np.linspace(0, 4, 32)
    nonfinite = np.zeros(values.shape, np.bool_)
    nonfinite[7, 60:] = True
    values[7, 60:] = np.nan
    return Heat(edges=np.arange(65) * 10.0, values=values.astype(np.float32), nonfinite=nonfinite)


def show(panel: HeatMap) -> None:
    one = heat()
    panel.show(NAMES, one, one.values[:, -1])


@pytest.mark.parametrize("size", [(1, 1), (10, 3), (80, 24), (200, 60)])
async def test_the_picture_at_every_size(app_with, golden, size: tuple[int, int]) -> None:
    app = app_with(HeatMap("Gradients"))
    async with app.run_test(size=size) as pilot:
        show(app.panel)
        await pilot.pause()
        golden(f"heat-{size[0]}x{size[1]}", app.shown())


async def test_without_backgrounds_letters_tell_the_levels(app_with, golden) -> None:
    app = app_with(HeatMap("Gradients"), ascii_only=True)
    async with app.run_test(size=(60, 14)) as pilot:
        show(app.panel)
        await pilot.pause()
        assert app.shown().isascii()
        golden("heat-ascii", app.shown())


async def test_the_worst_layers_come_first_and_w_gives_the_order_of_the_model(app_with) -> None:
    app = app_with(HeatMap("Gradients"))
    async with app.run_test(size=(80, 14)) as pilot:
        show(app.panel)
        names = [line.split()[0].strip("▌") for line in app.shown().splitlines()[1:]]
        assert names[:2] == ["net.7.weight", "net.3.weight"]
        await pilot.press("w")
        names = [line.split()[0].strip("▌") for line in app.shown().splitlines()[1:13]]
        assert names == NAMES


async def test_normal_layers_are_painted_grey_only(app_with) -> None:
    app = app_with(HeatMap("Gradients"))
    async with app.run_test(size=(80, 14)) as pilot:
        show(app.panel)
        await pilot.pause()
        papers = {run.paper for run in app.panel.row_runs(5, app.panel.row_width())}
        assert papers <= {Paper.SURFACE, Paper.HEAT}


async def test_the_row_cursor_scrolls_and_is_told(app_with) -> None:
    app = app_with(HeatMap("Gradients"))
    async with app.run_test(size=(80, 6)) as pilot:
        show(app.panel)
        await pilot.pause()
        assert "1-5/12" in app.shown()
        await pilot.press("w", "down", *["down"] * 7)
        assert app.panel.selected == NAMES[7]
        assert "4-8/12" in app.shown()
        assert NAMES[7] in app.shown()
        assert [message.name for message in app.posted] == NAMES[:8]
        await pilot.press("end", "pageup", "home")
        assert app.panel.selected == NAMES[0]


async def test_the_cursor_stays_on_its_layer_when_the_order_changes(app_with) -> None:
    app = app_with(HeatMap("Gradients"))
    async with app.run_test(size=(80, 6)) as pilot:
        show(app.panel)
        await pilot.press("w", "end", "w")
        assert app.panel.selected == NAMES[11]
        assert NAMES[11] in app.shown()


async def test_a_click_selects_and_the_wheel_scrolls(app_with) -> None:
    app = app_with(HeatMap("Gradients"))
    async with app.run_test(size=(80, 6)) as pilot:
        show(app.panel)
        await pilot.click(HeatMap, offset=(3, 2))
        assert app.panel.selected == "net.3.weight"


async def test_a_filter_leaves_the_matching_rows(app_with) -> None:
    app = app_with(HeatMap("Gradients"))
    async with app.run_test(size=(80, 14)) as pilot:
        show(app.panel)
        app.panel.filter_text = "NET.1"
        await pilot.pause()
        shown = app.shown()
        assert [name for name in NAMES if name in shown] == ["net.1.weight", "net.10.weight", "net.11.weight"]
        app.panel.filter_text = "[nothing]"
        await pilot.pause()
        assert "no row contains '[nothing]'" in app.shown()


async def test_nothing_measured_yet_is_said(app_with) -> None:
    app = app_with(HeatMap("Gradients"))
    async with app.run_test(size=(80, 8)) as pilot:
        await pilot.press("down", "w")
        assert "not measured yet" in app.shown()


async def test_an_empty_heat_still_shows_names_and_values(app_with) -> None:
    app = app_with(HeatMap("Gradients"))
    async with app.run_test(size=(80, 8)) as pilot:
        empty = Heat(np.zeros(0), np.zeros((2, 0), np.float32), np.zeros((2, 0), np.bool_))
        app.panel.show(["a", "b"], empty, np.array([0.5, 2.0], np.float32))
        await pilot.pause()
        assert "0.5000" in app.shown()
