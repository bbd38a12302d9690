"""What a sweep is: one target at each point of a grid."""

import re
from dataclasses import replace

import msgspec

from sgdb_engine.config import parse_config
from sgdb_engine.config.overrides import option_value
from sgdb_engine.launch import SCRIPTS, Kind
from sgdb_engine.sweep.grid import Axis, Point, points_of
from sgdb_engine.target import Target


class SweepPlan(msgspec.Struct, frozen=True, kw_only=True):
    """What is run at each point, and the points in their order."""

    schema: int = 1
    id: str
    name: str
    kind: Kind
    target: str
    """As the user wrote it."""
    arguments: tuple[str, ...] = ()
    """Of a script, at every point."""
    config_text: str = ""
    """As it was when the sweep began: what is resumed is the same, whatever has become of the file."""
    base: str
    """The folder against which paths and modules are resolved."""
    overrides: tuple[str, ...] = ()
    """Of a config, at every point."""
    grid: tuple[Axis, ...]
    order: tuple[tuple[str, ...], ...]
    """The values of each point, one for each axis."""
    shared: bool = False
    """Workers on several machines share the points."""
    max_steps: int | None = None
    mute: tuple[str, ...] = ()
    created: float = 0.0
    """Seconds since the epoch."""
    versions: dict[str, str] = {}

    def points(self) -> tuple[Point, ...]:
        """All points, in the order in which they are begun."""
        return tuple(points_of(self.grid, self.order))

    def is_same_as(self, other: "SweepPlan") -> bool:
        """Whether both would run the same points."""
        return _what_is_run(self) == _what_is_run(other)


def _what_is_run(plan: SweepPlan) -> SweepPlan:
    """Without what differs from machine to machine, and from one start to the next."""
    return msgspec.structs.replace(plan, id="", name="", target="", base="", created=0.0, versions={})


def target_of(plan: SweepPlan, point: Point) -> Target:
    """What is run at a point."""
    target = Target(
        kind=plan.kind,
        written=plan.target,
        name=run_name(plan, point),
        arguments=plan.arguments,
        config_text=plan.config_text,
        overrides=plan.overrides,
        base=plan.base,
    )
    if plan.kind in SCRIPTS:
        added = [part for key, value in point.settings for part in (key, str(_as_argument(value)))]
        return replace(target, arguments=(*plan.arguments, *added))
    overrides = (*plan.overrides, *options_of(point), f"run.name={target.name}")
    config = parse_config(plan.config_text, origin=plan.target, overrides=overrides)
    return replace(target, overrides=overrides, config=config)


def run_name(plan: SweepPlan, point: Point) -> str:
    """Of the run of a point: its number, then its label, in what a name may consist of."""
    digits = len(str(len(plan.order)))
    return re.sub(r"[^A-Za-z0-9_.-]+", "-", f"{point.number:0{digits}d}-{point.label}")[:64]


def value_of(plan: SweepPlan, text: str) -> object:
    """What the text of a value means."""
    return _as_argument(text) if plan.kind in SCRIPTS else option_value(text)


def _as_argument(text: str) -> str:
    """As a script gets it: without the quotes that hold a comma together."""
    value = option_value(text)
    return value if isinstance(value, str) else text


def options_of(point: Point) -> tuple[str, ...]:
    """As `--set` takes them."""
    return tuple(f"{key}={value}" for key, value in point.settings)
