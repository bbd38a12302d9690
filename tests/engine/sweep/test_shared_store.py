"""Which worker gets which point, where several share a sweep through optuna's journal; who takes up what is lost."""

from collections.abc import Callable
from pathlib import Path
from threading import Barrier, Thread
from types import SimpleNamespace

import msgspec
import pytest

from sgdb_engine.errors import SgdbError
from sgdb_engine.recording import folder as run_folder
from sgdb_engine.recording.liveness import boot_id, host_name
from sgdb_engine.sweep import shared
from sgdb_engine.sweep.grid import Axis, ordered
from sgdb_engine.sweep.plan import SweepPlan
from sgdb_engine.sweep.shared import SharedStore, join
from sgdb_engine.sweep.standing import RunOfPoint, Standing
from sgdb_engine.sweep.store import Taken
from tests.engine.sweep.conftest import LeaveRun

Worker = Callable[..., SharedStore]
DEAD = (host_name(), boot_id(), 2**22 + 1, 0.0)
"""A process of this machine that is gone: no process id is so large."""
ELSEWHERE = ("another-machine", "another-boot", 1, 0.0)


@pytest.fixture
def worker(folder: Path, plan: SweepPlan, monkeypatch: pytest.MonkeyPatch) -> Worker:
    """A store of a worker that lives, or is what it is given as."""
    monkeypatch.setattr(shared, "REFRESH_S", 0.0)

    def make(who: tuple[str, str, int, float] | None = None) -> SharedStore:
        with monkeypatch.context() as patched:
            if who is not None:
                patched.setattr(shared, "own_identity", lambda: who)
            return SharedStore(folder, plan)

    return make


def taken_number(taken: Taken | None) -> int | None:
    return taken.point.number if taken else None


def test_two_workers_never_have_the_same_point(worker: Worker) -> None:
    one, two = worker(), worker()
    numbers = [taken_number(store.take()) for store in (one, two, one, two, one)]
    assert numbers == [1, 2, 3, None, None]
    assert one.is_open()


def test_workers_that_ask_at_the_same_moment_never_have_the_same_point(
    worker: Worker, plan: SweepPlan
) -> None:
    stores = [worker() for _ in range(4)]
    start, got = Barrier(4), list[int | None]()

    def ask(store: SharedStore) -> None:
        start.wait()
        got.append(taken_number(store.take()))

    threads = [Thread(target=ask, args=(store,)) for store in stores]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(number for number in got if number) == [1, 2, 3]


def test_a_sweep_is_over_when_every_point_is_done(
    worker: Worker, plan: SweepPlan, leave_run: LeaveRun
) -> None:
    one, two = worker(), worker()
    states = (("finished", 0), ("failed", 1), ("stopped", 0))
    runs = {}
    for point, (state, code) in zip(plan.points(), states, strict=True):
        assert taken_number(one.take()) == point.number
        run = leave_run(point, state, exit_code=code, val_losses=(0.5,))
        runs[point.number] = run
        one.begun(point, run)
        assert two.is_open()
        one.ended(RunOfPoint(point, run).look())
    assert not two.is_open()
    assert two.take() is None
    assert two.runs() == runs
    assert worker().runs() == runs


def test_a_point_that_is_given_back_goes_to_the_next_who_asks(worker: Worker, plan: SweepPlan) -> None:
    one, two = worker(), worker()
    one.take()
    one.give_back(plan.points()[0])
    assert taken_number(two.take()) == 1
    two.close()
    assert taken_number(one.take()) == 1


def test_the_point_of_a_worker_that_was_killed_is_taken_up_at_once_on_its_machine(worker: Worker) -> None:
    assert taken_number(worker(DEAD).take()) == 1
    living = worker()
    assert [taken_number(living.take()) for _ in range(4)] == [1, 2, 3, None]


def test_a_run_that_outlives_its_worker_is_gone_on_with_and_not_begun_again(
    worker: Worker, plan: SweepPlan, leave_run: LeaveRun
) -> None:
    killed = worker(DEAD)
    point = plan.points()[0]
    killed.take()
    run = leave_run(point, "running", exit_code=None, lives=True)
    killed.begun(point, run)
    assert worker().take() == Taken(point, run)


def test_a_result_that_its_worker_could_not_tell_any_more_is_kept(
    worker: Worker, plan: SweepPlan, leave_run: LeaveRun
) -> None:
    killed = worker(DEAD)
    point = plan.points()[0]
    killed.take()
    run = leave_run(point)  # its worker was killed before it could even say where the run is
    assert worker().take() == Taken(point, run)


def test_a_worker_on_another_machine_is_lost_when_its_run_gives_no_sign_of_life(
    worker: Worker, plan: SweepPlan, leave_run: LeaveRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    point = plan.points()[0]
    far = worker(ELSEWHERE)
    far.take()
    run = leave_run(point, "running", exit_code=None)
    status = msgspec.structs.replace(run_folder.read_status(run), host=ELSEWHERE[0])
    far.begun(point, run)
    near = worker()
    assert [taken_number(near.take()) for _ in range(2)] == [2, 3]
    now = [0.0]
    monkeypatch.setattr(shared, "time", SimpleNamespace(monotonic=lambda: now[0]))
    for step in range(3):
        now[0] += shared.SILENT_S - 1
        run_folder.write_status(run, msgspec.structs.replace(status, step=step))
        assert near.take() is None
        assert run in near.runs().values()
    now[0] += shared.SILENT_S + 1
    assert near.take() == Taken(point)


def test_what_was_taken_over_counts_and_the_first_workers_result_is_let_go(
    worker: Worker, plan: SweepPlan, leave_run: LeaveRun
) -> None:
    slow, other = worker(DEAD), worker()
    point = plan.points()[0]
    slow.take()
    assert taken_number(other.take()) == 1
    late = RunOfPoint(point, leave_run(point)).look()
    slow.ended(late)
    assert other.runs() == {}
    theirs = leave_run(point)
    other.begun(point, theirs)
    other.ended(RunOfPoint(point, theirs).look())
    assert worker().runs() == {1: theirs}


def test_workers_join_the_same_sweep_and_no_other(tmp_path: Path, plan: SweepPlan) -> None:
    folder = tmp_path / "new" / "shared"
    assert join(folder, plan) == plan
    moved = msgspec.structs.replace(plan, id="mine", base="/elsewhere", target="/elsewhere/run.toml")
    assert join(folder, moved) == msgspec.structs.replace(moved, id=plan.id)
    other = msgspec.structs.replace(plan, config_text=plan.config_text.replace("0.01", "0.02"))
    with pytest.raises(SgdbError, match="another sweep is in it"):
        join(folder, other)


def test_a_folder_with_other_things_in_it_is_not_touched(tmp_path: Path, plan: SweepPlan) -> None:
    (tmp_path / "thesis.tex").write_text("x")
    with pytest.raises(SgdbError, match="there are other things in it"):
        join(tmp_path, plan)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_a_damaged_journal_can_be_deleted_and_what_is_done_is_kept(
    folder: Path, plan: SweepPlan, worker: Worker, leave_run: LeaveRun
) -> None:
    one, two, _ = plan.points()
    done = leave_run(one)
    leave_run(two, "stopped", exit_code=143)
    (folder / "trials.journal").write_text("{torn\n{torn\n")
    with pytest.raises(SgdbError, match=r"trials\.journal cannot be used.* delete it"):
        worker()
    (folder / "trials.journal").unlink()
    again = worker()
    assert [again.take(), again.take()] == [Taken(one, done), Taken(two)]


def test_many_workers_do_each_point_once(folder: Path, plan: SweepPlan) -> None:
    axes = (Axis("optimizer.lr", tuple(str(lr) for lr in range(1, 31))),)
    plan = msgspec.structs.replace(plan, grid=axes, order=ordered(axes))
    stores, done = [SharedStore(folder, plan) for _ in range(4)], list[int]()

    def work(store: SharedStore) -> None:
        while store.is_open():
            taken = store.take()
            if taken is not None:
                done.append(taken.point.number)
                store.ended(Standing(taken.point, "failed"))

    threads = [Thread(target=work, args=(store,)) for store in stores]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(done) == [point.number for point in plan.points()]
