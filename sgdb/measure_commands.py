"""The commands that measure a training before it is run."""

import sys
from pathlib import Path

import click

from sgdb.options import TargetCommand, headless, json_file, look, settings, theme


@click.command("lr-find", cls=TargetCommand)
@click.argument("target")
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
@click.option("-m", "module", is_flag=True, help="TARGET is a module, run as by python -m.")
@click.option(
    "--from",
    "lowest",
    type=click.FloatRange(min=0, min_open=True),
    default=1e-7,
    help="The first learning rate (1e-7).",
)
@click.option(
    "--to",
    "highest",
    type=click.FloatRange(min=0, min_open=True),
    default=10.0,
    help="The last one (10).",
)
@click.option(
    "--steps",
    type=click.IntRange(min=20, max=4000),
    default=100,
    help="Updates, one with each rate (100).",
)
@headless
@settings
@json_file
@look
@theme
def lr_find(
    target: str,
    arguments: tuple[str, ...],
    module: bool,
    lowest: float,
    highest: float,
    steps: int,
    headless: bool,
    overrides: tuple[str, ...],
    summary_path: Path | None,
    plain: bool,
    theme: str | None,
) -> None:
    """Find a learning rate for TARGET: raise it at each minibatch, from tiny until the loss diverges.

    Tells the rate at which the loss falls fastest and a tenth of the one at which it is lowest, and how to
    use them. It happens in a process of its own; TARGET is left as it was. Exit code 0: done; 1: the loss
    diverges at once, or TARGET fails; 2: TARGET cannot be run.
    """
    from sgdb import measuring, starting
    from sgdb_engine.launch import RateRange

    wanted = starting.Wanted(
        target=target, arguments=arguments, module=module, overrides=overrides, summary_path=summary_path
    )
    rates = RateRange(lowest=lowest, highest=highest, steps=steps)
    sys.exit(measuring.lr_find(wanted, rates, starting.Look(headless=headless, plain=plain, theme=theme)))
