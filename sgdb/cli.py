"""Reads the command line; the one place that turns errors into exit codes.

Whatever is slow to import is imported by the command that needs it: `--help` and `--headless` stay light.
"""

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from sgdb.measure_commands import lr_find
from sgdb.options import (
    TargetCommand,
    fail_on,
    headless,
    json_file,
    look,
    mute,
    report_file,
    runs_dir,
    settings,
    theme,
)

if TYPE_CHECKING:
    from sgdb_engine.launch import FailOn


class Commands(click.Group):
    """Commands in the order in which they are used, and errors of the user's told in words."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands)

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except Exception as error:
            from sgdb_engine.errors import SgdbError

            if not isinstance(error, SgdbError):
                raise
            for line in str(error).splitlines():
                click.echo(f"sgdb: {line}", err=True)
            raise click.exceptions.Exit(2) from None


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="sgdb", message="sgdb %(version)s")
def commands() -> None:
    """See into a PyTorch training while it runs: watch it, pause it, step it; prove its set-up sound first."""


@commands.command(cls=TargetCommand)
@click.argument("target")
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
@click.option("-m", "module", is_flag=True, help="TARGET is a module, run as by python -m.")
@headless
@settings
@click.option("--device", help="Where a config trains: auto, cpu, cuda, cuda:1; a script has its own way.")
@runs_dir
@click.option("--name", help="Name of the run; that of the target where it is left out.")
@click.option("--max-steps", type=click.IntRange(min=1), help="Stop in good order after so many steps.")
@click.option("--nproc", type=click.IntRange(min=1), help="Run a script in N processes, by torchrun.")
@json_file
@mute
@fail_on
@look
@theme
def run(
    target: str,
    arguments: tuple[str, ...],
    module: bool,
    headless: bool,
    overrides: tuple[str, ...],
    device: str | None,
    runs_dir: Path,
    name: str | None,
    max_steps: int | None,
    nproc: int | None,
    summary_path: Path | None,
    mute: tuple[str, ...],
    fail_on: "FailOn | None",
    plain: bool,
    theme: str | None,
) -> None:
    """Train TARGET in the background and open the dashboard on it.

    TARGET is a script, unmodified, with its own arguments behind it (train.py --lr 1e-3, or -m package.module); a
    config (*.toml); or a function that returns a sgdb.Workload (package.module:function). Options of sgdb stand
    before it. Leaving the dashboard leaves the training running.
    """
    from sgdb import starting

    if device is not None:
        overrides = (*overrides, f"run.device={device}")
    wanted = starting.Wanted(
        target=target,
        arguments=arguments,
        module=module,
        overrides=overrides,
        name=name,
        runs_dir=runs_dir,
        max_steps=max_steps,
        nproc=nproc or 0,
        summary_path=summary_path,
        mute=mute,
        fail_on=fail_on,
    )
    sys.exit(starting.run(wanted, starting.Look(headless=headless, plain=plain, theme=theme)))


@commands.command(cls=TargetCommand)
@click.argument("target")
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
@click.option("-m", "module", is_flag=True, help="TARGET is a module, run as by python -m.")
@headless
@settings
@runs_dir
@json_file
@report_file
@mute
@fail_on
@look
@theme
def check(
    target: str,
    arguments: tuple[str, ...],
    module: bool,
    headless: bool,
    overrides: tuple[str, ...],
    runs_dir: Path,
    summary_path: Path | None,
    report_path: Path | None,
    mute: tuple[str, ...],
    fail_on: "FailOn | None",
    plain: bool,
    theme: str | None,
) -> None:
    """Prove the set-up of TARGET sound, in seconds, before a run of hours.

    Data, wiring, gradients, one batch learnt by heart, learning rate: thirteen stages before the first
    update. Leaves no trace. In the dashboard Enter then starts the run. Exit code 0: nothing failed;
    1: the check failed; 2: TARGET cannot be run.
    """
    from sgdb import starting

    wanted = starting.Wanted(
        target=target,
        arguments=arguments,
        module=module,
        overrides=overrides,
        runs_dir=runs_dir,
        summary_path=summary_path,
        report_path=report_path,
        mute=mute,
        fail_on=fail_on,
    )
    sys.exit(starting.check(wanted, starting.Look(headless=headless, plain=plain, theme=theme)))


commands.add_command(lr_find)


@commands.command(cls=TargetCommand)
@click.argument("target", required=False)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
@click.option(
    "--grid",
    multiple=True,
    metavar="KEY=VALUE,VALUE",
    help="A key of the config, or --grid --lr=1e-4,1e-3 for an argument of a script; repeatable.",
)
@click.option("-m", "module", is_flag=True, help="TARGET is a module, run as by python -m.")
@click.option(
    "--jobs", type=click.IntRange(min=1), help="Runs side by side; fits the GPUs or cores if left out."
)
@click.option("--resume", metavar="SWEEP", help="Go on with a sweep: what is done is kept.")
@click.option(
    "--shared",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder that other machines see: give each of them this same command.",
)
@headless
@settings
@click.option("--device", help="Where a config trains: auto, cpu, cuda, cuda:1.")
@runs_dir
@click.option("--name", help="Name of the sweep; that of the target where it is left out.")
@click.option("--max-steps", type=click.IntRange(min=1), help="Stop each run after so many steps.")
@json_file
@mute
@look
@theme
def sweep(
    target: str | None,
    arguments: tuple[str, ...],
    grid: tuple[str, ...],
    module: bool,
    jobs: int | None,
    resume: str | None,
    shared: Path | None,
    headless: bool,
    overrides: tuple[str, ...],
    device: str | None,
    runs_dir: Path,
    name: str | None,
    max_steps: int | None,
    summary_path: Path | None,
    mute: tuple[str, ...],
    plain: bool,
    theme: str | None,
) -> None:
    """Train TARGET at each point of a grid, and compare the runs.

    --grid optimizer.lr=1e-4,1e-3,1e-2 --grid train.batch_size=32,64 makes six runs, each a process of its own. Runs
    that diverge are stopped. The table is sorted by the best validation loss. A sweep that was interrupted
    goes on with --resume. Exit code 0: all points are done; 1: none came to a finite loss.
    """
    from sgdb import starting, sweeping

    if device is not None:
        overrides = (*overrides, f"run.device={device}")
    wanted = sweeping.Wanted(
        target=target,
        arguments=arguments,
        module=module,
        grid=grid,
        overrides=overrides,
        name=name,
        runs_dir=runs_dir,
        max_steps=max_steps,
        mute=mute,
        jobs=jobs,
        resume=resume,
        shared=shared,
        summary_path=summary_path,
    )
    sys.exit(sweeping.sweep(wanted, starting.Look(headless=headless, plain=plain, theme=theme)))


@commands.command()
@click.argument("run", required=False)
@runs_dir
@click.option("--once", is_flag=True, help="Print one frame and leave.")
@look
@theme
def attach(run: str | None, runs_dir: Path, once: bool, plain: bool, theme: str | None) -> None:
    """Open the dashboard on RUN, living or ended.

    RUN is a name, an id or a folder; the newest run where it is left out.
    """
    from sgdb import starting

    sys.exit(starting.attach(runs_dir, run, once=once, look=starting.Look(plain=plain, theme=theme)))


@commands.command()
@runs_dir
def ls(runs_dir: Path) -> None:
    """List the runs here: state, step, losses, findings, size."""
    from sgdb.listing import table_of_runs

    for line in table_of_runs(runs_dir):
        click.echo(line)


@commands.command()
@click.argument("path", type=click.Path(path_type=Path, dir_okay=False), default=Path("run.toml"))
@click.option("--force", is_flag=True, help="Overwrite a file that is there.")
def init(path: Path, force: bool) -> None:
    """Write a config with a comment on every key to PATH (run.toml)."""
    from sgdb_engine.config import COMMENTED_CONFIG
    from sgdb_engine.errors import SgdbError

    if path.suffix != ".toml":
        raise SgdbError(f"{path}: give a name that ends in .toml; that is how sgdb knows a config")
    try:
        with path.open("w" if force else "x", encoding="utf-8") as file:
            file.write(COMMENTED_CONFIG)
    except FileExistsError:
        raise SgdbError(f"{path} is there already: give another name, or --force to overwrite it") from None
    except OSError as error:
        raise SgdbError(f"{path} cannot be written: {error.strerror}") from None
    quoted = shlex.quote(str(path))
    click.echo(f"{path} written. Next: sgdb check {quoted}, then sgdb run {quoted}")


@commands.command()
@click.argument("code", required=False)
def explain(code: str | None) -> None:
    """Explain the finding CODE: what it means, how it is measured, what to do.

    Lists all codes where it is left out.
    """
    from sgdb_engine.findings import catalogue

    lines = catalogue.listed() if code is None else [catalogue.explained(catalogue.entry(code))]
    for line in lines:
        click.echo(line)
