"""Starting a run or a check, with the dashboard on it or without, and saying how to come back."""

import contextlib
import gc
import os
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from sgdb.places import kernels_kept_in, refuse_no_report, refuse_unwritable, temporary_folder
from sgdb.progress import Progress, page_of, say
from sgdb_engine.ending import End
from sgdb_engine.errors import RunFolderError, SgdbError, TargetError
from sgdb_engine.events import CheckStage, Finding, FindingChanged
from sgdb_engine.kept_output import output_kept
from sgdb_engine.launch import SCRIPTS, FailOn, Order, start_engine
from sgdb_engine.ranks.meeting import folder_of_the_first, told_to_the_others
from sgdb_engine.ranks.place import is_launched, own_place
from sgdb_engine.recording import folder as run_folder
from sgdb_engine.recording.output_log import OutputLog, TailReader
from sgdb_engine.target import Target, resolve
from sgdb_engine.text import clean

if TYPE_CHECKING:
    from sgdb_tui.app import Outcome

FOR_RANKS = "sgdb run --nproc 2 train.py, or torchrun … -m sgdb run train.py"
LOADING = "this loads PyTorch, the data and the model first"
LEFT = 130
"""Exit code of a check that was left before its verdict."""


class RefusedError(SgdbError):
    """A run that never began: the config, the script, the data or the model cannot be right."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the command line asks to be run."""

    target: str
    arguments: tuple[str, ...] = ()
    module: bool = False
    """The target is the name of a module, as behind `python -m`."""
    overrides: tuple[str, ...] = ()
    name: str | None = None
    """Of the run."""
    runs_dir: Path = Path("runs")
    max_steps: int | None = None
    nproc: int = 0
    """Processes to train in together; 0: this one."""
    summary_path: Path | None = None
    mute: tuple[str, ...] = ()
    """Codes of findings that are not told."""
    fail_on: FailOn | None = None
    report_path: Path | None = None
    """Of a check: where what it has shown is told, as Markdown or HTML."""

    def resolved(self) -> Target:
        """What it is. Raises TargetError or ConfigError where it cannot be run."""
        target = resolve(self.target, self.arguments, self.overrides, module=self.module, name=self.name)
        if target.kind not in SCRIPTS and (self.nproc or is_launched()):
            raise TargetError(
                f"{clean(self.target)} trains in one process; several train one script: {FOR_RANKS}"
            )
        if self.nproc and is_launched():
            raise TargetError("--nproc starts the processes, and torchrun has done so already: leave it out")
        return target

    def order(self, target: Target, folder: Path) -> Order:
        """To run it in that folder."""
        return target.order(
            folder,
            "run",
            max_steps=self.max_steps,
            summary_path=self.summary_path,
            nproc=self.nproc,
            mute=known_codes(self.mute),
            fail_on=self.fail_on,
        )


@dataclass(frozen=True, slots=True)
class Look:
    """How it is shown."""

    headless: bool = False
    plain: bool = False
    theme: str | None = None

    @property
    def screen(self) -> bool:
        """Whether a dashboard can be shown: asked for, and there is a terminal that can."""
        return not self.headless and has_terminal() and not is_launched()

    @property
    def ascii(self) -> bool:
        """Whether to draw with plain characters: asked for, or the terminal's encoding knows no others."""
        return self.plain or "utf" not in (sys.stdout.encoding or "").lower()


def has_terminal() -> bool:
    """Whether both ends are a terminal that understands more than lines."""
    return sys.stdin.isatty() and sys.stdout.isatty() and os.environ.get("TERM", "dumb") not in ("", "dumb")


def run(wanted: Wanted, look: Look) -> int:
    """Trains a target; returns the exit code."""
    target = wanted.resolved()
    if own_place().rank:
        return _train_along(wanted, target)
    refuse_unwritable(wanted.summary_path)
    folder = run_folder.create_run_folder(wanted.runs_dir, target.name)
    with removed_unless_begun(folder), told_to_the_others(wanted.runs_dir, folder):
        target.describe_in(folder, "run")
        order = wanted.order(target, folder)
        if look.screen:
            return _run_watched(folder, look, Launch(order))
        place = f"recording in {folder}; watch it with: {attach_command(folder)}"
        if target.kind in SCRIPTS:  # it prints for itself
            say(place)
            code = _launch_here(order) if order.nproc else train_here(order, Progress("run", brief=True))
        else:
            say(f"starting {clean(target.written)}; {LOADING}")
            code = train_here(order, Progress("run", place))
    say(f"recorded in {folder}; look at it with: {attach_command(folder)}")
    return code


def _train_along(wanted: Wanted, target: Target) -> int:
    """Another rank than the first one, which tells what there is to tell."""
    from sgdb_engine.host import run_order

    try:
        folder = folder_of_the_first(wanted.runs_dir)
    except RunFolderError as error:
        say(f"rank {own_place().rank}: {error}. It runs as without sgdb")
        script = ["-m", wanted.target] if wanted.module else [wanted.target]
        os.execv(sys.executable, [sys.executable, *script, *wanted.arguments])  # noqa: S606  (our own command line)
    with output_kept(folder):
        return run_order(wanted.order(target, folder))


def _launch_here(order: Order) -> int:
    from sgdb_engine.torchrun import run_ranks

    log = OutputLog(Path(order.folder))
    try:
        end = run_ranks(order, output_log=log, interrupted=lambda: say("stopping: all ranks were told to"))
    finally:
        log.close()
    if end.state == "failed":
        say(f"failed: {end.message}")
    return end.exit_code


def check(wanted: Wanted, look: Look) -> int:
    """Checks a target in a folder that is gone afterwards, then runs it where its user asks for that.

    Returns the exit code, that of the run where there was one.
    """
    target = wanted.resolved()
    refuse_unwritable(wanted.summary_path)
    refuse_no_report(wanted.report_path)
    with temporary_folder() as folder, kernels_kept_in(folder):
        target.describe_in(folder, "check")
        order = target.order(
            folder,
            "check",
            summary_path=wanted.summary_path,
            report_path=wanted.report_path,
            mute=known_codes(wanted.mute),
            fail_on=wanted.fail_on,
        )
        if not look.screen:
            say(f"checking {clean(target.written)}; {LOADING}")
            return train_here(order, Progress("check"))
        code, start_run = watch_trial(folder, look, Launch(order), _result)
    return run(replace(wanted, summary_path=None, report_path=None), look) if start_run else code


def attach(runs_dir: Path, which: str | None, *, once: bool, look: Look) -> int:
    """Shows a run; returns the exit code."""
    folder = run_folder.find_run(runs_dir, which)
    if once:
        from sgdb_tui.app import render_once

        size = shutil.get_terminal_size((120, 40))
        colour = sys.stdout.isatty() and "NO_COLOR" not in os.environ
        click.echo(render_once(folder, size.columns, size.lines - 1 if colour else size.lines, colour))
        return 0
    if not has_terminal():
        raise SgdbError(
            "this is not a terminal that can show a dashboard; `sgdb attach --once` prints one frame"
        )
    outcome = _show(folder, look)
    click.echo(_standing(folder))
    return outcome.exit_code


def known_codes(codes: tuple[str, ...]) -> tuple[str, ...]:
    """The same. Raises SgdbError where one is no finding's."""
    from sgdb_engine.findings.catalogue import entry

    return tuple(entry(code).code for code in codes)


@contextlib.contextmanager
def removed_unless_begun(folder: Path) -> Iterator[None]:
    """A run that was refused, or ended before its engine could say a word, leaves no folder behind."""
    own = os.getpid()
    try:
        yield
    except BaseException as error:
        began = (folder / run_folder.STATUS_JSON).exists() and not isinstance(error, RefusedError)
        if not began and os.getpid() == own:  # not in a forked child of the script's
            shutil.rmtree(folder, ignore_errors=True)
        raise


def train_here(order: Order, progress: Progress) -> int:
    from sgdb_engine.host import run_order

    with output_kept(Path(order.folder)) as log:
        code = run_order(order, progress.told, interrupted=progress.interrupted, output_log=log)
    if progress.refusal:
        raise RefusedError(progress.refusal)
    return code


class Launch:
    """Starts an engine process, once, when it is called: behind the first frame of the dashboard.

    Before that the two would import torch and Textual at the same time, and the user would wait for both.
    """

    def __init__(self, order: Order) -> None:
        self._order = order
        self.engine: subprocess.Popen[bytes] | None = None

    def __call__(self) -> None:
        """Raises SgdbError where no process can be started."""
        if self.engine is None:
            try:
                self.engine = start_engine(self._order)
            except OSError as error:
                raise SgdbError(f"the engine cannot be started: {error}") from None


def _run_watched(folder: Path, look: Look, launch: Launch) -> int:
    outcome = _show(folder, look, launch)
    if outcome.exit_code and launch.engine is None:
        shutil.rmtree(folder, ignore_errors=True)
        return outcome.exit_code
    launch()  # q may have been faster than the first frame: the run goes on all the same
    assert launch.engine is not None
    if not outcome.goes_on:
        _wait_for_last_words(folder, launch.engine)
    status = run_folder.read_status(folder)
    if status.refused:
        raise RefusedError(status.message)
    click.echo(_standing(folder))
    return outcome.exit_code or status.exit_code or 0


def watch_trial(
    folder: Path,
    look: Look,
    launch: Launch,
    result: Callable[[Path, run_folder.RunStatus], Iterator[str]],
    what: str = "check",
) -> tuple[int, bool]:
    """Shows what is tried; its engine does not outlive the dashboard. Exit code, and whether the run was asked for.

    Args:
        folder: of what is tried, temporary.
        look: how it is shown.
        launch: starts it.
        result: what is to stand in the terminal afterwards.
        what: is tried.
    """
    status = None
    try:
        outcome = _show(folder, look, launch)
        if launch.engine is not None:
            if not outcome.goes_on:
                _wait_for_last_words(folder, launch.engine)
            status = run_folder.read_status(folder)
    finally:
        if launch.engine is not None:
            _end(launch.engine)
    if status is None or status.exit_code is None:
        click.echo(f"The {what} was left before its verdict: nothing is proven.", err=True)
        return outcome.exit_code or LEFT, outcome.start_run
    if status.refused:
        raise RefusedError(status.message)
    for line in result(folder, status):
        click.echo(line)
    return outcome.exit_code or status.exit_code, outcome.start_run


def printed_last(folder: Path) -> Iterator[str]:
    """The last lines that the training code printed: where it failed, what it raised."""
    output = TailReader(folder / run_folder.OUTPUT_LOG, max_lines=40)
    output.poll()
    yield from output.lines()


def _result(folder: Path, status: run_folder.RunStatus) -> Iterator[str]:
    """What is to stand in the terminal when the dashboard and the folder of a check are gone."""
    if status.state == "failed":
        yield from printed_last(folder)
    else:
        from sgdb_engine.recording.reader import RunReader

        stages: dict[str, CheckStage] = {}
        found: dict[tuple[str, tuple[str, ...]], Finding] = {}
        for event in RunReader(folder).poll().events:
            if isinstance(event, CheckStage):
                stages[event.name] = event
            elif isinstance(event, FindingChanged):
                found[event.finding.code, event.finding.where] = event.finding
        for stage in stages.values():
            yield f"{stage.status}: {stage.name}: {stage.reason}"
        end = End(status.state, status.exit_code or 0, status.message)
        yield from page_of(end, list(stages.values()), list(found.values()))


def _show(folder: Path, look: Look, launch: Callable[[], None] = lambda: None) -> "Outcome":
    gc.disable()  # it would take a third of the time to the first frame, and find nothing

    def first_frame_shown() -> None:
        gc.enable()
        launch()

    from sgdb_tui.app import watch

    return watch(folder, begin=first_frame_shown, ascii=look.ascii, theme=look.theme)


def _wait_for_last_words(folder: Path, engine: "subprocess.Popen[bytes]") -> None:
    """The training has ended; the exit code is what its engine writes last."""
    deadline = time.monotonic() + 10
    while engine.poll() is None and run_folder.read_status(folder).exit_code is None:
        if time.monotonic() > deadline:
            return
        time.sleep(0.02)


def _end(engine: "subprocess.Popen[bytes]") -> None:
    """Ends it: in good order, at once, by force, whatever works first."""
    for end in (engine.terminate, engine.terminate, engine.kill):
        if engine.poll() is None:
            end()
            with contextlib.suppress(subprocess.TimeoutExpired):
                engine.wait(3)


def _standing(folder: Path) -> str:
    """One line on how a run stands and how to come back."""
    status = run_folder.read_status(folder)
    name, again = clean(folder.name), attach_command(folder)
    if status.refused:
        return f"{name} was refused: {status.message}"
    if status.exit_code is not None:
        return f"{name} {status.state} at step {status.step}. Look at it again with: {again}"
    if run_folder.is_alive(status):
        return f"{name} goes on. Come back with: {again}"
    return (
        f"{name} was lost at step {status.step}: its engine is gone. Look at what it recorded with: {again}"
    )


def attach_command(folder: Path) -> str:
    """The command that opens this run again, from here."""
    runs_dir = folder.parent
    if runs_dir == Path("runs"):
        return f"sgdb attach {shlex.quote(folder.name)}"
    return f"sgdb attach {shlex.quote(str(folder))}"
