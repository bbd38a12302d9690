"""Options that several commands have, and how those before a TARGET are told from those of the target."""

from pathlib import Path

import click

RUNS_DIR = Path("runs")


class TargetCommand(click.Command):
    """Options of sgdb stand before TARGET; behind a config, which takes no arguments, they may stand too."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        ctx.allow_interspersed_args = False
        typed = self.make_parser(ctx).parse_args(args=list(args))[0]
        is_config = str(typed.get("target", "")).endswith(".toml") and not typed.get("module")
        ctx.allow_interspersed_args = is_config
        return super().parse_args(ctx, args)


runs_dir = click.option(
    "--runs-dir",
    type=click.Path(path_type=Path, file_okay=False),
    default=RUNS_DIR,
    help="Where runs are kept (runs/).",
)
headless = click.option("--headless", is_flag=True, help="No dashboard: train here, print progress lines.")
json_file = click.option(
    "--json",
    "summary_path",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write the summary to this file.",
)
report_file = click.option(
    "--report",
    "report_path",
    metavar="FILE.md|.html",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write a report, with its curves, to this file.",
)
settings = click.option(
    "--set",
    "overrides",
    multiple=True,
    metavar="SECTION.KEY=VALUE",
    help="Change a value of the config; repeatable.",
)
mute = click.option(
    "--mute", multiple=True, metavar="CODE", help="Do not tell findings of this code; repeatable."
)
fail_on = click.option(
    "--fail-on",
    type=click.Choice(["error", "warning", "never"]),
    help="Exit code 1 where such a finding was told (check: error, run: never).",
)
look = click.option("--ascii", "plain", is_flag=True, help="Draw with plain ASCII characters.")
theme = click.option(
    "--theme",
    type=click.Choice(["dark", "light", "ansi"]),
    help="Colours; fits the terminal where it is left out.",
)
