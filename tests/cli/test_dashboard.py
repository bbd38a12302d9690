"""What the command says and leaves when its dashboard was left."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from sgdb_engine.recording.folder import find_runs, is_alive, read_status
from tests.cli.conftest import CONFIG, files
from tests.terminal.pseudo_terminal import SGDB, Terminal

pytestmark = pytest.mark.slow
PATIENCE_S = 40
SLOW = """
import time
from torch import nn
class Net(nn.Linear):
    def __init__(self): super().__init__(13, 3)
    def forward(self, x):
        time.sleep(0.2)
        return super().forward(x)
"""

Open = Callable[..., Terminal]


@pytest.fixture
def sgdb(folder: Path) -> Iterator[Open]:
    """Calls `sgdb` on a terminal; what is left of it is ended."""
    opened: list[Terminal] = []

    def call(*arguments: str, term: str = "xterm-256color") -> Terminal:
        os.environ.pop("TORCHINDUCTOR_CACHE_DIR", None)
        command = ["env", f"TERM={term}", *SGDB.split(), *arguments]
        opened.append(Terminal(command, folder, rows=40, columns=120))
        return opened[-1]

    yield call
    for terminal in opened:
        if not terminal.child.closed:
            terminal.child.close(force=True)


def slow_model(folder: Path) -> None:
    (folder / "slow_net.py").write_text(SLOW)
    (folder / "run.toml").write_text(CONFIG.replace('name = "mlp"', 'use = "slow_net:Net"'))


def wait_until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def engines_of(terminal: Terminal) -> list[psutil.Process]:
    return [
        child
        for child in psutil.Process(terminal.child.pid).children()
        if "sgdb_engine.host" in child.cmdline()
    ]


def gone(process: psutil.Process) -> bool:
    return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE


def test_a_dumb_terminal_gets_plain_lines(sgdb: Open) -> None:
    terminal = sgdb("run", "run.toml", term="dumb")
    assert terminal.wait_for_exit() == 0
    text = terminal.text()
    assert "sgdb: finished" in text
    assert "val accuracy" in text


@pytest.mark.parametrize("command", ["run", "check"])
def test_a_refusal_ends_the_dashboard_and_is_told_below_it(
    sgdb: Open, folder: Path, tmp_path: Path, command: str
) -> None:
    (folder / "no_data.py").write_text(
        "import numpy as np\ndef make(): return np.zeros((0, 4)), np.zeros(0, dtype=int)\n"
    )
    (folder / "run.toml").write_text(CONFIG.replace('name = "wine"', 'use = "no_data:make"'))
    terminal = sgdb(command, "run.toml")
    assert terminal.wait_for_exit() == 2
    assert "sgdb: run.toml: data" in terminal.text()
    assert "there are no data" in terminal.text()
    assert not list(folder.glob("runs/*"))
    assert files(tmp_path / "temporary") == set()


def test_leaving_a_run_early_does_not_end_it(sgdb: Open, folder: Path) -> None:
    terminal = sgdb("run", "run.toml", "--set", "train.epochs=400")
    terminal.wait_for("small")
    terminal.press("q")
    assert terminal.wait_for_exit() == 0
    (run,) = find_runs(folder / "runs")
    assert "goes on" in terminal.text() or "finished" in terminal.text()
    wait_until(lambda: read_status(run).exit_code is not None)
    assert (read_status(run).state, read_status(run).step) == ("finished", 2000)


def test_attach_to_an_ended_run_looks_and_leaves_with_0(sgdb: Open, folder: Path) -> None:
    assert sgdb("run", "run.toml", term="dumb").wait_for_exit() == 0
    terminal = sgdb("attach")
    terminal.wait_for("FINISHED")
    terminal.press("q")
    assert terminal.wait_for_exit() == 0
    assert "finished at step 10" in terminal.text()


@pytest.mark.parametrize(
    ("setting", "word", "code"), [("optimizer.lr=1e-3", "pass", 0), ("optimizer.lr=0", "fail", 1)]
)
def test_the_verdict_of_a_check_stays_in_the_terminal_and_nothing_else_stays(
    sgdb: Open, folder: Path, tmp_path: Path, setting: str, word: str, code: int
) -> None:
    terminal = sgdb("check", "run.toml", "--set", setting, "--set", "train.epochs=60")
    terminal.wait_for(f" {word.upper()} ")
    terminal.press("q")
    assert terminal.wait_for_exit() == code
    assert f"{word}: overfit-one-batch" in terminal.text()
    assert "attach" not in terminal.text()
    assert files(folder) == {"run.toml"}
    assert files(tmp_path / "temporary") == set()


def test_a_check_that_is_left_before_its_verdict_ends_and_says_that_nothing_is_proven(
    sgdb: Open, folder: Path, tmp_path: Path
) -> None:
    slow_model(folder)
    terminal = sgdb("check", "run.toml")
    terminal.wait_for("CHECKING")
    (engine,) = engines_of(terminal)
    terminal.press("q")
    assert terminal.wait_for_exit() == 130
    assert "nothing is proven" in terminal.text()
    assert gone(engine)
    assert files(folder) == {"run.toml", "slow_net.py"}
    assert files(tmp_path / "temporary") == set()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGHUP, signal.SIGTERM])
def test_a_check_whose_command_is_killed_leaves_nothing(
    sgdb: Open, folder: Path, tmp_path: Path, number: signal.Signals
) -> None:
    slow_model(folder)
    terminal = sgdb("check", "run.toml")
    terminal.wait_for("CHECKING")
    (engine,) = engines_of(terminal)
    os.kill(terminal.child.pid, number)
    wait_until(lambda: gone(engine))
    terminal.wait_for_exit()
    assert files(folder) == {"run.toml", "slow_net.py"}
    assert {name for name in files(tmp_path / "temporary") if "sgdb" in name} == set()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGHUP])
def test_a_check_whose_command_is_killed_while_it_shows_the_verdict_leaves_nothing(
    sgdb: Open, tmp_path: Path, number: signal.Signals
) -> None:
    terminal = sgdb("check", "run.toml")
    terminal.wait_for("Press Enter to start the run")
    (engine,) = engines_of(terminal)
    os.kill(terminal.child.pid, number)
    wait_until(lambda: gone(engine))
    assert {name for name in files(tmp_path / "temporary") if "sgdb" in name} == set()


def test_an_engine_that_was_killed_is_called_lost_and_its_run_kept(sgdb: Open, folder: Path) -> None:
    terminal = sgdb("run", "run.toml", "--set", "train.epochs=1000000")
    terminal.wait_for("RUNNING")
    (engine,) = engines_of(terminal)
    engine.kill()
    terminal.wait_for("LOST")
    terminal.press("q")
    terminal.wait_for_exit()
    assert "was lost at step" in terminal.text()
    (run,) = find_runs(folder / "runs")
    assert not is_alive(read_status(run))
