"""The first frame comes first; what it is to show is begun behind it."""

from pathlib import Path

import pytest

from sgdb_engine.errors import SgdbError
from sgdb_tui.app import SgdbApp
from tests.terminal.pseudo_terminal import ROOT, SGDB, Terminal
from tests.tui.app.driving import seen
from tests.tui.app.recorded import make_folder


async def test_the_run_begins_once_when_the_first_frame_says_that_it_is_starting(tmp_path: Path) -> None:
    frames: list[str] = []
    app = SgdbApp(make_folder(tmp_path), begin=lambda: frames.append(seen(app)))
    async with app.run_test(size=(80, 24)) as pilot:
        while not app.view.caught_up:
            await pilot.pause(0.01)
        await pilot.pause(0.6)  # a poll more
    (frame,) = frames
    assert "STARTING" in frame.splitlines()[0]
    assert "is starting" in frame
    assert "Loss" not in frame, "no empty panel flashes by"


async def test_what_cannot_begin_ends_the_dashboard_and_is_kept_for_the_command(tmp_path: Path) -> None:
    def begin() -> None:
        raise SgdbError("no process can be started")

    app = SgdbApp(make_folder(tmp_path), begin=begin)
    async with app.run_test() as pilot:
        while app.is_running:
            await pilot.pause(0.01)
    assert str(app.refusal) == "no process can be started"


@pytest.mark.slow
def test_a_key_faster_than_the_first_frame_leaves_a_run_that_goes_on(tmp_path: Path) -> None:
    config = ROOT / "sample_configs" / "five_points.toml"
    terminal = Terminal([*SGDB.split(), "run", "--max-steps", "3", str(config)], tmp_path)
    terminal.press("q")
    assert terminal.wait_for_exit() == 0
    assert "goes on" in terminal.text() or "stopped at step 3" in terminal.text()
