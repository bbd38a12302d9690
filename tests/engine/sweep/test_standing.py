"""How the run of a point stands, read from its folder; which one is the best."""

import json
import math
from pathlib import Path

import pytest

from sgdb_engine.events import Severity, State
from sgdb_engine.recording.nonfinite import to_json
from sgdb_engine.recording.writer import Recorder
from sgdb_engine.sweep.grid import Point
from sgdb_engine.sweep.plan import SweepPlan
from sgdb_engine.sweep.results import best_first, best_of, compared_by, summary_of
from sgdb_engine.sweep.standing import PointState, RunOfPoint, Standing
from tests.engine.sweep.conftest import LeaveRun


@pytest.mark.parametrize(
    ("state", "exit_code", "interrupted", "findings", "expected"),
    [
        ("finished", 0, False, (), "finished"),
        ("running", None, False, (), "running"),
        ("failed", 1, False, (), "failed"),
        ("stopped", 0, False, (), "stopped"),
        ("stopped", 143, False, (), "interrupted"),
        ("stopped", 130, False, (), "interrupted"),
        ("finished", 0, True, (), "interrupted"),
        ("stopped", 0, False, (("lr-high", "error"),), "diverged"),
        ("stopped", 0, False, (("nonfinite", "error"),), "diverged"),
        ("finished", 0, False, (("nonfinite", "warning"),), "finished"),
        ("finished", 0, False, (("overfit", "warning"), ("no-step", "error")), "finished"),
        ("failed", 1, False, (("nonfinite", "error"),), "failed"),
    ],
)
def test_the_state_of_a_point(
    plan: SweepPlan,
    leave_run: LeaveRun,
    state: State,
    exit_code: int | None,
    interrupted: bool,
    findings: tuple[tuple[str, Severity], ...],
    expected: PointState,
) -> None:
    point = plan.points()[0]
    run = leave_run(point, state, exit_code=exit_code, interrupted=interrupted, findings=findings)
    assert RunOfPoint(point, run).look().state == expected


def test_the_best_validation_loss_is_the_lowest_finite_one(plan: SweepPlan, leave_run: LeaveRun) -> None:
    point = plan.points()[0]
    standing = RunOfPoint(point, leave_run(point, val_losses=(math.nan, 3.0, 1.5, 2.0, -math.inf))).look()
    assert (standing.best_val_loss, standing.best_step) == (1.5, 30)


def test_the_training_loss_at_the_end_is_the_mean_over_the_last_tenth(
    plan: SweepPlan, leave_run: LeaveRun
) -> None:
    point = plan.points()[0]
    run = leave_run(point, val_losses=(1.0,) * 100)  # 1000 steps
    recorder = Recorder(run)
    for step in range(1, 1001):
        recorder.scalars(("train/loss",), step, 0.0, 0.0, (float(step),))
    recorder.close()
    assert RunOfPoint(point, run).look().train_loss == pytest.approx(sum(range(901, 1001)) / 100)


def test_a_run_whose_process_is_gone_ended_as_it_said_or_as_is_known(
    plan: SweepPlan, leave_run: LeaveRun
) -> None:
    point = plan.points()[0]
    assert RunOfPoint(point, leave_run(point)).lost("failed", "killed").state == "finished"
    lost = RunOfPoint(point, leave_run(point, "running", exit_code=None)).lost("failed", "killed")
    assert (lost.state, lost.message) == ("failed", "killed")


def standing(number: int, state: PointState, val: float = math.nan, train: float = math.nan) -> Standing:
    return Standing(
        Point(number, (("lr", str(number)),), f"lr={number}"), state, best_val_loss=val, train_loss=train
    )


def numbers(*standings: Standing) -> list[int]:
    return [each.point.number for each in best_first(standings)]


def test_the_lowest_validation_loss_comes_first_and_what_went_wrong_last() -> None:
    order = numbers(
        standing(1, "queued"),
        standing(2, "failed", 0.01),
        standing(3, "diverged", 0.02),
        standing(4, "finished", 0.5),
        standing(5, "stopped", 0.3),
        standing(6, "running", 0.4),
        standing(7, "finished", math.nan, 0.001),
    )
    assert order == [5, 6, 4, 7, 3, 2, 1]


def test_without_any_validation_the_training_loss_decides() -> None:
    runs = (
        standing(1, "finished", train=0.5),
        standing(2, "finished", train=0.1),
        standing(3, "finished", train=math.inf),
    )
    assert compared_by(runs) == "train/loss"
    assert numbers(*runs) == [2, 1, 3]
    best = best_of(runs)
    assert best is not None
    assert best.point.number == 2


def test_there_is_no_best_one_among_runs_that_diverged_or_failed() -> None:
    assert (
        best_of([standing(1, "diverged", 0.1), standing(2, "failed", 0.2), standing(3, "finished")]) is None
    )


def test_the_summary_is_json_with_the_best_first(
    plan: SweepPlan, leave_run: LeaveRun, tmp_path: Path
) -> None:
    standings = [
        RunOfPoint(point, leave_run(point, val_losses=(loss,))).look()
        for point, loss in zip(plan.points(), (0.5, 0.2, math.inf), strict=True)
    ]
    found = json.loads(to_json(summary_of(tmp_path, plan, standings)))
    assert (found["mode"], found["status"], found["compared_by"], found["best"]) == (
        "sweep",
        "finished",
        "val/loss",
        2,
    )
    assert [each["point"] for each in found["points"]] == [2, 1, 3]
    assert found["points"][0]["settings"] == {"optimizer.lr": 0.01}
    assert [each["loss"] for each in found["points"]] == [0.2, 0.5, None]
