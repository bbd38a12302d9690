"""The check, live: stages, the fall towards the floor, the verdict and its reason."""

from pathlib import Path

import pytest

from sgdb_engine.events import CheckStage
from sgdb_engine.recording.writer import Recorder
from sgdb_tui.widgets.chart import Chart
from sgdb_tui.widgets.verdict import excess_bar, verdict
from tests.tui.app.driving import dashboard, first_line, seen
from tests.tui.app.recorded import make_folder, record_check, write_state


def a_check(tmp_path: Path, status: str) -> Path:
    folder = make_folder(tmp_path, mode="check", name="digits")
    record_check(folder, status=status)
    write_state(folder, "running" if status == "running" else "finished", step=300)
    return folder


@pytest.mark.parametrize(
    ("status", "word"), [("pass", "PASS"), ("fail", "FAIL"), ("inconclusive", "INCONCLUSIVE")]
)
async def test_the_verdict_and_its_reason_are_seen_at_80_by_24(
    tmp_path: Path, status: str, word: str
) -> None:
    async with dashboard(a_check(tmp_path, status), (80, 24)) as (app, _):
        screen = seen(app)
        assert word in first_line(app)
    reason = "learnt one batch by heart" if status == "pass" else "The loss hardly moved"
    assert reason in screen
    assert "passes below 10 %" in screen
    assert "overfit one batch" in screen


async def test_while_it_runs_it_says_what_it_does(tmp_path: Path) -> None:
    async with dashboard(a_check(tmp_path, "running"), (80, 24)) as (app, _):
        assert "RUNNING" in first_line(app)
        assert "One batch, held still" in seen(app)
        assert "space pause" in seen(app)


async def test_the_floor_and_the_way_to_it_are_on_the_log_axis(tmp_path: Path) -> None:
    async with dashboard(a_check(tmp_path, "pass"), (120, 40)) as (app, _):
        loss = app.screen.query_one("#loss", Chart)
        assert loss.log_y
        assert [name for _, name in loss.levels] == ["floor", "pass below"]
        assert loss.levels[1][0] == pytest.approx(0.02 + 0.1 * (2.4 - 0.02))
        assert "floor" in seen(app)


def test_the_stage_that_runs_speaks_first_then_the_worst() -> None:
    passed = CheckStage(name="a", status="pass")
    failed = CheckStage(name="b", status="fail")
    running = CheckStage(name="c", status="running")
    assert verdict([passed, failed, running]) is running
    assert verdict([passed, failed]) is failed
    assert verdict([]) is None


def test_the_bar_is_empty_at_the_start_and_full_near_zero() -> None:
    assert "━" not in excess_bar(1.0, 0.1, 20)
    assert excess_bar(0.01, 0.1, 20).count("━") == 19
    assert "━" not in excess_bar(float("nan"), 0.1, 20)
    assert excess_bar(0.1, 0.1, 20).index("│") == 10


async def test_a_loss_that_explodes_is_said_to_grow(tmp_path: Path) -> None:
    folder = a_check(tmp_path, "fail")
    recorder = Recorder(folder)
    for step, excess in enumerate((1e20, float("nan")), start=301):
        recorder.scalars(("check/excess",), step, 1.8e9, 9.0, [excess])
    recorder.close()
    async with dashboard(folder, (80, 24)) as (app, _):
        assert "has grown out of all bounds" in seen(app)
