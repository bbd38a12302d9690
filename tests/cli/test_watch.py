"""`sgdb.watch()` in somebody's loop: a run like any other, and nothing else changes."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from sgdb.watching import _column
from sgdb_engine.control import ControlClient, Pause, Ping, Resume, Stop
from sgdb_engine.events import TrainingFailed, Validated
from sgdb_engine.recording.folder import find_runs, read_status
from sgdb_engine.recording.reader import RunReader, read_scalars

PATIENCE_S = 60
ENVIRONMENT = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"}

HEAD = """
import sys, threading
import torch
from torch import nn
import sgdb
torch.manual_seed(0)
model = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 1))
optimizer = torch.optim.Adam(model.parameters(), lr=0.1)
def step():
    optimizer.zero_grad()
    loss = model(torch.randn(8, 3)).square().mean()
    loss.backward()
    optimizer.step()
    return loss
"""


def run(folder: Path, body: str, *command: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    (folder / "loop.py").write_text(HEAD + body)
    return subprocess.run(
        [sys.executable, *command, "loop.py"],
        cwd=folder,
        env=ENVIRONMENT | environment,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )


def the_run(folder: Path) -> Path:
    (found,) = find_runs(folder / "runs")
    return found


def column(folder: Path, name: str) -> list[tuple[int, float]]:
    steps, values = read_scalars(the_run(folder), [name], 0, 10**9)[name]
    return list(zip(steps.tolist(), values.tolist(), strict=True))


def events_of(folder: Path) -> list[Any]:
    return list(RunReader(the_run(folder)).poll().events)


def test_a_loop_is_recorded_to_its_end_and_computes_the_same_bits(folder: Path) -> None:
    body = """
{watch}
for _ in range(60): loss = step()
print(loss.item(), [p.sum().item() for p in model.parameters()], torch.get_rng_state().sum().item())
"""
    plain = run(folder, body.format(watch=""))
    watched = run(folder, body.format(watch="sgdb.watch(model, optimizer)"))
    assert (watched.stdout, watched.returncode) == (plain.stdout, 0), watched.stderr
    assert "recording in runs/loop-" in watched.stderr
    status = read_status(the_run(folder))
    assert (status.state, status.step, status.exit_code) == ("finished", 60, 0)
    assert json.loads((the_run(folder) / "summary.json").read_text())["steps"] == 60
    assert [step for step, _ in column(folder, "train/loss")] == list(range(1, 61))


def test_what_is_logged_stands_under_its_step(folder: Path) -> None:
    ran = run(
        folder,
        """
import numpy as np
with sgdb.watch(model, optimizer) as watch:
    sgdb.log(before=1)
    for i in range(3):
        loss = step()
        sgdb.log({"a/b": torch.tensor(i)}, after=np.float32(i), val_loss=loss * (3 - i), wrong="text")
    thread = threading.Thread(target=lambda: sgdb.log(elsewhere=7.5))
    thread.start()
    thread.join()
sgdb.log(too_late=1)
print(watch.folder)
""",
    )
    assert ran.returncode == 0, ran.stderr
    assert column(folder, "before") == [(0, 1.0)]
    assert column(folder, "a/b") == [(1, 0.0), (2, 1.0), (3, 2.0)]
    assert column(folder, "after") == [(1, 0.0), (2, 1.0), (3, 2.0)]
    assert len(column(folder, "val/loss")) == 3
    assert column(folder, "elsewhere") == [(3, 7.5)]
    assert column(folder, "too_late") == []
    validated = [event for event in events_of(folder) if isinstance(event, Validated)]
    assert validated[0].best
    told = [event.probe for event in events_of(folder) if type(event).__name__ == "ProbeFailed"]
    assert told == ["log wrong"]
    assert ran.stdout.strip() == f"runs/{the_run(folder).name}"
    assert "Warning" not in ran.stderr


def test_keywords_cannot_have_a_slash_so_their_first_word_stands_for_one() -> None:
    named = {name: _column(name) for name in ("val_loss", "train_acc_top5", "mine", "value")}
    assert named == {
        "val_loss": "val/loss",
        "train_acc_top5": "train/acc_top5",
        "mine": "mine",
        "value": "value",
    }


@pytest.mark.parametrize("value", ["off", "0", "OFF"])
def test_switched_off_everything_is_a_harmless_no_op(folder: Path, value: str) -> None:
    ran = run(
        folder,
        "with sgdb.watch(model, optimizer) as watch:\n    step()\n    sgdb.log(a=1)\n    watch.log(b=2)\n"
        "sgdb.finish()\nprint(watch.folder)\n",
        SGDB=value,
    )
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "None\n", "")
    assert not (folder / "runs").exists()


def test_without_a_watch_log_and_finish_do_nothing(folder: Path) -> None:
    ran = run(folder, "sgdb.log(a=1)\nstep()\nsgdb.finish()\n")
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "", "")
    assert not (folder / "runs").exists()


def test_under_sgdb_run_it_is_the_run_that_there_is_already(folder: Path) -> None:
    body = """
with sgdb.watch(model, optimizer):
    for _ in range(3):
        step()
        sgdb.log(mine=2)
step()
"""
    ran = run(folder, body, "-m", "sgdb", "run", "--headless")
    assert ran.returncode == 0, ran.stderr
    assert read_status(the_run(folder)).step == 4
    assert column(folder, "mine") == [(1, 2.0), (2, 2.0), (3, 2.0)]


@pytest.mark.parametrize(
    "body",
    [
        "with sgdb.watch():\n    step()\n    raise ValueError('mine')\n",
        "sgdb.watch()\nstep()\nraise ValueError('mine')\n",
    ],
)
def test_a_program_that_ends_of_an_error_says_so_in_its_run(folder: Path, body: str) -> None:
    ran = run(folder, body)
    assert ran.returncode == 1
    assert "ValueError: mine" in ran.stderr
    assert read_status(the_run(folder)).state == "failed"
    (failed,) = [event for event in events_of(folder) if isinstance(event, TrainingFailed)]
    assert failed.error == "ValueError: mine"


def test_a_watch_that_begins_anew_ends_the_one_before(folder: Path) -> None:
    ran = run(folder, "for n in (3, 5):\n    sgdb.watch(model, name='cell')\n    for _ in range(n): step()\n")
    assert ran.returncode == 0, ran.stderr
    assert sorted(read_status(each).step for each in find_runs(folder / "runs")) == [3, 5]
    assert {read_status(each).state for each in find_runs(folder / "runs")} == {"finished"}


def test_a_forked_child_has_no_part_in_the_run(folder: Path) -> None:
    body = """
import os
watch = sgdb.watch(model, optimizer)
step()
if os.fork() == 0:
    step()
    sgdb.log(a=1)
    sgdb.finish()
    raise SystemExit
os.wait()
step()
"""
    ran = run(folder, body)
    assert ran.returncode == 0, ran.stderr
    status = read_status(the_run(folder))
    assert (status.step, status.state) == (2, "finished")
    assert column(folder, "a") == []


def test_a_watched_loop_is_paused_and_stopped_from_elsewhere(folder: Path) -> None:
    body = (
        "import time\nwith sgdb.watch(model, optimizer):\n    while True:\n        step(); time.sleep(0.01)\n"
    )
    (folder / "loop.py").write_text(HEAD + body)
    process = subprocess.Popen(
        [sys.executable, "loop.py"], cwd=folder, env=ENVIRONMENT, stderr=subprocess.PIPE, text=True
    )
    assert process.stderr is not None
    while "recording in" not in process.stderr.readline():
        assert process.poll() is None
    socket = ""
    while not socket:
        assert process.poll() is None
        run_folder = the_run(folder)
        socket = read_status(run_folder).socket if (run_folder / "status.json").exists() else ""
    client = ControlClient(Path(socket))
    assert client.send(Pause(), 30).state == "paused"
    held = client.send(Ping()).step
    assert client.send(Ping()).step == held
    assert client.send(Resume()).ok
    assert client.send(Stop(checkpoint=False)).ok
    process.communicate(timeout=PATIENCE_S)
    assert read_status(the_run(folder)).state == "stopped"
