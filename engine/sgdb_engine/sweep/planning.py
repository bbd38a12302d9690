"""The command line → the plan of a sweep, every point of it checked before anything is started."""

import secrets
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from sgdb_engine.config import load_config
from sgdb_engine.config.overrides import option_value
from sgdb_engine.config.wording import show
from sgdb_engine.errors import ConfigError, TargetError
from sgdb_engine.launch import SCRIPTS
from sgdb_engine.sweep.grid import Axis, ordered, points_of
from sgdb_engine.sweep.plan import SweepPlan, options_of
from sgdb_engine.target import Target, resolve, versions
from sgdb_engine.text import clean


def plan_of(
    written: str,
    arguments: Sequence[str],
    overrides: Sequence[str],
    axes: tuple[Axis, ...],
    *,
    module: bool = False,
    name: str | None = None,
    max_steps: int | None = None,
    mute: tuple[str, ...] = (),
    shared: bool = False,
) -> SweepPlan:
    """The plan of a sweep, every point of it checked as far as it can be without running it.

    Args:
        written: the target, as the user wrote it.
        arguments: what stands behind it.
        overrides: values of a config that are the same at each point.
        axes: of the grid.
        module: the target is to be run as by `python -m`.
        name: of the sweep, where that of the target is not wanted.
        max_steps: each run stops after so many.
        mute: codes of findings that are not told, and stop no run.
        shared: workers on several machines share the points.

    Raises:
        TargetError: the target cannot be run, or takes no such grid.
        ConfigError: with all mistakes of all points, each told once.
    """
    is_config = Path(written).suffix == ".toml" and not module
    order = ordered(axes)
    if is_config:
        target = _checked_config(written, arguments, overrides, axes, order)
    else:
        target = resolve(written, arguments, overrides, module=module)
        _refuse_wrong_keys(target, axes)
    return SweepPlan(
        id=secrets.token_hex(4),
        name=name or f"{target.name}-sweep",
        kind=target.kind,
        target=written,
        arguments=target.arguments,
        config_text=target.config_text,
        base=target.base,
        overrides=tuple(overrides),
        grid=axes,
        order=order,
        shared=shared,
        max_steps=max_steps,
        mute=mute,
        created=time.time(),
        versions=versions(),
    )


def _checked_config(
    written: str,
    arguments: Sequence[str],
    overrides: Sequence[str],
    axes: Sequence[Axis],
    order: Sequence[tuple[str, ...]],
) -> Target:
    """The config at its first point. Raises ConfigError with the mistakes of all points."""
    problems = list(_keys_that_fit_no_config(written, overrides, axes))
    if problems:
        raise ConfigError(problems)
    for point in points_of(axes, order):
        try:
            load_config(Path(written), (*overrides, *options_of(point)))
        except ConfigError as error:
            problems += error.problems
    if problems:
        raise ConfigError(list(_told_once(problems, axes)))
    first = next(points_of(axes, order))
    target = resolve(written, arguments, (*overrides, *options_of(first)))
    return replace(target, overrides=tuple(overrides))


def _keys_that_fit_no_config(written: str, overrides: Sequence[str], axes: Sequence[Axis]) -> Iterator[str]:
    held = {option.partition("=")[0].strip() for option in overrides}
    for axis in axes:
        if axis.is_argument:
            yield f"--grid {axis.key}: {clean(written)} is a config; write --grid section.key=value,value"
        elif axis.key in held:
            yield f"--grid {axis.key}: --set {axis.key} gives it one value for all points; keep one of the two"


def _refuse_wrong_keys(target: Target, axes: Sequence[Axis]) -> None:
    written = clean(target.written)
    if target.kind not in SCRIPTS:
        raise TargetError(
            f"{written}: a function that returns a Workload takes no values from a grid; write a config "
            "that names your model and data, or a script with arguments"
        )
    wrong = [axis for axis in axes if not axis.is_argument]
    if wrong:
        key = wrong[0].key
        raise TargetError(
            f"--grid {key}: {written} is a script, and its grid is of its own arguments: "
            f"--grid --{key.rpartition('.')[2]}={','.join(wrong[0].values)}"
        )


def _told_once(problems: Iterable[str], axes: Sequence[Axis]) -> Iterator[str]:
    """What is wrong with several values of a key in the same way stands in one line."""
    values: dict[tuple[str, str], list[str]] = {}
    for problem in dict.fromkeys(problems):
        key, value, wrong = _taken_apart(problem, axes)
        values.setdefault((key, wrong), []).append(value)
    for (key, wrong), found in values.items():
        yield f"--grid {key}={','.join(found)}: {wrong}" if key else wrong


def _taken_apart(problem: str, axes: Sequence[Axis]) -> tuple[str, str, str]:
    """Key and value of the grid that a line of the config's reader is about, and what is wrong with it."""
    for axis in axes:
        for value in axis.values:
            place = f"--set {axis.key}={value}: "
            if problem.startswith(place):
                wrong = problem.removeprefix(place)
                for shown in (f"{axis.key} = {show(option_value(value))}: ", f"{axis.key}: "):
                    wrong = wrong.removeprefix(shown)
                return axis.key, value, wrong
    return "", "", problem
