"""`sgdb sweep`: real small grids, each point a process of its own; interrupted, resumed, shared; what is refused."""

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from sgdb_engine.recording.folder import find_runs, is_alive, read_info, read_status
from sgdb_engine.sweep.plan_file import find_sweeps, read_plan
from sgdb_engine.sweep.point_file import newest_runs, read_point
from tests.cli.conftest import CONFIG, Sgdb, files

ROOT = Path(__file__).parents[2]
PATIENCE_S = 90
OWN_MODEL = CONFIG.replace('name = "mlp"', 'use = "own_model:Net"')
SLOW = """
import time
from torch import nn
class Net(nn.Module):
    def __init__(self, seconds):
        super().__init__()
        self.layer, self.seconds = nn.Linear(13, 3), seconds
        if seconds < 0:
            raise ValueError("time does not run backwards")
    def forward(self, x):
        time.sleep(self.seconds)
        return self.layer(x)
"""
SCRIPT = """
import argparse, torch
options = argparse.ArgumentParser()
options.add_argument("--lr", type=float)
options.add_argument("--steps", type=int)
given = options.parse_args()
model = torch.nn.Linear(4, 1)
optimizer = torch.optim.SGD(model.parameters(), lr=given.lr)
for step in range(given.steps):
    x = torch.randn(64, 4)
    optimizer.zero_grad()
    (model(x) - x.sum(1, keepdim=True)).square().mean().backward()
    optimizer.step()
"""
Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts `sgdb sweep` in the current folder; what is left of it, and of its runs, is killed."""
    begun: list[subprocess.Popen[str]] = []
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "engine"), str(ROOT / "tui")])}
    env |= {"OMP_NUM_THREADS": "1"}

    def run(*arguments: str) -> "subprocess.Popen[str]":
        command = [sys.executable, "-m", "sgdb", "sweep", "--headless", *arguments]
        pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        begun.append(subprocess.Popen(command, text=True, env=env, **pipes))  # type: ignore[call-overload]
        return begun[-1]

    yield run
    for process in begun:
        if process.poll() is None:
            process.kill()
        process.communicate()
    for run_folder in tmp_path.rglob("status.json"):
        kill_engine(run_folder.parent)


def kill_engine(run_folder: Path) -> None:
    status = read_status(run_folder)
    if is_alive(status):
        os.kill(status.pid, signal.SIGKILL)


def wait_until(condition: Callable[[], object], process: "subprocess.Popen[str]") -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.05)


def points(folder: Path) -> dict[int, Path]:
    """The newest run folder of each point."""
    return newest_runs(folder, read_plan(folder).id) if (folder / "sweep.json").exists() else {}


def steps(run_folder: Path) -> int:
    return read_status(run_folder).step if (run_folder / "status.json").exists() else 0


def the_sweep(runs_dir: str = "runs") -> Path:
    (folder,) = find_sweeps(Path(runs_dir))
    return folder


def trains(number: int) -> Callable[[], bool]:
    """Whether that point of the only sweep has made a step."""
    return lambda: (
        bool(find_sweeps(Path("runs")))
        and number in points(the_sweep())
        and steps(points(the_sweep())[number]) > 0
    )


def summary(path: str = "out.json") -> dict[str, Any]:
    found: dict[str, Any] = json.loads(Path(path).read_text())
    return found


def states(path: str = "out.json") -> dict[int, str]:
    return {point["point"]: point["state"] for point in summary(path)["points"]}


# -- a sweep, from its beginning to its end --------------------------------------------------------------


@pytest.mark.slow
def test_a_sweep_trains_each_point_and_sorts_them_by_their_best_validation_loss(sgdb: Sgdb) -> None:
    grid = ("--grid", "optimizer.lr=1e-4,100,1e-2")
    result = sgdb("sweep", "run.toml", *grid, "--set", "train.epochs=10", "--json", "out.json", "--headless")
    assert result.exit_code == 0, result.output
    rows = result.stdout.splitlines()
    assert [row.split()[0] for row in rows[:3]] == ["lr", "*", "1e-4"]
    assert "diverged (lr-high)" in rows[3]
    assert summary()["best"] == 3
    assert summary()["compared_by"] == "val/loss"
    assert states() == {1: "finished", 2: "diverged", 3: "finished"}
    best = summary()["points"][0]
    assert best["settings"] == {"optimizer.lr": 0.01}
    assert best["loss"] <= best["metrics"]["val/loss"]
    diverged = Path(summary()["points"][2]["folder"])
    assert read_status(diverged).step < 50
    assert all(line.startswith("sgdb: ") for line in result.stderr.splitlines())
    assert "point 3/3 lr=1e-2: finished after 50 steps" in result.stderr
    assert f"the best: lr=1e-2; look at it with: sgdb attach {best['folder']}" in result.stderr

    assert len(find_runs(the_sweep())) == 3
    assert {read_info(run).config["optimizer"]["lr"] for run in find_runs(the_sweep())} == {1e-4, 100.0, 1e-2}
    listed = sgdb("ls", "--runs-dir", str(the_sweep()))
    assert listed.stdout.count("finished") == 2

    again = sgdb("sweep", "--resume", the_sweep().name)
    assert again.exit_code == 0
    assert again.stdout == result.stdout
    assert "is complete" in again.stderr


@pytest.mark.slow
def test_a_point_that_fails_does_not_end_the_sweep(sgdb: Sgdb, folder: Path) -> None:
    (folder / "own_model.py").write_text(SLOW)
    (folder / "run.toml").write_text(OWN_MODEL)
    arguments = ("sweep", "run.toml", "--headless", "--json", "out.json", "--max-steps", "3")
    result = sgdb(*arguments, "--grid", "model.arguments.seconds=-1,0")
    assert result.exit_code == 0, result.output
    assert states() == {1: "failed", 2: "stopped"}
    assert summary()["best"] == 2
    assert "failed: seconds=-1: " in result.stderr
    assert "time does not run backwards" in result.stderr
    assert "output.log" in result.stderr
    assert sgdb(*arguments, "--grid", "model.arguments.seconds=-1,-2").exit_code == 1
    assert summary()["best"] is None


@pytest.mark.slow
def test_a_script_is_swept_over_its_arguments(sgdb: Sgdb, folder: Path) -> None:
    (folder / "train.py").write_text(SCRIPT)
    result = sgdb(
        *("sweep", "--headless", "--json", "out.json", "--grid", "--lr=1e-4,0.1", "--jobs", "1"),
        *("train.py", "--steps", "60"),
    )
    assert result.exit_code == 0, result.output
    assert (summary()["compared_by"], summary()["best"]) == ("train/loss", 2)
    assert summary()["points"][0]["settings"] == {"--lr": "0.1"}
    assert {read_info(run).target for run in find_runs(the_sweep())} == {
        "train.py --steps 60 --lr 1e-4",
        "train.py --steps 60 --lr 0.1",
    }


# -- interrupted, and taken up again ---------------------------------------------------------------------


@pytest.fixture
def own_model(folder: Path) -> None:
    """A model that takes so many seconds a step, for 100 steps."""
    (folder / "own_model.py").write_text(SLOW)
    (folder / "run.toml").write_text(OWN_MODEL.replace("epochs = 2", "epochs = 20"))


@pytest.mark.slow
@pytest.mark.usefixtures("own_model")
def test_an_interrupted_sweep_says_how_to_go_on_and_keeps_what_is_done(start: Start) -> None:
    process = start(
        "run.toml", "--jobs", "1", "--grid", "model.arguments.seconds=0,0.2", "--json", "out.json"
    )
    wait_until(trains(2), process)
    before = points(the_sweep())
    process.send_signal(signal.SIGINT)
    stdout, stderr = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 130, stderr
    assert "stopping the runs under way" in stderr
    assert f"1 of 2 points are done; go on with: sgdb sweep --resume {the_sweep().name}" in stderr
    assert "interrupted" in stdout
    assert (summary()["status"], states()) == ("interrupted", {1: "finished", 2: "interrupted"})
    assert not any(is_alive(read_status(run)) for run in before.values())

    Path("own_model.py").write_text(SLOW.replace("time.sleep", "float"))
    process = start("--resume", the_sweep().name, "--json", "out.json")
    _, stderr = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0, stderr
    after = points(the_sweep())
    assert after[1] == before[1]
    assert after[2] != before[2]
    assert not before[2].exists()
    assert states() == {1: "finished", 2: "finished"}


@pytest.mark.slow
@pytest.mark.usefixtures("own_model")
@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_a_termination_and_a_hang_up_interrupt_it_too(
    start: Start, number: signal.Signals, code: int
) -> None:
    process = start("run.toml", "--jobs", "1", "--grid", "model.arguments.seconds=0.2,0")
    wait_until(trains(1), process)
    process.send_signal(number)
    _, stderr = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == code
    assert f"0 of 2 points are done; go on with: sgdb sweep --resume {the_sweep().name}" in stderr
    assert not is_alive(read_status(points(the_sweep())[1]))


@pytest.mark.slow
@pytest.mark.usefixtures("own_model")
def test_what_outlives_a_sweep_that_was_killed_is_gone_on_with(start: Start) -> None:
    process = start("run.toml", "--jobs", "1", "--grid", "model.arguments.seconds=0.05,0")
    wait_until(trains(1), process)
    (run,) = points(the_sweep()).values()
    process.kill()
    process.wait()
    assert is_alive(read_status(run))
    process = start("--resume", the_sweep().name, "--json", "out.json", "--jobs", "1")
    _, stderr = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0, stderr
    assert points(the_sweep())[1] == run
    assert read_status(run).step == read_status(points(the_sweep())[2]).step == 100
    assert states() == {1: "finished", 2: "finished"}


@pytest.mark.slow
@pytest.mark.usefixtures("own_model")
def test_a_run_that_is_killed_has_failed_and_a_second_process_is_refused(start: Start) -> None:
    process = start("run.toml", "--jobs", "1", "--grid", "model.arguments.seconds=1,0", "--json", "out.json")
    wait_until(trains(1), process)
    other = start("--resume", the_sweep().name)
    assert "only where it was begun with --shared" in other.communicate(timeout=PATIENCE_S)[1]
    assert other.returncode == 2
    kill_engine(points(the_sweep())[1])
    _, stderr = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0, stderr
    assert states() == {1: "failed", 2: "finished"}
    assert "its process is gone (signal 9)" in stderr


@pytest.mark.slow
@pytest.mark.usefixtures("own_model")
def test_a_second_signal_does_not_wait_for_the_runs(start: Start) -> None:
    process = start("run.toml", "--jobs", "1", "--grid", "model.arguments.seconds=1000,0")
    wait_until(lambda: find_sweeps(Path("runs")) and points(the_sweep()), process)
    (run,) = points(the_sweep()).values()
    wait_until(lambda: "building" in (run / "status.json").read_text(), process)
    process.terminate()
    time.sleep(0.5)
    process.terminate()
    process.communicate(timeout=15)
    assert process.returncode == 143
    assert not is_alive(read_status(run))


# -- shared by several workers ---------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_two_workers_share_a_sweep_and_one_takes_up_what_the_other_loses(start: Start, folder: Path) -> None:
    (folder / "own_model.py").write_text(SLOW)
    (folder / "run.toml").write_text(OWN_MODEL)
    command = (
        *("run.toml", "--shared", "shared", "--jobs", "1", "--set", "train.epochs=5"),
        *("--grid", "model.arguments.seconds=0.05", "--grid", "run.seed=1,2,3,4"),
    )
    doomed, survivor = start(*command), start(*command, "--json", "out.json")
    shared = Path("shared")
    wait_until(
        lambda: any(parent_of(run) == doomed.pid and steps(run) for run in points(shared).values()), doomed
    )
    (lost,) = [run for run in points(shared).values() if parent_of(run) == doomed.pid]
    engine = read_status(lost).pid
    doomed.kill()
    os.kill(engine, signal.SIGKILL)
    _, stderr = survivor.communicate(timeout=PATIENCE_S)
    assert survivor.returncode == 0, stderr
    assert set(states().values()) == {"finished"}
    assert sorted(states()) == [1, 2, 3, 4]
    results = {Path(point["folder"]) for point in summary()["points"]}
    assert lost not in results
    attempts = Counter(point.point for run in find_runs(shared) if (point := read_point(run)))
    lost_point = read_point(lost)
    assert lost_point is not None
    assert attempts == {number: 2 if number == lost_point.point else 1 for number in range(1, 5)}

    joined = start("--resume", "shared")
    stdout, stderr = joined.communicate(timeout=PATIENCE_S)
    assert joined.returncode == 0, stderr
    assert stdout.count("finished") == 4


def parent_of(run: Path) -> int:
    """Process that the engine of a run was started by; 0 where it is gone."""
    try:
        return int(psutil.Process(read_status(run).pid).ppid())
    except (psutil.Error, OSError, ValueError):
        return 0
    except Exception:  # its status is not written yet
        return 0


def test_what_several_machines_need_is_said_where_it_is_missing(
    sgdb: Sgdb, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    monkeypatch.delitem(sys.modules, "sgdb_engine.sweep.shared", raising=False)
    before = files(folder)
    result = sgdb("sweep", "run.toml", "--grid", "optimizer.lr=1,2", "--shared", "shared")
    assert result.exit_code == 2
    assert "pip install 'sgdb[sweep]'" in result.stderr
    assert files(folder) == before


# -- what is refused -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "name a TARGET and its --grid"),
        (("run.toml",), "a sweep needs a grid"),
        (("run.toml", "--grid", "optimizer.lr="), "there are no values"),
        (("run.toml", "--grid", "optimizer.lr=1,2", "--grid", "optimizer.lr=3"), "is given 2 times"),
        (("run.toml", "--grid", "optimizer.lr=fast,slow"), "--grid optimizer.lr=fast,slow: must be a number"),
        (("run.toml", "--grid", "optimizer.lrr=1,2"), "Did you mean 'lr'?"),
        (("run.toml", "--grid", "optimizer.lr=1,2", "--set", "optimizer.lr=1"), "keep one of the two"),
        (("run.toml", "--grid", "optimizer.lr=1,2", "--mute", "nonsense"), 'no finding "nonsense"'),
        (("run.toml", "--grid", "optimizer.lr=1,2", "--json", "no/such/folder"), "cannot be written there"),
        (("nowhere.toml", "--grid", "optimizer.lr=1,2"), "there is no such file"),
        (("run.toml", "--grid", "optimizer.lr=1,2", "--resume", "x"), "leave out TARGET, --grid"),
        (("--resume", "x", "--max-steps", "3"), "leave out --max-steps"),
        (("--resume", "x"), "no sweep x in runs"),
        (("train.py", "--grid", "--lr=1,2"), "options of sgdb stand before it"),
        (("--grid", "optimizer.lr=1,2", "train.py"), "--grid --lr=1,2"),
        (("--grid", "--lr=1,2", "--set", "a.b=1", "train.py"), "--set and --device change a config"),
        (("--grid", "a.b=1,2", "package.module:function"), "takes no values from a grid"),
        (("run.toml", "--grid", "optimizer.lr=1,2", "--shared", "."), "there are other things in it"),
        (("run.toml", "--grid", "optimizer.lr=1,2", "--jobs", "0"), "--jobs"),
    ],
)
def test_what_is_wrong_is_said_and_nothing_is_written(
    sgdb: Sgdb, folder: Path, arguments: tuple[str, ...], said: str
) -> None:
    (folder / "train.py").write_text(SCRIPT)
    before = files(folder)
    result = sgdb("sweep", *arguments)
    assert result.exit_code == 2, result.output
    assert said in result.stderr
    assert "Traceback" not in result.output
    assert files(folder) == before


def test_a_damaged_sweep_is_said_to_be(sgdb: Sgdb, folder: Path) -> None:
    (folder / "runs" / "mine").mkdir(parents=True)
    (folder / "runs" / "mine" / "sweep.json").write_text('{"id": "x"')
    result = sgdb("sweep", "--resume", "mine")
    assert result.exit_code == 2
    assert "sweep.json is damaged" in result.stderr
