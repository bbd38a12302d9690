"""`--grid key=value,value,…` → the axes of a grid and its points, or every mistake at once."""

import math
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product

import msgspec

from sgdb_engine.config.overrides import KEY, option_value
from sgdb_engine.config.wording import show
from sgdb_engine.errors import ConfigError

MOST_POINTS = 10_000
EXAMPLE = "--grid optimizer.lr=1e-4,1e-3,1e-2"
ARGUMENT = re.compile(r"^--?[A-Za-z][\w.-]*$")
"""A key that is an argument of a script."""
OPENING, CLOSING, QUOTES = "([{", ")]}", "\"'"


class Axis(msgspec.Struct, frozen=True):
    """One `--grid` option: a key of the config, or an argument of a script, and the values that it takes."""

    key: str
    values: tuple[str, ...]
    """As they were typed."""

    @property
    def is_argument(self) -> bool:
        """It is for a script."""
        return self.key.startswith("-")


@dataclass(frozen=True, slots=True)
class Point:
    """One run of a sweep."""

    number: int
    """From 1."""
    settings: tuple[tuple[str, str], ...]
    """Each key with its value as it was typed."""
    label: str
    """What tells it from the others: `lr=1e-3 batch_size=32`."""


def parse_grid(options: Sequence[str]) -> tuple[Axis, ...]:
    """The axes, in the order of the options.

    Raises ConfigError with all mistakes.
    """
    parsed = [_axis(option) for option in options]
    problems = [each for each in parsed if isinstance(each, str)]
    axes = tuple(each for each in parsed if isinstance(each, Axis))
    for key, count in Counter(axis.key for axis in axes).items():
        if count > 1:
            problems.append(f"--grid {key}: is given {count} times; give all its values once, with commas")
    if not options:
        problems.append(f"a sweep needs a grid; give one or more, such as {EXAMPLE}")
    points = math.prod(len(axis.values) for axis in axes)
    if points > MOST_POINTS:
        problems.append(f"--grid: {points:,} points are more than {MOST_POINTS:,}; give fewer values")
    if problems:
        raise ConfigError(problems)
    return axes


def typed(axes: Sequence[Axis]) -> str:
    """The axes as they are typed."""
    return " ".join(f"--grid {axis.key}={','.join(axis.values)}" for axis in axes)


def ordered(axes: Sequence[Axis]) -> tuple[tuple[str, ...], ...]:
    """The values of each point, in the order of the axes; those of the last axis change fastest."""
    return tuple(product(*(axis.values for axis in axes)))


def points_of(axes: Sequence[Axis], order: Sequence[tuple[str, ...]]) -> Iterator[Point]:
    """The points, numbered and labelled."""
    names = short_names([axis.key for axis in axes])
    for number, values in enumerate(order, 1):
        label = " ".join(f"{name}={value}" for name, value in zip(names, values, strict=True))
        yield Point(number, tuple(zip((axis.key for axis in axes), values, strict=True)), label)


def short_names(keys: Sequence[str]) -> tuple[str, ...]:
    """The last part of each dotted key; the whole of those that would be the same."""
    last = [key.lstrip("-").rpartition(".")[2] for key in keys]
    return tuple(
        name if last.count(name) == 1 else key.lstrip("-") for name, key in zip(last, keys, strict=True)
    )


def _axis(option: str) -> Axis | str:
    """The axis, or what is wrong with the option."""
    key, equals, text = option.partition("=")
    key, text = key.strip(), text.strip()
    if not equals or not (KEY.match(key) or ARGUMENT.match(key)):
        return f"--grid {show(option)}: write --grid section.key=value,value, such as {EXAMPLE}"
    if not text:
        return f"--grid {key}=: there are no values; write them behind it, with commas: {EXAMPLE}"
    values = split_values(text)
    if values is None:
        return f"--grid {key}={text}: a bracket or a quote is not closed"
    if not all(values):
        return f"--grid {key}={text}: a value is empty; write one between any two commas"
    read = [repr(option_value(value)) for value in values]
    twice = [value for place, value in enumerate(values) if read[place] in read[:place]]
    if twice:
        return f"--grid {key}={text}: {twice[0]} is there twice; each point is run once"
    return Axis(key, values)


def split_values(text: str) -> tuple[str, ...] | None:
    """The parts between commas that stand in no brackets and no quotes; None where one of those is not closed."""
    parts, start, open_brackets, quote = [], 0, "", ""
    for place, character in enumerate(text):
        if quote:
            quote = "" if character == quote else quote
        elif character in QUOTES:
            quote = character
        elif character in OPENING:
            open_brackets += character
        elif character in CLOSING:
            if open_brackets[-1:] != OPENING[CLOSING.index(character)]:
                return None
            open_brackets = open_brackets[:-1]
        elif character == "," and not open_brackets:
            parts.append(text[start:place].strip())
            start = place + 1
    if quote or open_brackets:
        return None
    return (*parts, text[start:].strip())
