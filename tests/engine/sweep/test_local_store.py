"""Which points are left when a sweep is begun or taken up again by one process."""

from pathlib import Path

import pytest

from sgdb_engine.errors import RunFolderError
from sgdb_engine.sweep.plan import SweepPlan
from sgdb_engine.sweep.store import LocalStore, Taken
from tests.engine.sweep.conftest import LeaveRun


def all_left(store: LocalStore) -> list[Taken]:
    return list(iter(store.take, None))


def test_every_point_is_given_out_once_in_order(folder: Path, plan: SweepPlan) -> None:
    store = LocalStore(folder, plan)
    assert store.is_open()
    assert all_left(store) == [Taken(point) for point in plan.points()]
    assert not store.is_open()


def test_what_is_done_is_kept_and_what_was_interrupted_is_begun_again(
    folder: Path, plan: SweepPlan, leave_run: LeaveRun
) -> None:
    one, two, three = plan.points()
    done, interrupted = leave_run(one), leave_run(two, "stopped", exit_code=143)
    store = LocalStore(folder, plan)
    assert store.runs() == {1: done}
    assert all_left(store) == [Taken(two), Taken(three)]
    again = leave_run(two)
    store.begun(two, again)
    assert store.runs() == {1: done, 2: again}
    assert not interrupted.exists()


@pytest.mark.parametrize("state", ["failed", "stopped"])
def test_a_point_that_failed_or_that_its_user_stopped_is_done(
    folder: Path, plan: SweepPlan, leave_run: LeaveRun, state: str
) -> None:
    leave_run(plan.points()[0], state, exit_code=1 if state == "failed" else 0)
    assert [taken.point.number for taken in all_left(LocalStore(folder, plan))] == [2, 3]


def test_a_run_that_outlived_its_sweep_is_gone_on_with_first(
    folder: Path, plan: SweepPlan, leave_run: LeaveRun
) -> None:
    one, two, three = plan.points()
    living = leave_run(two, "running", exit_code=None, lives=True)
    assert all_left(LocalStore(folder, plan)) == [Taken(two, living), Taken(one), Taken(three)]


def test_a_run_that_died_with_its_machine_is_begun_again(
    folder: Path, plan: SweepPlan, leave_run: LeaveRun
) -> None:
    leave_run(plan.points()[0], "running", exit_code=None)
    assert [taken.folder for taken in all_left(LocalStore(folder, plan))] == [None, None, None]


def test_runs_of_other_sweeps_and_other_folders_are_left_alone(
    folder: Path, plan: SweepPlan, leave_run: LeaveRun
) -> None:
    run = leave_run(plan.points()[0])
    (run / "point.json").write_text("{not json")
    (folder / "something").mkdir()
    assert len(all_left(LocalStore(folder, plan))) == 3


def test_one_process_runs_a_sweep(folder: Path, plan: SweepPlan) -> None:
    store = LocalStore(folder, plan)
    with pytest.raises(RunFolderError):
        LocalStore(folder, plan)
    store.close()
    LocalStore(folder, plan)
