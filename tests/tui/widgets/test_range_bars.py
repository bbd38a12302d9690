"""Range bars of parameters, inputs and outputs."""

import math

import pytest

from sgdb_tui.widgets.range_bars import RangeBars, RangeRow

ROWS = [
    *(RangeRow(f"h.{index}.w", -0.2 - index / 50, 0.25, 0.01, 0.05) for index in range(8)),
    RangeRow("ln_f.weight", 0.4, 2.3, 1.1, 0.2),
    RangeRow("h.7.mlp", math.nan, math.nan, math.nan, math.nan, 2304),
]


@pytest.mark.parametrize("size", [(1, 1), (10, 3), (80, 24), (200, 60)])
async def test_the_picture_at_every_size(app_with, golden, size: tuple[int, int]) -> None:
    app = app_with(RangeBars("Parameters"))
    async with app.run_test(size=size) as pilot:
        app.panel.show(ROWS)
        await pilot.pause()
        golden(f"bars-{size[0]}x{size[1]}", app.shown())


async def test_the_picture_in_ascii(app_with, golden) -> None:
    app = app_with(RangeBars("Parameters"), ascii_only=True)
    async with app.run_test(size=(70, 12)) as pilot:
        app.panel.show(ROWS)
        await pilot.pause()
        assert app.shown().isascii()
        golden("bars-ascii", app.shown())


async def test_non_finite_values_come_first_and_say_how_many(app_with) -> None:
    app = app_with(RangeBars("Parameters"))
    async with app.run_test(size=(80, 12)) as pilot:
        app.panel.show(ROWS)
        await pilot.pause()
        assert "NON-FINITE: 2304 values" in app.shown().splitlines()[1]


async def test_rows_can_be_shared_with_another_panel_by_name(app_with) -> None:
    app = app_with(RangeBars("Parameters"))
    async with app.run_test(size=(80, 5)) as pilot:
        app.panel.show(ROWS)
        app.panel.selected = "h.6.w"
        await pilot.pause()
        assert "h.6.w" in app.shown()
        assert app.posted == []


async def test_no_rows_are_said(app_with) -> None:
    app = app_with(RangeBars("Inputs"))
    async with app.run_test(size=(80, 5)) as pilot:
        app.panel.show([])
        await pilot.pause()
        assert "not measured yet" in app.shown()
