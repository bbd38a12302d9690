"""Starting a run or a check, with the dashboard on it or without, and saying how to come back."""

import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import click

from sgdb_engine.errors import SgdbError
from sgdb_engine.launch import start_engine
from sgdb_engine.recording import folder as run_folder
from sgdb_engine.target import ConfigTarget, Mode, resolve
from sgdb_engine.text import clean, clean_lines


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the command line asks to be run."""

    target: str
    arguments: tuple[str, ...] = ()
    overrides: tuple[str, ...] = ()
    runs_dir: Path = Path("runs")
    max_steps: int | None = None
    summary_path: Path | None = None


@dataclass(frozen=True, slots=True)
class Look:
    """How it is shown."""

    headless: bool = False
    plain: bool = False
    theme: str | None = None

    @property
    def screen(self) -> bool:
        """Whether a dashboard can be shown: asked for, and there is a terminal that can."""
        return not self.headless and has_terminal()

    @property
    def ascii(self) -> bool:
        """Whether to draw with plain characters: asked for, or the terminal's encoding knows no others."""
        return self.plain or "utf" not in (sys.stdout.encoding or "").lower()


def has_terminal() -> bool:
    """Whether both ends are a terminal that understands more than lines."""
    return sys.stdin.isatty() and sys.stdout.isatty() and os.environ.get("TERM", "dumb") not in ("", "dumb")


def run(wanted: Wanted, look: Look) -> int:
    """Trains a target; returns the exit code."""
    target = resolve(wanted.target, wanted.arguments, wanted.overrides)
    refuse_unwritable(wanted.summary_path)
    folder = run_folder.create_run_folder(wanted.runs_dir, target.config.run.name)
    with discarded_on_refusal(folder):
        target.describe_in(folder, "run")
        if not look.screen:
            return _train_here(target, folder, "run", wanted)
        return _train_there(target, folder, "run", wanted, look)


def check(wanted: Wanted, look: Look) -> int:
    """Checks a target in a folder that is gone afterwards; returns the exit code."""
    target = resolve(wanted.target, wanted.arguments, wanted.overrides)
    refuse_unwritable(wanted.summary_path)
    folder = Path(tempfile.mkdtemp(prefix="sgdb-check-"))
    try:
        target.describe_in(folder, "check")
        if not look.screen:
            return _train_here(target, folder, "check", wanted)
        return _train_there(target, folder, "check", wanted, look)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


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
    return _show(folder, look, None)


def refuse_unwritable(path: Path | None) -> None:
    """A summary that cannot be written must not be noticed after hours of training."""
    if path is not None and (path.is_dir() or not os.access(path.absolute().parent, os.W_OK)):
        raise SgdbError(f"--json {path}: cannot be written there; give a file in a folder that exists")


@contextmanager
def discarded_on_refusal(folder: Path) -> Iterator[None]:
    """A run that was refused before its first step leaves no folder behind."""
    try:
        yield
    except SgdbError:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def _train_here(target: ConfigTarget, folder: Path, mode: Mode, wanted: Wanted) -> int:
    from sgdb.progress import Progress
    from sgdb_engine.host import run_order

    order = target.order(folder, mode, max_steps=wanted.max_steps, summary_path=wanted.summary_path)
    progress = Progress(mode)
    code = run_order(order, progress.told)
    refusal = progress.refusal
    if refusal:
        raise SgdbError(refusal)
    if mode == "run":
        click.echo(f"sgdb: recorded in {folder}; look at it with: {attach_command(folder)}", err=True)
    return code


def _train_there(target: ConfigTarget, folder: Path, mode: Mode, wanted: Wanted, look: Look) -> int:
    order = target.order(folder, mode, max_steps=wanted.max_steps, summary_path=wanted.summary_path)
    return _show(folder, look, start_engine(order))


def _show(folder: Path, look: Look, engine: "subprocess.Popen[bytes] | None") -> int:
    from sgdb_tui.app import watch

    outcome = watch(folder, ascii=look.ascii, theme=look.theme)
    if outcome.exit_code:  # the dashboard itself was ended, not the run
        return outcome.exit_code
    if engine is not None:
        engine.poll()
    return _farewell(folder)


def _farewell(folder: Path) -> int:
    """One line on how the run stands and how to come back; returns its exit code, or 0 while it lives."""
    status = run_folder.read_status(folder)
    if status.exit_code == 2:
        raise SgdbError(clean_lines(status.message))
    name = clean(folder.name)
    if status.exit_code is None and run_folder.is_alive(status):
        click.echo(f"{name} goes on. Come back with: {attach_command(folder)}")
        return 0
    click.echo(
        f"{name} {status.state} at step {status.step}. Look at it again with: {attach_command(folder)}"
    )
    return status.exit_code or 0


def attach_command(folder: Path) -> str:
    """The command that opens this run again, from here."""
    runs_dir = folder.parent
    if runs_dir == Path("runs"):
        return f"sgdb attach {shlex.quote(folder.name)}"
    return f"sgdb attach {shlex.quote(str(folder))}"
