"""`sgdb sweep`: beginning a grid search or going on with one, telling how it gets on, and its table in the end."""

import contextlib
import shutil
import signal
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

import click

from sgdb.places import refuse_unwritable
from sgdb.progress import say
from sgdb.starting import Look, known_codes
from sgdb.sweep_words import Lines, last_words, table
from sgdb_engine.errors import RunFolderError, SgdbError
from sgdb_engine.recording.folder import create_run_folder
from sgdb_engine.summary import write_summary
from sgdb_engine.sweep.grid import parse_grid
from sgdb_engine.sweep.plan import SweepPlan, target_of
from sgdb_engine.sweep.plan_file import find_sweep, read_plan, write_plan
from sgdb_engine.sweep.planning import plan_of
from sgdb_engine.sweep.results import best_of, summary_of
from sgdb_engine.sweep.running import Sweep
from sgdb_engine.sweep.slots import GPUS, THREADS, Slot, make_slots
from sgdb_engine.sweep.standing import Standing
from sgdb_engine.sweep.store import LocalStore, Store
from sgdb_engine.target import versions
from sgdb_engine.text import clean

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
SHARING = "a sweep of several machines needs optuna; install it on each of them: pip install 'sgdb[sweep]'"


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the command line asks for."""

    target: str | None = None
    arguments: tuple[str, ...] = ()
    module: bool = False
    """The target is the name of a module, as behind `python -m`."""
    grid: tuple[str, ...] = ()
    overrides: tuple[str, ...] = ()
    name: str | None = None
    """Of the sweep."""
    runs_dir: Path = Path("runs")
    max_steps: int | None = None
    mute: tuple[str, ...] = ()
    """Codes of findings that are not told, and stop no run."""
    jobs: int | None = None
    """Runs side by side."""
    resume: str | None = None
    """A sweep to go on with."""
    shared: Path | None = None
    """A folder that the workers on several machines see."""
    summary_path: Path | None = None

    def plan(self) -> SweepPlan:
        """Of a new sweep. Raises SgdbError with all that is wrong."""
        if self.target is None:
            raise SgdbError("name a TARGET and its --grid, or a sweep to go on with: --resume SWEEP")
        if any(argument.partition("=")[0] == "--grid" for argument in self.arguments):
            raise SgdbError(
                f"--grid behind {clean(self.target)} is an argument of that script; options of sgdb stand before "
                "it: sgdb sweep --grid --lr=1e-4,1e-3 train.py"
            )
        return plan_of(
            self.target,
            self.arguments,
            self.overrides,
            parse_grid(self.grid),
            module=self.module,
            name=self.name,
            max_steps=self.max_steps,
            mute=known_codes(self.mute),
            shared=self.shared is not None,
        )


def sweep(wanted: Wanted, look: Look) -> int:
    """Runs a sweep, new or begun earlier; returns the exit code."""
    refuse_unwritable(wanted.summary_path)
    folder, plan = _to_resume(wanted) if wanted.resume is not None else _begun(wanted)
    store = _store(folder, plan)
    points = plan.points()
    slots = make_slots(wanted.jobs, len(points), _device(plan))
    running = Sweep(folder, plan, store, slots, Lines(len(points)))
    done = sum(standing.is_done for standing in running.standings)
    if done == len(points):
        say(f"{clean(folder.name)} is complete: all its points are done")
    else:
        going_on = f"{done} are done, " if done else ""
        say(
            f"a sweep of {clean(plan.target)} over {len(points)} points, {going_on}{_how(slots)}; in {folder}"
        )
    trouble = ""
    with _stopped_by_signals(running) as stopped_by:
        try:
            running.run()
        except SgdbError as error:
            trouble = str(error)
    _tell_result(folder, plan, running.standings, trouble)
    written = _write_summary(wanted, folder, plan, running.standings)
    return _exit_code(running.standings, stopped_by) or (0 if written and not trouble else 1)


def _tell_result(folder: Path, plan: SweepPlan, standings: Sequence[Standing], trouble: str) -> None:
    with contextlib.suppress(OSError):  # the terminal may be gone
        for line in table(plan, standings):
            click.echo(line)
    say(trouble)
    for line in last_words(folder, standings):
        say(line)


def _write_summary(wanted: Wanted, folder: Path, plan: SweepPlan, standings: Sequence[Standing]) -> bool:
    if wanted.summary_path is None:
        return True
    try:
        write_summary(wanted.summary_path, summary_of(folder, plan, standings))
    except OSError as error:
        say(f"--json {wanted.summary_path}: {error}")
        return False
    return True


def _begun(wanted: Wanted) -> tuple[Path, SweepPlan]:
    """A new sweep, or a shared one that others may have begun already."""
    plan = wanted.plan()
    if wanted.shared is not None:
        with _needing_optuna():
            from sgdb_engine.sweep.shared import join
        return wanted.shared, join(wanted.shared, plan)
    folder = create_run_folder(wanted.runs_dir, plan.name)
    try:
        write_plan(folder, plan)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    return folder, plan


def _to_resume(wanted: Wanted) -> tuple[Path, SweepPlan]:
    assert wanted.resume is not None
    given = {
        "TARGET": wanted.target,
        "--grid": wanted.grid,
        "--set or --device": wanted.overrides,
        "--name": wanted.name,
        "--max-steps": wanted.max_steps,
        "--mute": wanted.mute,
        "--shared": wanted.shared,
    }
    too_much = [option for option, value in given.items() if value]
    if too_much:
        raise SgdbError(
            f"--resume {clean(wanted.resume)}: the sweep knows what it runs; leave out {', '.join(too_much)}, "
            "or begin a new sweep without --resume"
        )
    folder = find_sweep(wanted.runs_dir, wanted.resume)
    plan = read_plan(folder)
    other = [
        f"{name} {clean(plan.versions.get(name, 'unknown'))}, now {version}"
        for name, version in versions().items()
        if plan.versions.get(name) != version
    ]
    if other:
        say(f"it was begun with other versions: {'; '.join(other)}")
    return folder, plan


def _store(folder: Path, plan: SweepPlan) -> Store:
    if not plan.shared:
        try:
            return LocalStore(folder, plan)
        except RunFolderError as error:
            who = str(error).partition("; attach")[0]
            raise SgdbError(
                f"{who}: two processes go on with one sweep only where it was begun with --shared"
            ) from None
    with _needing_optuna():
        from sgdb_engine.sweep.shared import SharedStore
    return SharedStore(folder, plan)


@contextlib.contextmanager
def _needing_optuna() -> Iterator[None]:
    try:
        yield
    except ModuleNotFoundError as error:
        if error.name != "optuna":
            raise
        raise SgdbError(SHARING) from None


def _device(plan: SweepPlan) -> str | None:
    config = target_of(plan, plan.points()[0]).config
    return config.run.device if config else None


@contextlib.contextmanager
def _stopped_by_signals(running: Sweep) -> Iterator[list[signal.Signals]]:
    """The first signal interrupts the runs, so that they can be begun again; the second one ends them at once."""
    received: list[signal.Signals] = []

    def stop(number: int, frame: FrameType | None) -> None:
        received.append(signal.Signals(number))
        # not from the handler itself: the interrupted code may hold a lock that is needed
        threading.Thread(target=_stop, args=(running, len(received)), daemon=True).start()

    before = {number: signal.getsignal(number) for number in SIGNALS}
    for number, handler in before.items():
        if handler is not signal.SIG_IGN:  # as nohup has it
            signal.signal(number, stop)
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _stop(running: Sweep, times: int) -> None:
    running.stop()
    if times == 1:
        say("stopping the runs under way; once more ends them at once")


def _exit_code(standings: Sequence[Standing], stopped_by: Sequence[signal.Signals]) -> int:
    complete = all(standing.is_done for standing in standings)
    if stopped_by and not complete:
        return 128 + stopped_by[0]
    return 0 if complete and best_of(standings) is not None else 1


def _how(slots: Sequence[Slot]) -> str:
    side_by_side = f"{len(slots)} at a time" if len(slots) > 1 else "one after the other"
    gpus = sum(GPUS in slot.environment for slot in slots)
    threads = slots[0].environment.get(THREADS)
    many = "threads" if threads != "1" else "thread"
    on = ", each on a GPU" if gpus else f", {threads} {many} each" if threads else ""
    return side_by_side + on
