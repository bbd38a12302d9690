"""The check, live: its stages, its curves, what is wrong and why, and the way on to the run."""

from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from sgdb_engine.events import CheckStage, FindingChanged, StateChanged, TrainingFailed
from sgdb_engine.recording.writer import Recorder
from sgdb_tui.bridge import RunView
from sgdb_tui.preflight import STAGES, all_stages
from sgdb_tui.widgets.chart import Chart
from sgdb_tui.widgets.stages import Stages
from sgdb_tui.widgets.start_ranges import StartRanges
from tests.tui.app.checked import NO_ZERO_GRAD, NOT_LEARNT, RATE_HIGH, recorded_check
from tests.tui.app.driving import dashboard, first_line, last_line, seen, settle
from tests.tui.app.recorded import CREATED, make_folder, write_state

SIZES = [(80, 24), (120, 40)]
Golden = Callable[[str, str], None]


@pytest.fixture(autouse=True)
def _clock_stands_still(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(RunView, "elapsed_s", property(lambda self: 12.0))


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("how", ["running", "pass", "fail"])
async def test_it_looks_as_it_did(tmp_path: Path, golden: Golden, how: str, size: tuple[int, int]) -> None:
    async with dashboard(recorded_check(tmp_path, how), size) as (app, _):
        golden(f"check-{how}-{size[0]}x{size[1]}", seen(app))


def test_the_stages_are_those_of_the_engine_in_its_order() -> None:
    from sgdb_engine.checks import preflight  # imports torch

    assert tuple(STAGES) == preflight.STAGES


def test_stages_that_have_not_begun_and_those_of_another_version_have_a_row() -> None:
    rows = all_stages([CheckStage(name="new", status="pass"), CheckStage(name="data", status="pass")])
    assert [name for name, _ in rows] == [*STAGES, "new"]
    assert [name for name, stage in rows if stage is not None] == ["data", "new"]


async def test_before_the_first_stage_all_of_them_are_seen_and_what_is_done(tmp_path: Path) -> None:
    folder = make_folder(tmp_path, mode="check", name="digits")
    write_state(folder, "starting", step=0, message="importing torch")
    async with dashboard(folder, (80, 24)) as (app, _):
        screen = seen(app)
    assert "importing torch … 12 s" in screen
    assert "memory and time" in screen
    assert "q leave" in screen


@pytest.mark.parametrize("size", SIZES)
async def test_the_verdict_its_cause_what_to_try_and_where_are_seen_at_once(
    tmp_path: Path, size: tuple[int, int]
) -> None:
    async with dashboard(recorded_check(tmp_path, "fail"), size) as (app, _):
        screen = seen(app)
        assert "FAIL" in first_line(app)
    assert "▲ The learning rate 1 is too high" in screen
    assert "train.py:34 → Try a tenth." in screen
    assert "Mend this first" in screen


async def test_consequences_are_folded_under_their_cause(tmp_path: Path) -> None:
    async with dashboard(recorded_check(tmp_path, "fail"), (120, 40)) as (app, pilot):
        lines = seen(app).splitlines()
        cause = next(y for y, line in enumerate(lines) if "5 Findings" in line) + 1
        assert lines[cause].startswith(f" ▲ {RATE_HIGH.message}")
        assert lines[cause + 1].startswith(f"   └ △ {NOT_LEARNT.message}")
        await pilot.press("5", "down")
        await pilot.pause()
        assert NOT_LEARNT.advice in seen(app)


async def test_the_reason_follows_the_check_until_the_cursor_is_moved_and_again_after_escape(
    tmp_path: Path,
) -> None:
    folder = recorded_check(tmp_path, "running")
    async with dashboard(folder, (80, 24)) as (app, pilot):
        assert "▸ ● overfit one batch" in seen(app)
        await pilot.press("up", "up")
        assert "▸ ✓ gradient check" in seen(app)
        assert "Autograd agrees with" in seen(app)
        recorder = Recorder(folder)
        recorder.event(CheckStage(name="rescue", status="running"))
        recorder.close()
        await settle(app, pilot)
        assert "▸ ✓ gradient check" in seen(app)
        await pilot.press("escape")
        assert "▸ ● rescue" in seen(app)


async def test_what_the_loss_is_held_against_is_on_the_chart(tmp_path: Path) -> None:
    async with dashboard(recorded_check(tmp_path, "pass"), (120, 40)) as (app, _):
        overfit = app.screen.query_one("#overfit", Chart)
        (floor, floor_name), (passes, passes_name) = overfit.levels
        assert (floor, floor_name) == (0.02, "floor")
        assert passes == pytest.approx(0.02 + 0.1 * (2.3 - 0.02))
        assert passes_name == "pass below 0.248"
        title = next(line for line in seen(app).splitlines() if "2 One batch" in line)
        assert "yours" in title
        assert "rescue" in title


async def test_the_sweep_is_drawn_over_the_learning_rate_with_its_lowest_place_and_what_to_try(
    tmp_path: Path,
) -> None:
    async with dashboard(recorded_check(tmp_path, "fail"), (120, 40)) as (app, pilot):
        sweep = app.screen.query_one("#lr-range", Chart)
        names = [name for _, name in sweep.places]
        assert names == ["lowest 0.15", "try 0.015", "yours 1"]
        assert [round(place, 2) for place, _ in sweep.places] == [-0.82, -1.82, 0.0]
        await pilot.press("3", "left", "left")
        await pilot.pause()
        assert sweep.cursor_step is not None
        assert app.screen.query_one("#overfit", Chart).cursor_step is None, "its axis is another one"
        title = next(line for line in seen(app).splitlines() if "3 Learning rate" in line)
        assert "lr 0.61" in title


async def test_a_check_that_fails_before_any_curve_shows_what_it_found_in_their_place(tmp_path: Path) -> None:
    async with dashboard(recorded_check(tmp_path, "wiring"), (80, 24)) as (app, _):
        screen = seen(app)
    assert "2 One batch" not in screen
    assert "5 Findings" in screen
    assert "✗ wiring" in screen
    assert NO_ZERO_GRAD.location is not None
    assert f"{NO_ZERO_GRAD.location} → {NO_ZERO_GRAD.advice}" in screen


def names_of_rows(screen: str) -> list[str]:
    """Of the panel of ranges where it is as large as it gets."""
    lines = screen.splitlines()
    title = next(y for y, line in enumerate(lines) if "4 Ranges" in line)
    return [line[1:12].strip() for line in lines[title + 1 : -1] if line[1:12].strip()]


async def test_the_ranges_are_named_by_place_and_name_in_the_order_of_their_call(tmp_path: Path) -> None:
    async with dashboard(recorded_check(tmp_path, "pass"), (80, 24)) as (app, pilot):
        assert "4 Ranges" not in seen(app), "both curves have no room to spare"
        await pilot.press("4")
        await pilot.pause()
        screen = seen(app)
    assert names_of_rows(screen) == [
        *("input", "target", "output", "act fc1", "act relu1", "act fc2"),
        *("fc1.weight", "fc1.bias", "fc2.weight", "fc2.bias"),
    ]
    assert "NON-FINITE: 2 values" in screen


async def test_until_there_is_a_sweep_the_ranges_have_its_place(tmp_path: Path) -> None:
    folder = recorded_check(tmp_path, "running")
    async with dashboard(folder, (80, 24)) as (app, pilot):
        assert "4 Ranges" in seen(app)
        assert "3 Learning rate" not in seen(app)
        recorder = Recorder(folder)
        recorder.scalars(("lr_range/lr", "lr_range/loss"), 1, CREATED + 9, 9.0, [1e-7, 2.3])
        recorder.close()
        await settle(app, pilot)
        assert "4 Ranges" not in seen(app)
        assert "3 Learning rate" in seen(app)


@pytest.mark.parametrize("size", [(80, 40), (120, 40), (80, 60), (200, 60)])
async def test_a_check_without_curves_shows_ranges_findings_and_log(
    tmp_path: Path, size: tuple[int, int]
) -> None:
    async with dashboard(recorded_check(tmp_path, "wiring"), size) as (app, _):
        screen = seen(app)
    for title in ("1 Stages", "4 Ranges", "5 Findings", "6 Log"):
        assert title in screen
    assert "2 One batch" not in screen
    assert "3 Learning rate" not in screen


@pytest.mark.parametrize("size", [(40, 12), (40, 40), (40, 60)])
async def test_a_narrow_terminal_shows_the_stages_alone(tmp_path: Path, size: tuple[int, int]) -> None:
    async with dashboard(recorded_check(tmp_path, "running"), size) as (app, _):
        screen = seen(app)
    assert "1 Stages" in screen
    assert "4 Ranges" not in screen
    assert "2 One batch" not in screen


async def test_w_sorts_the_ranges_and_slash_filters_them(tmp_path: Path) -> None:
    async with dashboard(recorded_check(tmp_path, "pass"), (80, 24)) as (app, pilot):
        await pilot.press("4", "w")
        await pilot.pause()
        assert names_of_rows(seen(app))[0] == "fc2.bias"
        assert "/ filter  w worst first" in last_line(app)
        assert "histogram" not in last_line(app)
        await pilot.press("w", "slash", *"act")
        await pilot.pause()
        assert "keep the filter" in last_line(app)
        await pilot.press("enter")
        await pilot.pause()
        assert app.is_running, "enter keeps the filter, it does not start the run"
        assert names_of_rows(seen(app)) == ["act fc1", "act relu1", "act fc2"]
        assert app.focused is app.screen.query_one(StartRanges)


async def test_what_is_not_seen_is_not_filtered(tmp_path: Path) -> None:
    async with dashboard(recorded_check(tmp_path, "pass"), (80, 24)) as (app, pilot):
        await pilot.press("slash", "w")
        await pilot.pause()
        assert not app.screen.query_one("#filter-line").display
        assert not app.screen.query_one(StartRanges).worst_first


async def test_before_they_are_measured_the_panel_says_when_they_come(tmp_path: Path) -> None:
    folder = make_folder(tmp_path, mode="check", name="digits")
    write_state(folder, "starting", step=0)
    async with dashboard(folder, (120, 40)) as (app, _):
        assert "comes with the stage data" in seen(app)


async def test_a_script_that_raises_is_told_with_its_traceback(tmp_path: Path) -> None:
    folder = recorded_check(tmp_path, "running")
    recorder = Recorder(folder)
    trace = 'Traceback\n  File "train.py", line 7\nValueError: no such file'
    recorder.event(TrainingFailed(error="ValueError: no such file", traceback=trace))
    recorder.event(StateChanged(state="failed"))
    recorder.close()
    write_state(folder, "failed", step=0)
    async with dashboard(folder, (80, 24)) as (app, pilot):
        assert "The script raised ValueError: no such file" in seen(app)
        await pilot.press("6")
        await pilot.pause()
        assert 'File "train.py", line 7' in seen(app)


async def test_enter_while_it_runs_changes_nothing(tmp_path: Path) -> None:
    async with dashboard(recorded_check(tmp_path, "running"), (80, 24)) as (app, pilot):
        await pilot.press("enter")
        await pilot.pause()
        assert app.is_running
        assert "enter" not in last_line(app)


@pytest.mark.parametrize("panel", ["1", "2", "3", "4", "5", "6"])
async def test_enter_after_a_pass_asks_for_the_run_from_any_panel(tmp_path: Path, panel: str) -> None:
    async with dashboard(recorded_check(tmp_path, "pass"), (80, 24)) as (app, pilot):
        assert "Press Enter to start the run." in seen(app)
        await pilot.press(panel, "enter")
        await pilot.pause()
    assert app.return_value is True


async def test_enter_after_a_failure_is_to_be_pressed_twice(tmp_path: Path) -> None:
    async with dashboard(recorded_check(tmp_path, "fail"), (80, 24)) as (app, pilot):
        await pilot.press("enter")
        await pilot.pause()
        assert app.is_running
        assert "Press Enter once more" in seen(app)
        await settle(app, pilot)
        assert "Press Enter once more" in seen(app), "a poll does not forget it"
        await pilot.press("enter")
        await pilot.pause()
    assert app.return_value is True


async def test_q_leaves_without_a_run(tmp_path: Path) -> None:
    async with dashboard(recorded_check(tmp_path, "pass"), (80, 24)) as (app, pilot):
        await pilot.press("q")
        await pilot.pause()
    assert not app.return_value


async def test_keys_of_a_run_do_nothing_in_a_check_and_the_help_does_not_name_them(tmp_path: Path) -> None:
    async with dashboard(recorded_check(tmp_path, "running"), (120, 60)) as (app, pilot):
        await pilot.press("space", "s", "h", "x")
        await pilot.pause()
        assert app.view.asked == ""
        assert not app.screen.query_one(StartRanges).histograms
        assert app.focused is app.screen.query_one(Stages)
        await pilot.press("question_mark")
        await pilot.pause()
        text = seen(app)
    assert "Start the run, once the check is over" in text
    assert "Pause the training" not in text
    assert "histogram" not in text


async def test_a_finding_that_is_only_suspected_says_so(tmp_path: Path) -> None:
    folder = recorded_check(tmp_path, "running")
    recorder = Recorder(folder)
    recorder.event(FindingChanged(finding=msgspec.structs.replace(NOT_LEARNT, state="suspected")))
    recorder.close()
    async with dashboard(folder, (120, 40)) as (app, _):
        assert f"perhaps: {NOT_LEARNT.message}" in seen(app)
