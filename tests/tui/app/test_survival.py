"""The dashboard outlives small terminals, resize storms, broken panels, and gives the terminal back."""

from pathlib import Path

import pytest

from sgdb_engine.recording.writer import Recorder
from sgdb_tui.plotting.cells import Run
from sgdb_tui.widgets.readings import Readings
from tests.tui.app.checked import recorded_check
from tests.tui.app.driving import dashboard, seen, settle
from tests.tui.app.recorded import make_folder, record, write_state

STORM = [(1, 1), (10, 3), (200, 60), (2, 50), (300, 2), (40, 12), (1, 80), (80, 24), (120, 40)]


@pytest.mark.parametrize("size", [(1, 1), (2, 1), (10, 3), (20, 5), (40, 12), (300, 3), (3, 100)])
async def test_it_starts_in_the_smallest_terminals(gpt_run: Path, size: tuple[int, int]) -> None:
    async with dashboard(gpt_run, size) as (app, pilot):
        await pilot.press("3", "3", "left", "z", "8", "enter")
        assert app.is_running


async def test_a_resize_storm_ends_where_it_should(gpt_run: Path) -> None:
    async with dashboard(gpt_run, (80, 24)) as (app, pilot):
        for width, height in STORM:
            await pilot.resize_terminal(width, height)
            await settle(app, pilot)
        assert "9 Log" in seen(app)


@pytest.mark.parametrize("how", ["running", "fail", "wiring"])
async def test_a_check_survives_the_storm_too(tmp_path: Path, how: str) -> None:
    async with dashboard(recorded_check(tmp_path, how), (80, 24)) as (app, pilot):
        for width, height in STORM:
            await pilot.resize_terminal(width, height)
            await settle(app, pilot)
        assert "1 Stages" in seen(app)
        assert "panel error" not in seen(app)


async def test_a_panel_that_raises_shows_its_error_and_the_app_lives_on(
    gpt_run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(self: Readings, y: int) -> list[Run]:
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr(Readings, "draw_body_line", broken)
    async with dashboard(gpt_run) as (app, pilot):
        assert "ZeroDivisionError: a bug" in seen(app)
        assert "1 Loss" in seen(app)
        await settle(app, pilot)
        await pilot.press("9", "9")
        await settle(app, pilot)
        assert "The panel 2 Now failed" in seen(app)


async def test_a_run_without_any_gradient_or_validation_is_shown(tmp_path: Path) -> None:
    folder = make_folder(tmp_path)
    recorder = Recorder(folder)
    recorder.scalars(("train/loss",), 1, 1.8e9, 1.0, [float("nan")])
    recorder.close()
    write_state(folder, "running", step=1)
    async with dashboard(folder) as (app, _):
        assert "NaN" in seen(app)


async def test_many_tensors_do_not_matter(tmp_path: Path) -> None:
    folder = make_folder(tmp_path, name="large")
    record(folder, num_steps=20, layers=tuple(f"block.{n}.linear.weight" for n in range(1000)))
    write_state(folder, "running", step=20)
    async with dashboard(folder) as (app, pilot):
        await pilot.press("3", "3", "end")
        await pilot.pause()
        assert "/1000" in seen(app)
