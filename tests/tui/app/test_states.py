"""Every state of a run has its look: starting, paused, ended, failed, lost."""

from collections.abc import Callable
from pathlib import Path

from sgdb_engine.events import StateChanged, TrainingFailed
from sgdb_engine.recording.writer import Recorder
from sgdb_tui.widgets.status_line import StatusLine
from tests.tui.app.driving import dashboard, first_line, last_line, seen, settle
from tests.tui.app.recorded import CREATED, make_folder, write_state

TRACEBACK = 'Traceback (most recent call last):\n  File "train.py", line 7, in step\nValueError: bad batch\n'


async def test_while_it_starts_it_says_what_happens_and_for_how_long(empty_run: Path) -> None:
    (empty_run / "output.log").write_text("downloading nothing\n")
    async with dashboard(empty_run, (80, 24)) as (app, _):
        screen = seen(app)
    assert "STARTING" in screen
    assert "importing torch" in screen
    assert "downloading nothing" in screen
    assert "1 Loss" not in screen


async def test_a_paused_run_never_looks_like_a_running_one(small_run: Callable[..., Path]) -> None:
    folder = small_run()
    async with dashboard(folder, (80, 24)) as (app, pilot):
        running = app.screen.query_one(StatusLine).styles.background
        write_state(folder, "paused", step=60)
        await settle(app, pilot)
        assert "PAUSED" in first_line(app)
        assert "step 60" in first_line(app)
        assert "it/s" not in first_line(app)
        assert app.screen.query_one(StatusLine).styles.background != running
        assert "space resume" in last_line(app)


async def test_an_ended_run_offers_no_control(small_run: Callable[..., Path]) -> None:
    async with dashboard(small_run("finished"), (80, 24)) as (app, pilot):
        assert "FINISHED" in first_line(app)
        assert last_line(app).startswith(" q quit")
        assert "pause" not in last_line(app)
        await pilot.press("space", "s", "Q")
        assert app.view.asked == ""


async def test_a_failure_shows_error_and_traceback_without_a_key(small_run: Callable[..., Path]) -> None:
    folder = small_run()
    recorder = Recorder(folder)
    recorder.event(TrainingFailed(step=60, error="ValueError: bad batch", traceback=TRACEBACK))
    recorder.event(StateChanged(state="failed", step=60))
    recorder.close()
    async with dashboard(folder, (80, 24)) as (app, _):
        assert "FAILED" in first_line(app)
        assert "ValueError: bad batch" in first_line(app)
        assert 'File "train.py", line 7' in seen(app)


async def test_a_failure_before_the_first_step_shows_its_traceback(tmp_path: Path) -> None:
    folder = make_folder(tmp_path)
    recorder = Recorder(folder)
    recorder.event(TrainingFailed(error="ValueError: bad batch", traceback=TRACEBACK))
    recorder.event(StateChanged(state="failed"))
    recorder.close()
    write_state(folder, "failed", step=0)
    async with dashboard(folder, (80, 24)) as (app, _):
        assert "It failed before the first step" in seen(app)
        assert 'File "train.py", line 7' in seen(app)


async def test_an_engine_that_is_gone_without_a_word_is_lost(small_run: Callable[..., Path]) -> None:
    folder = small_run(pid=2**22 - 1)
    (folder / "output.log").write_text("last words\n")
    async with dashboard(folder, (80, 24)) as (app, _):
        assert "LOST" in first_line(app)
        assert "ended without a word" in seen(app)
        assert "1 Loss" in seen(app), "what was recorded is still there"


async def test_an_engine_that_ends_is_seen_as_ended_not_lost(small_run: Callable[..., Path]) -> None:
    folder = small_run()
    async with dashboard(folder, (80, 24)) as (app, pilot):
        write_state(folder, "stopped", step=60, pid=2**22 - 1)
        await settle(app, pilot)
        assert "STOPPED" in first_line(app)


async def test_the_newer_of_event_and_status_wins(small_run: Callable[..., Path]) -> None:
    folder = small_run()
    recorder = Recorder(folder)
    recorder.event(StateChanged(state="paused", step=60, wall=CREATED + 800))
    recorder.close()
    async with dashboard(folder, (80, 24)) as (app, _):
        assert "PAUSED" in first_line(app)
