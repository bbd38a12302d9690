"""Two ranks: recorded each by itself, seen and controlled as one training."""

import json
import re
import shutil
import signal
import time
from pathlib import Path

import numpy as np
import psutil
import pytest

from sgdb_engine.control import Pause, Resume, Step, Stop
from sgdb_engine.events import TrainingFailed
from sgdb_engine.ranks.judging import judge
from sgdb_engine.ranks.reading import RanksReader
from sgdb_engine.recording.reader import RunReader

from .conftest import NPROC, TORCHRUN, UNDER_TORCHRUN, Launch

pytestmark = pytest.mark.slow
BOTH_WAYS = pytest.mark.parametrize("way", [NPROC, UNDER_TORCHRUN], ids=["nproc", "under torchrun"])
LONGER = ("--steps", "200", "--slow", "0.005")
FOR_EVER = ("--steps", "1000000", "--slow", "0.01")


def column(folder: Path, name: str, rank: int) -> dict[int, float]:
    """Values by step."""
    reader, found = RunReader(folder, rank=rank), {}
    while True:
        batch = reader.poll()
        for rows in batch.scalars:
            if name in rows.columns:
                values = rows.values[:, rows.columns.index(name)]
                found.update(zip(rows.steps.tolist(), values.tolist(), strict=True))
        if batch.caught_up:
            return found


@BOTH_WAYS
def test_each_rank_records_every_step_and_the_result_is_that_without_sgdb(
    way: tuple[str, ...], launch: Launch
) -> None:
    bare = launch(TORCHRUN, "ddp.py", *LONGER)
    assert bare.wait() == 0
    run = launch(way, "ddp.py", *LONGER)
    assert run.wait() == 0, run.output
    results = re.compile(r"^rank \d: \w{64}$", re.MULTILINE)
    assert sorted(results.findall(run.output)) == sorted(results.findall(bare.output))
    assert len(results.findall(run.output)) == 2

    for rank in (0, 1):
        assert sorted(column(run.folder, "train/loss", rank)) == list(range(1, 201))
    norms = [column(run.folder, "grad_norm", rank) for rank in (0, 1)]
    common = norms[0].keys() & norms[1].keys()
    assert len(common) >= 3, "both measure the same steps"
    assert all(norms[0][step] == pytest.approx(norms[1][step], rel=1e-6) for step in common)
    assert (run.status.state, run.status.step, run.status.exit_code) == ("finished", 200, 0)
    assert [(each.state, each.step) for each in run.ranks] == [("finished", 200)] * 2
    assert json.loads((run.folder / "summary.json").read_text())["verdict"] == "pass"


def test_the_norm_of_a_sharded_gradient_is_that_of_the_whole(launch: Launch) -> None:
    run = launch(NPROC, "fsdp.py")
    assert run.wait() == 0, run.output
    told = {int(step): float(norm) for step, norm in re.findall(r"norm (\d+) (\S+)", run.output)}
    (norms,) = RanksReader(run.folder).poll(RunReader(run.folder).poll().scalars).rows
    assert len(norms.steps) >= 3
    for step, norm in zip(norms.steps.tolist(), norms.values[:, 0].tolist(), strict=True):
        assert norm == pytest.approx(told[step], rel=1e-6)
    parts = [column(run.folder, "grad_square", rank) for rank in (0, 1)]
    assert any(not np.isclose(parts[0][step], parts[1][step]) for step in parts[0].keys() & parts[1].keys())


def test_the_rank_that_keeps_the_other_waiting_is_named(launch: Launch) -> None:
    run = launch(NPROC, "ddp.py", "--steps", "1000000", "--slow", "0.015")
    run.wait_for_step(100)
    time.sleep(1)
    said = judge(run.ranks)
    assert said.rank == 1
    assert "keeps the others waiting" in said.text
    run.send(Stop())
    assert run.wait() == 0


def test_where_a_rank_hangs_and_where_the_other_waits_is_written_down(launch: Launch) -> None:
    run = launch(NPROC, "ddp.py", "--hang", "10")
    waiting, hanging = run.wait_for(lambda ranks: all(e.step == 10 and e.where for e in ranks))
    line = 1 + next(i for i, line in enumerate(source("ddp.py")) if "time.sleep(1000)" in line)
    assert hanging.where == f"ddp.py:{line}"
    assert waiting.phase == "backward"
    assert waiting.where.endswith("in backward")


def source(script: str) -> list[str]:
    return (Path(__file__).parent / "scripts" / script).read_text().splitlines()


@BOTH_WAYS
def test_a_stop_ends_both_after_the_same_step(way: tuple[str, ...], launch: Launch) -> None:
    run = launch(way, "ddp.py", *FOR_EVER)
    run.wait_for_step(20)
    run.send(Stop())
    assert run.wait() == 0, run.output
    first, second = run.ranks
    assert first.state == second.state == "stopped"
    assert first.step == second.step == run.status.step


def test_both_are_paused_and_stepped_together(launch: Launch) -> None:
    run = launch(NPROC, "ddp.py", *FOR_EVER)
    run.wait_for_step(20)
    run.send(Pause())
    first, second = run.wait_for(lambda ranks: all(each.state == "paused" for each in ranks))
    assert first.step == second.step
    run.send(Step(2))
    both = run.wait_for(lambda ranks: all(e.state == "paused" and e.step == first.step + 2 for e in ranks))
    run.send(Resume())
    run.wait_for_step(both[0].step + 5)
    run.send(Stop())
    assert run.wait() == 0


def test_a_rank_that_is_killed_is_named_and_what_was_recorded_is_whole(launch: Launch) -> None:
    run = launch(NPROC, "ddp.py", *FOR_EVER)
    ranks = run.wait_for_step(20)
    psutil.Process(ranks[1].pid).kill()
    assert run.wait() == 1
    assert run.status.state == "failed"
    assert run.status.message.startswith("rank 1 is gone since step ")
    assert "sgdb: failed: rank 1 is gone since step " in run.output
    for rank in (0, 1):
        steps = sorted(column(run.folder, "train/loss", rank))
        assert steps == list(range(1, len(steps) + 1))
        assert len(steps) >= 20


@BOTH_WAYS
def test_an_error_of_another_rank_is_told_as_the_cause(way: tuple[str, ...], launch: Launch) -> None:
    run = launch(way, "ddp.py", "--fail", "10")
    assert run.wait() == 1
    assert (run.status.state, run.status.message) == ("failed", "rank 1 failed: ValueError: mine")
    events = [event for rank, event in RanksReader(run.folder).poll([]).events if rank == 1]
    (failure,) = [event for event in events if isinstance(event, TrainingFailed)]
    assert 'raise ValueError("mine")' in failure.traceback
    summary = json.loads((run.folder / "summary.json").read_text())
    assert (summary["status"], summary["verdict"]) == ("failed", "fail")
    assert summary["message"] == run.status.message


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_to_the_launcher_ends_all_of_them(number: signal.Signals, launch: Launch) -> None:
    run = launch(NPROC, "ddp.py", *FOR_EVER)
    run.wait_for_step(20)
    processes = run.processes()
    run.process.send_signal(number)
    assert run.wait() == 128 + number
    assert run.status.state == "stopped"
    assert not any(process.is_running() for process in processes)


def test_when_torchrun_is_killed_no_rank_is_left_behind(launch: Launch) -> None:
    run = launch(NPROC, "ddp.py", *FOR_EVER)
    run.wait_for_step(20)
    _, torchrun, *ranks = run.processes()
    torchrun.kill()
    assert run.wait() == 128 + signal.SIGKILL
    assert (run.status.state, run.status.message) == ("failed", "torchrun was ended by SIGKILL")
    assert not any(process.is_running() for process in ranks)


def test_a_hang_up_of_all_processes_does_not_end_the_training(launch: Launch) -> None:
    run = launch(NPROC, "ddp.py", *FOR_EVER)
    ranks = run.wait_for_step(20)
    launcher, torchrun = run.processes()[:2]
    for process in (launcher, torchrun):
        process.send_signal(signal.SIGHUP)
    run.wait_for_step(ranks[0].step + 30)
    run.send(Stop())
    assert run.wait() == 0


def test_a_run_folder_that_is_removed_does_not_end_the_training(launch: Launch) -> None:
    run = launch(NPROC, "ddp.py", *LONGER)
    run.wait_for_step(20)
    shutil.rmtree(run.folder)
    assert run.wait() == 0
    assert len(re.findall(r"^rank \d: \w{64}$", run.output, re.MULTILINE)) == 2


def test_a_straggler_is_named_although_all_log_together(launch: Launch) -> None:
    run = launch(NPROC, "ddp.py", *FOR_EVER, "--log", "--norm")
    run.wait_for_step(100)
    time.sleep(1)
    said = judge(run.ranks)
    assert said.rank == 1, run.ranks
    assert "keeps the others waiting" in said.text
    run.send(Stop())
    assert run.wait() == 0
