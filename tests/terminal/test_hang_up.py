"""What must survive when the terminal goes away."""

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import psutil
import pytest

from sgdb_engine.events import StateChanged
from sgdb_engine.recording.folder import find_runs, read_status
from sgdb_engine.recording.reader import RunReader, read_scalars
from tests.terminal.pseudo_terminal import PATIENCE_S, ROOT, SGDB, Terminal

CONFIG = ROOT / "sample_configs" / "digits_mlp.toml"
STEPS = 900
SHORT = f"--set train.epochs={STEPS // 45}"


def start_in_bash(open_terminal: Callable[..., Terminal]) -> Terminal:
    """With a shell between the terminal and us: it is the shell that is told of a hang-up, and tells its jobs."""
    terminal = open_terminal(["bash", "--norc"], rows=40, columns=120)
    terminal.press(f"{SGDB} run {SHORT} {CONFIG}\n")
    return terminal


def wait_until_ended(folder: Path) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        if read_status(folder).exit_code is not None:
            return
        time.sleep(0.1)
    raise AssertionError(f"the run has not ended: {read_status(folder)}")


def steps_recorded(folder: Path) -> np.ndarray:
    return read_scalars(folder, ["train/loss"], 0, 10**9)["train/loss"][0]


@pytest.mark.slow
def test_a_run_goes_on_to_its_end_when_the_terminal_is_lost_and_no_step_is_missing(
    open_terminal: Callable[..., Terminal], tmp_path: Path
) -> None:
    terminal = start_in_bash(open_terminal)
    terminal.wait_for(lambda text: "RUNNING" in text and "step 0/" not in text)
    (folder,) = find_runs(tmp_path / "runs")
    before = read_status(folder)
    terminal.hang_up()
    wait_until_ended(folder)

    status = read_status(folder)
    assert before.step < STEPS
    assert (status.state, status.step, status.exit_code) == ("finished", STEPS, 0)
    assert steps_recorded(folder).tolist() == list(range(1, STEPS + 1))
    states = [event.state for event in RunReader(folder).poll().events if isinstance(event, StateChanged)]
    assert states == ["running", "finished"]


@pytest.mark.slow
def test_the_dashboard_itself_ends_with_its_terminal(
    open_terminal: Callable[..., Terminal], tmp_path: Path
) -> None:
    terminal = start_in_bash(open_terminal)
    terminal.wait_for("RUNNING")
    (dashboard,) = psutil.Process(terminal.child.pid).children()
    terminal.hang_up()
    psutil.wait_procs([dashboard], timeout=10)
    assert not dashboard.is_running() or dashboard.status() == psutil.STATUS_ZOMBIE
    (folder,) = find_runs(tmp_path / "runs")
    wait_until_ended(folder)


@pytest.mark.slow
def test_after_a_hang_up_attach_shows_the_whole_curve(
    open_terminal: Callable[..., Terminal], tmp_path: Path
) -> None:
    terminal = start_in_bash(open_terminal)
    terminal.wait_for("RUNNING")
    terminal.hang_up()
    (folder,) = find_runs(tmp_path / "runs")
    wait_until_ended(folder)

    again = open_terminal([*SGDB.split(), "attach"], rows=40, columns=120)
    screen = again.wait_for("FINISHED")
    assert f"step {STEPS}/{STEPS}" in screen
    again.press("q")
    assert again.wait_for_exit() == 0
    assert f"sgdb attach {folder.name}" in again.text().replace("\n", "")
