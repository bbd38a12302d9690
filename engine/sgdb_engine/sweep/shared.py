"""The store for a sweep of several machines: optuna's journal in a folder that all of them see.

Each attempt at a point is a trial. The journal puts everything that anybody writes into one order; of several trials
of a point the first that has not failed is the one that counts, and whoever holds another lets go of it. optuna has no
heartbeat for its journal: whether a worker lives is told by its process, or from another machine by the status of its
run, which is written once a second.
"""

import contextlib
import math
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import msgspec
import optuna
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock
from optuna.trial import FrozenTrial, Trial, TrialState

from sgdb_engine.errors import RunFolderError, SgdbError
from sgdb_engine.recording.folder import read_status
from sgdb_engine.recording.liveness import boot_id, host_name, own_identity, still_runs
from sgdb_engine.sweep.grid import Point, typed
from sgdb_engine.sweep.plan import SweepPlan
from sgdb_engine.sweep.plan_file import SWEEP_JSON, read_plan, write_plan
from sgdb_engine.sweep.point_file import newest_runs
from sgdb_engine.sweep.standing import DONE, RunOfPoint, Standing, loss_of
from sgdb_engine.sweep.store import Taken, is_under_way
from sgdb_engine.text import clean

JOURNAL = "trials.journal"
SILENT_S = 180.0
"""Without a sign of life for so long, a run on another machine is lost; network file systems show what is new after a
minute at the latest."""
REFRESH_S = 1.0


class SharedStore:
    """Shares the points with the workers on other machines, and takes up those of workers that are gone."""

    def __init__(self, folder: Path, plan: SweepPlan) -> None:
        """Joins the sweep in that folder.

        Raises:
            SgdbError: the journal cannot be read or written.
        """
        self._folder = folder
        self._points = {point.number: point for point in plan.points()}
        self._id = plan.id
        self._who = list(own_identity())
        self._values = {axis.key: axis.values for axis in plan.grid}
        self._found = newest_runs(folder, plan.id)
        """Runs that were there when it joined: should the journal be lost, they still are."""
        self._study = _study(folder, plan)
        self._mine: dict[int, Trial] = {}
        self._signs: dict[str, tuple[object, float]] = {}
        """Run folder, or trial without one, of another machine: what was last seen of it, and since when."""
        self._known: list[FrozenTrial] = []
        self._known_at = -math.inf

    def take(self) -> Taken | None:
        """The next point; those of lost workers are free again."""
        with _in_words(self._folder):
            self._let_go_of_the_lost()
            while (number := self._next()) is not None:
                taken = self._claim(number)
                if taken is not None:
                    return taken
        return None

    def begun(self, point: Point, folder: Path) -> None:
        """Tells the others where its run is."""
        with _in_words(self._folder), _unless_taken_over():
            self._mine[point.number].set_user_attr("run", folder.name)
        self._known_at = -math.inf

    def ended(self, standing: Standing) -> None:
        """Tells the others what became of it; where they took it up meanwhile, theirs counts."""
        loss = loss_of(standing)
        if standing.state in ("finished", "stopped") and math.isfinite(loss):
            self._tell(standing.point, standing.state, TrialState.COMPLETE, loss)
        else:
            state = TrialState.PRUNED if standing.state == "diverged" else TrialState.FAIL
            self._tell(standing.point, standing.state, state)

    def give_back(self, point: Point) -> None:
        """The others, or a later worker, begin it again."""
        self._tell(point, "interrupted", TrialState.FAIL)

    def is_open(self) -> bool:
        """Whether a point is not done: it is free, or its worker may yet be lost."""
        with _in_words(self._folder):
            done = {_point_of(trial) for trial in self._trials() if _is_final(trial)}
        return len(done) < len(self._points)

    def runs(self) -> Mapping[int, Path]:
        """Of the points that are done or under way, here or elsewhere."""
        with _in_words(self._folder):
            trials = [trial for trial in self._trials() if _counts(trial) and trial.user_attrs.get("run")]
        return {_point_of(trial): self._folder / trial.user_attrs["run"] for trial in reversed(trials)}

    def close(self) -> None:
        """Whatever was taken and never begun is free again."""
        for number in list(self._mine):
            self.give_back(self._points[number])

    # -- the journal ------------------------------------------------------------------------------------

    def _trials(self, *, fresh: bool = False) -> list[FrozenTrial]:
        """All of them in their order; read at most once a second, unless they must be fresh."""
        now = time.monotonic()
        if fresh or now - self._known_at >= REFRESH_S:
            self._known = [t for t in self._study.get_trials(deepcopy=False) if _point_of(t) in self._points]
            self._known_at = now
        return self._known

    def _first_of(self, number: int) -> FrozenTrial | None:
        """The trial of that point that counts."""
        return next((t for t in self._trials() if _point_of(t) == number and _counts(t)), None)

    def _next(self) -> int | None:
        """The first point that nobody has."""
        taken = {_point_of(t) for t in self._trials() if _counts(t) and t.state != TrialState.WAITING}
        free = (number for number in self._points if number not in taken)
        return next((number for number in free if self._is_free(number)), None)

    def _claim(self, number: int) -> Taken | None:
        """Takes a point: that one, or another if one is waiting; None where somebody else was faster."""
        if self._first_of(number) is None:
            settings = dict(self._points[number].settings)
            self._study.enqueue_trial(settings, user_attrs={"point": number})
        trial = self._study.ask()
        got = trial.user_attrs.get("point")
        if got in self._points:
            trial.set_user_attr("worker", self._who)
            self._trials(fresh=True)
            first = self._first_of(got)
            if first is not None and first.number == trial.number:
                for key, values in self._values.items():
                    trial.suggest_categorical(key, values)
                self._mine[got] = trial
                return Taken(self._points[got], self._to_go_on_with(got))
        self._study.tell(trial, state=TrialState.FAIL)  # all that waited were gone, or it is taken already
        self._trials(fresh=True)
        return None

    def _tell(self, point: Point, word: str, state: TrialState, loss: float | None = None) -> None:
        trial = self._mine.pop(point.number)
        with _in_words(self._folder), _unless_taken_over():
            trial.set_user_attr("state", word)
            self._study.tell(trial, loss, state)
        self._known_at = -math.inf

    # -- those who are gone -----------------------------------------------------------------------------

    def _let_go_of_the_lost(self) -> None:
        mine = {trial.number for trial in self._mine.values()}
        for trial in self._trials():
            if trial.state == TrialState.RUNNING and trial.number not in mine and self._is_lost(trial):
                with _unless_taken_over():
                    self._study.tell(trial.number, state=TrialState.FAIL)
                self._known_at = -math.inf

    def _is_lost(self, trial: FrozenTrial) -> bool:
        """Whether its worker is gone: known for this machine; of another, when its run gives no sign of life."""
        worker, run = trial.user_attrs.get("worker"), trial.user_attrs.get("run")
        if worker is not None and worker[0] == host_name():
            return worker[1] != boot_id() or not still_runs(*worker)
        return self._is_silent(self._folder / run if run else None, run or f"trial {trial.number}")

    def _is_silent(self, run: Path | None, name: str) -> bool:
        sign: object = None
        if run is not None:
            with contextlib.suppress(RunFolderError):
                sign = msgspec.json.encode(read_status(run))
        known, since = self._signs.setdefault(name, (sign, time.monotonic()))
        if sign != known:
            self._signs[name] = sign, time.monotonic()
        return sign == known and time.monotonic() - since > SILENT_S

    def _is_free(self, number: int) -> bool:
        """Whether a point that no worker has can be taken: the run of a lost one may still go on elsewhere."""
        run = self._last_run(number)
        if run is None or RunOfPoint(self._points[number], run).look().has_ended:
            return True
        try:
            here = read_status(run).host == host_name()
        except RunFolderError:
            return True
        return here or self._is_silent(run, run.name)

    def _to_go_on_with(self, number: int) -> Path | None:
        """The run of a worker that is gone, where it is under way on this machine, or done."""
        run = self._last_run(number)
        if run is None or not (is_under_way(run) or RunOfPoint(self._points[number], run).look().is_done):
            return None
        return run

    def _last_run(self, number: int) -> Path | None:
        """Of the newest attempt at that point; all folders are looked through only where there was one."""
        if any(_point_of(trial) == number and "worker" in trial.user_attrs for trial in self._trials()):
            return newest_runs(self._folder, self._id).get(number)
        return self._found.get(number)


def _study(folder: Path, plan: SweepPlan) -> optuna.Study:
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    path = str((folder / JOURNAL).absolute())
    with _in_words(folder):
        # a lock that is a file of its own: the machines may see the folder under different names
        storage = JournalStorage(JournalFileBackend(path, JournalFileOpenLock(path)))
        sampler = optuna.samplers.RandomSampler()  # never asked: each trial comes with its values
        return optuna.create_study(
            storage=storage, sampler=sampler, study_name=f"{plan.name}-{plan.id}", load_if_exists=True
        )


def _point_of(trial: FrozenTrial) -> int:
    """0: of none; it was made when nothing waited any more."""
    number = trial.user_attrs.get("point", 0)
    return number if isinstance(number, int) else 0


def _is_final(trial: FrozenTrial) -> bool:
    """Whether its point is done."""
    return trial.state.is_finished() and trial.user_attrs.get("state") in DONE


def _counts(trial: FrozenTrial) -> bool:
    """Whether it is under way, waits to be, or is final."""
    return not trial.state.is_finished() or _is_final(trial)


@contextlib.contextmanager
def _unless_taken_over() -> Iterator[None]:
    """A trial that another worker has ended, because this one gave no sign of life, cannot be changed any more."""
    with contextlib.suppress(optuna.exceptions.UpdateFinishedTrialError):
        try:
            yield
        except ValueError as error:
            if "Cannot tell" not in str(error):
                raise


@contextlib.contextmanager
def _in_words(folder: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError) as error:
        raise SgdbError(
            f"{folder / JOURNAL} cannot be used: {error}; if a crash tore it, stop all workers and delete it: "
            "runs that are done are kept"
        ) from error


def join(folder: Path, plan: SweepPlan) -> SweepPlan:
    """Begins the sweep in a folder that is empty or new, or joins the same sweep there; gives its plan.

    Raises:
        SgdbError: it is another sweep's folder or holds other things, or it cannot be written.
    """
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        others = [path.name for path in folder.iterdir() if not path.name.startswith(".")]
    except OSError as error:
        raise SgdbError(f"--shared {folder}: {error.strerror or error}") from None
    if others and SWEEP_JSON not in others:
        raise SgdbError(
            f"--shared {folder}: there are other things in it; give a folder that is new or empty"
        )
    if write_plan(folder, plan):
        return plan
    known = read_plan(folder)
    if not known.is_same_as(plan):
        raise SgdbError(
            f"--shared {folder}: another sweep is in it: of {clean(known.target)}, {typed(known.grid)}; every "
            "worker is given the same config, grid and options; a new sweep needs a new folder"
        )
    return msgspec.structs.replace(known, target=plan.target, base=plan.base)
