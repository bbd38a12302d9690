"""Scripts of strangers under the dashboard: there is no terminal for them, and they are controlled like any run."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from sgdb_engine.recording.folder import find_runs, read_status
from tests.terminal.pseudo_terminal import SGDB, Terminal
from tests.terminal.test_hang_up import steps_recorded, wait_until_ended

pytestmark = pytest.mark.slow
SIZES = pytest.mark.parametrize(("rows", "columns"), [(24, 80), (40, 120)])
SCRIPT = """
import sys, time, torch
from torch import nn
torch.manual_seed(0)
model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 1))
optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
for step in range(int(sys.argv[1])):
    x = torch.randn(32, 8)
    optimizer.zero_grad()
    nn.functional.mse_loss(model(x), x.sum(1, keepdim=True)).backward()
    optimizer.step()
    time.sleep(0.005)
    {each_step}
{at_the_end}
"""

Open = Callable[..., Terminal]


def write(folder: Path, each_step: str = "pass", at_the_end: str = "pass") -> None:
    (folder / "train.py").write_text(SCRIPT.format(each_step=each_step, at_the_end=at_the_end))


def step_on(text: str) -> int:
    found = re.search(r"step ([\d,]+)", text)
    assert found, text
    return int(found.group(1).replace(",", ""))


@SIZES
def test_it_can_be_paused_stepped_and_stopped_and_no_checkpoint_is_promised(
    open_terminal: Open, tmp_path: Path, rows: int, columns: int
) -> None:
    write(tmp_path)
    terminal = open_terminal([*SGDB.split(), "run", "train.py", "100000"], rows=rows, columns=columns)
    terminal.wait_for("RUNNING")
    terminal.press(" ")
    paused_at = step_on(terminal.wait_for("PAUSED"))
    terminal.press("s")
    terminal.wait_for(lambda text: step_on(text) == paused_at + 1 and "PAUSED" in text)
    terminal.press("Q")
    question = terminal.wait_for("what the script has saved itself")
    assert "checkpoint" not in question
    terminal.press("\r")
    terminal.wait_for("STOPPED")
    terminal.press("q")
    assert terminal.wait_for_exit() == 0
    (folder,) = find_runs(tmp_path / "runs")
    assert (read_status(folder).state, read_status(folder).step) == ("stopped", paused_at + 1)
    assert not (folder / "checkpoints").exists()


@SIZES
def test_a_breakpoint_pauses_it_where_it_stands_and_space_goes_on(
    open_terminal: Open, tmp_path: Path, rows: int, columns: int
) -> None:
    write(tmp_path, each_step="if step == 9: breakpoint()")
    terminal = open_terminal([*SGDB.split(), "run", "train.py", "20"], rows=rows, columns=columns)
    assert step_on(terminal.wait_for("PAUSED")) == 10
    terminal.press("9" if columns < 120 else "99")
    terminal.wait_for(lambda text: "train.py:13:paused,spacegoeson" in "".join(text.replace("▌", "").split()))
    terminal.press(" ")
    terminal.wait_for("FINISHED")
    terminal.press("q")
    assert terminal.wait_for_exit() == 0


def test_it_finds_the_end_of_its_input_at_once(open_terminal: Open, tmp_path: Path) -> None:
    write(tmp_path, at_the_end="try: input('overwrite? ')\nexcept EOFError: print('nobody there')")
    terminal = open_terminal([*SGDB.split(), "run", "train.py", "20"], rows=40, columns=120)
    terminal.wait_for("FINISHED")
    (folder,) = find_runs(tmp_path / "runs")
    assert "overwrite? nobody there" in (folder / "output.log").read_text()
    terminal.press("q")
    assert terminal.wait_for_exit() == 0


def test_a_progress_bar_is_one_line_of_the_log(open_terminal: Open, tmp_path: Path) -> None:
    write(
        tmp_path,
        each_step=r"sys.stderr.write(f'\r{step + 1:>3}/40 batches'); sys.stderr.flush()",
        at_the_end="print(); print('all done')",
    )
    terminal = open_terminal([*SGDB.split(), "run", "train.py", "40"], rows=40, columns=120)
    terminal.wait_for("FINISHED")
    terminal.press("9")
    screen = terminal.wait_for("all done")
    assert screen.count("/40 batches") == 1
    assert "40/40 batches" in screen
    terminal.press("q")
    assert terminal.wait_for_exit() == 0


def test_its_traceback_is_whole_and_its_exit_code_is_told(open_terminal: Open, tmp_path: Path) -> None:
    write(tmp_path, at_the_end="raise ValueError('the model broke')")
    terminal = open_terminal(["bash", "--norc"], rows=40, columns=120)
    terminal.press(f"{SGDB} run train.py 20; echo code $?\n")
    assert "the model broke" in terminal.wait_for("FAILED")
    terminal.press("q")
    terminal.wait_for("code 1")
    (folder,) = find_runs(tmp_path / "runs")
    log = (folder / "output.log").read_text()
    assert 'Traceback (most recent call last):\n  File "' in log
    assert "train.py\", line 14, in <module>\n    raise ValueError('the model broke')" in log
    assert "sgdb_engine" not in log


@pytest.mark.parametrize(
    ("command", "steps"), [("run train.py", 400), ("run --nproc 2 train.py", 600)], ids=["one", "two ranks"]
)
def test_when_the_terminal_is_lost_it_goes_on_to_its_end(
    command: str, steps: int, open_terminal: Open, tmp_path: Path
) -> None:
    write(tmp_path)
    terminal = open_terminal(["bash", "--norc"], rows=40, columns=120)
    terminal.press(f"{SGDB} {command} {steps}\n")
    terminal.wait_for(lambda text: "RUNNING" in text and step_on(text) > 10)
    (folder,) = find_runs(tmp_path / "runs")
    terminal.hang_up()
    wait_until_ended(folder)
    status = read_status(folder)
    assert (status.state, status.step, status.exit_code) == ("finished", steps, 0)
    assert steps_recorded(folder).tolist() == list(range(1, steps + 1))
