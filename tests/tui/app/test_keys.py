"""The keys: panels, cursor, axes, help; and that no key means two things."""

from collections import Counter
from pathlib import Path

import pytest

from sgdb_tui.keys import ALL_KEYS
from sgdb_tui.screens.help import Help
from sgdb_tui.screens.run_screen import RunScreen
from sgdb_tui.widgets.chart import Chart
from sgdb_tui.widgets.findings import Findings
from tests.tui.app.driving import dashboard, seen
from tests.tui.app.recorded import NAN_FINDING


def test_no_key_means_two_things() -> None:
    names = Counter(name for key in ALL_KEYS for name in key.keys.split(","))
    assert [name for name, times in names.items() if times > 1] == []


def test_every_binding_has_an_id_and_says_what_it_does() -> None:
    for key in ALL_KEYS:
        binding = key.binding()
        assert binding.id
        assert binding.description
        assert binding.tooltip
    assert len({key.id for key in ALL_KEYS}) == len(ALL_KEYS)


def test_every_key_has_its_action() -> None:
    for key in ALL_KEYS:
        name = key.action.partition("(")[0]
        assert name.startswith("app.") or hasattr(RunScreen, f"action_{name}"), key.id


async def test_a_number_goes_to_a_panel_and_the_same_number_maximises_it(gpt_run: Path) -> None:
    async with dashboard(gpt_run) as (app, pilot):
        await pilot.press("9")
        assert app.focused is app.screen.query_one("#log")
        assert "1 Loss" in seen(app)
        await pilot.press("9")
        await pilot.pause()
        assert "1 Loss" not in seen(app)
        assert app.screen.query_one("#log").size == (120, 38)
        await pilot.press("9")
        await pilot.pause()
        assert "1 Loss" in seen(app)


async def test_a_panel_without_room_is_maximised_at_once_and_escape_goes_back(gpt_run: Path) -> None:
    async with dashboard(gpt_run, (80, 24)) as (app, pilot):
        assert "4 Parameters" not in seen(app)
        await pilot.press("4")
        await pilot.pause()
        assert "4 Parameters" in seen(app)
        assert "1 Loss" not in seen(app)
        await pilot.press("escape")
        await pilot.pause()
        assert "1 Loss" in seen(app)
        assert app.focused is not None
        assert app.focused.region, "what has the focus is seen"


async def test_the_cursor_of_one_chart_is_the_cursor_of_all(gpt_run: Path) -> None:
    async with dashboard(gpt_run, (200, 60)) as (app, pilot):
        await pilot.press("left", "left")
        await pilot.pause()
        steps = {chart.cursor_step for chart in app.screen.query(Chart)}
        assert len(steps) == 1
        assert steps != {None}
        await pilot.press("escape")
        await pilot.pause()
        assert {chart.cursor_step for chart in app.screen.query(Chart)} == {None}


async def test_zoom_holds_for_all_charts_and_0_shows_the_whole_run(gpt_run: Path) -> None:
    async with dashboard(gpt_run) as (app, pilot):
        await pilot.press("left", "plus", "plus")
        await pilot.pause()
        ranges = {chart.x_range for chart in app.screen.query(Chart)}
        assert len(ranges) == 1
        assert ranges != {None}
        await pilot.press("0")
        await pilot.pause()
        assert {chart.x_range for chart in app.screen.query(Chart)} == {None}


async def test_x_goes_from_steps_to_epochs_to_time_on_all_charts(gpt_run: Path) -> None:
    async with dashboard(gpt_run) as (app, pilot):
        names = []
        for _ in range(3):
            await pilot.press("x")
            names.append({chart.x_unit.name for chart in app.screen.query(Chart)})
    assert names == [{"epoch"}, {"time"}, {"step"}]


async def test_enter_on_a_finding_moves_all_charts_to_its_step(gpt_run: Path) -> None:
    async with dashboard(gpt_run) as (app, pilot):
        await pilot.press("8", "enter")
        await pilot.pause()
        assert {chart.cursor_step for chart in app.screen.query(Chart)} == {NAN_FINDING.step}
        assert "Look for a log or a division by zero" in seen(app)
        await pilot.press("down")
        await pilot.pause()
        assert "Check for a saturated activation" in seen(app)
        assert app.screen.query_one(Findings).selected == 1


async def test_chart_keys_work_from_any_panel(gpt_run: Path) -> None:
    async with dashboard(gpt_run) as (app, pilot):
        await pilot.press("3", "g", "left")
        loss = app.screen.query_one("#loss", Chart)
        assert loss.log_y is False
        assert loss.cursor_step is not None


async def test_new_numbers_leave_the_users_choices_alone(gpt_run: Path) -> None:
    async with dashboard(gpt_run) as (app, pilot):
        await pilot.press("1", "1", "g", "plus")
        loss = app.screen.query_one("#loss", Chart)
        chosen = (loss.log_y, loss.x_range)
        run_screen = app.run_screen()
        assert run_screen is not None
        run_screen.refresh_everything()
        await pilot.pause()
        assert (loss.log_y, loss.x_range) == chosen


async def test_the_help_names_every_key(gpt_run: Path) -> None:
    async with dashboard(gpt_run, (120, 80)) as (app, pilot):
        await pilot.press("3", "question_mark")
        await pilot.pause()
        text = seen(app).lower()
    assert "each row is a layer" in text
    for word in ("pause the training", "zoom in", "count along the axis", "worst", "1–9"):
        assert word in text


@pytest.mark.parametrize("key", ["escape", "q", "question_mark"])
async def test_the_help_closes_and_the_dashboard_stays(empty_run: Path, key: str) -> None:
    async with dashboard(empty_run, (80, 24)) as (app, pilot):
        await pilot.press("question_mark")
        assert isinstance(app.screen, Help)
        await pilot.press(key)
        assert isinstance(app.screen, RunScreen)
        assert app.is_running


async def test_the_palette_finds_what_the_keys_do(gpt_run: Path) -> None:
    async with dashboard(gpt_run) as (app, pilot):
        await pilot.press("ctrl+p", *"smoothing")
        await pilot.pause(0.3)
        assert "More smoothing, or none" in seen(app)
