"""The command as a process: signals, closed pipes, what is imported."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sgdb_engine.recording.folder import find_runs, is_alive, read_status
from tests.cli.conftest import CONFIG, files

ROOT = Path(__file__).parents[2]
PATIENCE_S = 60
ENDLESS = ["--set", "train.epochs=1000000", "--set", "data.validation=0"]
SLOW = """
import time
from torch import nn
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(13, 3)
    def forward(self, x):
        time.sleep({seconds})
        return self.layer(x)
"""

Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts `sgdb` in the current folder; what is left of it is killed."""
    begun: list[subprocess.Popen[str]] = []
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "engine"), str(ROOT / "tui")])}
    env |= {"OMP_NUM_THREADS": "1", "TMPDIR": str(tmp_path / "temporary")}
    del env["TORCHINDUCTOR_CACHE_DIR"]

    def run(
        *arguments: str, python: tuple[str, ...] = ("-m", "sgdb"), **options: object
    ) -> "subprocess.Popen[str]":
        pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options}
        begun.append(
            subprocess.Popen([sys.executable, *python, *arguments], text=True, env=env, **pipes)  # type: ignore[call-overload]
        )
        return begun[-1]

    yield run
    for process in begun:
        if process.poll() is None:
            process.kill()
        process.communicate()


def own_model(folder: Path, seconds: float) -> None:
    (folder / "slow_model.py").write_text(SLOW.format(seconds=seconds))
    (folder / "run.toml").write_text(CONFIG.replace('name = "mlp"', 'use = "slow_model:Net"'))


def wait_until(condition: Callable[[], object], process: "subprocess.Popen[str]") -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.05)


def steps_made() -> int:
    runs = find_runs(Path("runs"))
    return read_status(runs[0]).step if runs and (runs[0] / "status.json").exists() else 0


def is_training(folder: Path) -> bool:
    """Whether a check that runs beneath that folder has described its model."""
    return any(
        "finished" in path.read_text() or '"run"' in path.read_text() for path in folder.rglob("events.jsonl")
    )


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_stops_a_run_in_good_order_with_a_checkpoint(
    start: Start, number: signal.Signals, code: int
) -> None:
    process = start("run", "run.toml", "--headless", "--json", "out.json", *ENDLESS)
    wait_until(steps_made, process)
    process.send_signal(number)
    stdout, stderr = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == code
    assert stdout == ""
    assert "stopping at the next step; once more ends it at once" in stderr
    assert "Traceback" not in stderr
    summary = json.loads(Path("out.json").read_text())
    assert summary["status"] == "stopped"
    (run,) = find_runs(Path("runs"))
    status = read_status(run)
    assert (status.state, status.exit_code, status.step) == ("stopped", code, summary["steps"])
    assert len(list((run / "checkpoints").glob("*/MANIFEST.json"))) == 1
    assert not Path(status.socket).exists()


@pytest.mark.slow
def test_a_second_interrupt_ends_a_run_at_once(start: Start, folder: Path) -> None:
    own_model(folder, 0.2)
    process = start("run", "run.toml", "--headless", *ENDLESS)
    wait_until(steps_made, process)
    (folder / "slow_model.py").write_text("")
    own_model(folder, 0.2)
    process.send_signal(signal.SIGINT)
    process.send_signal(signal.SIGINT)
    time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    assert process.wait(PATIENCE_S) == 130
    (run,) = find_runs(Path("runs"))
    status = read_status(run)
    assert (status.state, status.exit_code) == ("stopped", 130)
    assert not is_alive(status)
    assert not Path(status.socket).exists()


@pytest.mark.slow
def test_an_interrupt_reaches_a_run_that_is_stuck_in_its_model(start: Start, folder: Path) -> None:
    own_model(folder, 1000)
    process = start("run", "run.toml", "--headless")
    wait_until(
        lambda: find_runs(Path("runs")) and (find_runs(Path("runs"))[0] / "status.json").exists(), process
    )
    time.sleep(1)
    process.send_signal(signal.SIGINT)
    time.sleep(0.3)
    process.send_signal(signal.SIGINT)
    assert process.wait(10) == 130


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_check_that_is_interrupted_leaves_no_trace(
    start: Start, folder: Path, tmp_path: Path, number: signal.Signals, code: int
) -> None:
    own_model(folder, 0.05)
    before = files(folder)
    process = start("check", "run.toml", "--headless")
    wait_until(lambda: is_training(tmp_path / "temporary"), process)
    process.send_signal(number)
    _, stderr = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == code, stderr
    assert "Traceback" not in stderr
    assert files(folder) == before
    assert files(tmp_path / "temporary") == set()


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(12))
def test_a_check_that_is_interrupted_at_any_time_leaves_no_trace(
    start: Start, folder: Path, tmp_path: Path, seed: int
) -> None:
    own_model(folder, 0.02)
    before = files(folder)
    chance = random.Random(seed)
    process = start("check", "run.toml", "--headless")
    assert process.stderr is not None
    if seed % 3:  # else somewhere in its first imports
        process.stderr.readline()
    time.sleep(chance.uniform(0, 3))
    for _ in range(1 + seed % 2):
        process.send_signal(signal.SIGINT)
        time.sleep(0.01)
    process.communicate(timeout=PATIENCE_S)
    assert process.returncode in (130, -signal.SIGINT)  # the latter while Python itself is starting
    assert files(folder) == before
    assert files(tmp_path / "temporary") == set()
    sockets = [path for path in (tmp_path / "state").rglob("*") if not path.is_dir()]
    assert sockets == []


@pytest.mark.slow
def test_workers_that_load_data_do_not_die_of_the_interrupt_that_stops_the_run(
    start: Start, folder: Path
) -> None:
    (folder / "loaded_data.py").write_text(
        "import torch\n"
        "class Points(torch.utils.data.Dataset):\n"
        "    classes = list('abc')\n"
        "    def __len__(self): return 64\n"
        "    def __getitem__(self, index): return torch.randn(13), index % 3\n"
        "def make(): return Points(), None\n"
    )
    (folder / "run.toml").write_text(CONFIG.replace('name = "wine"', 'use = "loaded_data:make"\nworkers = 2'))
    process = start("run", "run.toml", "--headless", "--set", "train.epochs=1000000", start_new_session=True)
    wait_until(steps_made, process)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does
    _, stderr = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 130, stderr
    assert read_status(find_runs(Path("runs"))[0]).state == "stopped"
    assert "Traceback" not in stderr


@pytest.mark.slow
def test_a_reader_of_the_progress_that_goes_away_does_not_end_the_training(start: Start) -> None:
    process = start("run", "run.toml", "--headless", "--set", "train.epochs=200")
    assert process.stderr is not None
    process.stderr.readline()
    process.stderr.close()
    process.stderr = None
    assert process.wait(PATIENCE_S) == 0
    assert read_status(find_runs(Path("runs"))[0]).state == "finished"


@pytest.mark.slow
@pytest.mark.parametrize("command", ["run", "check"])
def test_without_a_terminal_textual_is_never_imported(start: Start, command: str) -> None:
    program = (
        "import os, sys\n"
        "sys.argv[0], leave = 'sgdb', os._exit\n"
        "def tell(code):\n"
        "    print(code, 'textual' in sys.modules, 'sgdb_tui' in sys.modules, flush=True)\n"
        "    leave(code)\n"
        "os._exit = tell  # by which a check ends\n"
        "from sgdb.__main__ import main\n"
        "try:\n    main()\n"
        "except SystemExit as end: tell(end.code)\n"
    )
    process = start(command, "run.toml", python=("-c", program))
    stdout, stderr = process.communicate(timeout=PATIENCE_S)
    assert stdout.split() == ["0", "False", "False"], stderr


def test_help_imports_neither_torch_nor_textual(start: Start) -> None:
    program = (
        "import sys\n"
        "from sgdb.__main__ import main\n"
        "try:\n    main()\n"
        "except SystemExit: print('torch' in sys.modules, 'textual' in sys.modules, file=sys.stderr)\n"
    )
    for arguments in (["--help"], ["--version"], ["ls"], ["run", "--help"]):
        _, stderr = start(*arguments, python=("-c", program)).communicate(timeout=PATIENCE_S)
        assert stderr.split() == ["False", "False"]


def test_a_module_here_named_like_one_of_the_standard_library_does_not_break_the_command(
    start: Start, folder: Path
) -> None:
    for name in ("queue", "select", "types", "click", "msgspec"):
        (folder / f"{name}.py").write_text("raise RuntimeError('the wrong module')")
    stdout, stderr = start("ls").communicate(timeout=PATIENCE_S)
    assert "no runs" in stdout, stderr
