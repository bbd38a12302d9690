"""What is wrong with a value and what would be right, in words."""

import difflib
import json
import math
from collections.abc import Iterable
from typing import Any

from msgspec import inspect

NO_BOUND = 10**12
"""Bounds from here on only keep infinity out and are not told."""


def show(value: object) -> str:
    """A value as it stands in the file, at most 60 characters, nothing that a terminal would obey."""
    text = json.dumps(value, ensure_ascii=False, default=str)
    text = "".join(char if char.isprintable() else "\ufffd" for char in text)
    return text if len(text) <= 60 else text[:59] + "…"


def nearest(wrong: str, right: Iterable[str]) -> str:
    """' Did you mean …?' with the nearest spelling, or nothing."""
    found = difflib.get_close_matches(wrong, sorted(right), n=1, cutoff=0.6)
    return f" Did you mean '{found[0]}'?" if found else ""


def listed(words: Iterable[str]) -> str:
    """a, b and c"""
    every = list(words)
    return every[0] if len(every) == 1 else f"{', '.join(every[:-1])} and {every[-1]}"


def expected(kind: inspect.Type) -> str:
    """What a value of this type looks like: 'a whole number, at least 1'."""
    match kind:
        case inspect.UnionType(types=types):
            return " or ".join(expected(each) for each in types if not isinstance(each, inspect.NoneType))
        case inspect.LiteralType(values=values):
            words = [show(value) for value in values]
            return words[0] if len(words) == 1 else f"one of {', '.join(words)}"
        case inspect.IntType():
            return "a whole number" + _bounds(kind)
        case inspect.FloatType():
            return "a number" + _bounds(kind)
        case inspect.BoolType():
            return "true or false"
        case inspect.StrType():
            return _text(kind)
        case inspect.TupleType(item_types=items):
            return f"a list of {len(items)}, each {expected(items[0])}"
        case inspect.VarTupleType(item_type=item):
            return f"a list, each {expected(item)}"
        case inspect.DictType():
            return "a table { key = value, … }"
    return "another type"


def _bounds(kind: inspect.IntType | inspect.FloatType) -> str:
    named = (("above", kind.gt), ("at least", kind.ge), ("below", kind.lt), ("at most", kind.le))
    parts = [f"{word} {bound}" for word, bound in named if bound is not None and bound < NO_BOUND]
    return f", {' and '.join(parts)}" if parts else ""


PATTERNS = {
    "auto|cpu": '"auto", "cpu", "cuda" or "cuda:0"',
    ":[A-Za-z_]": '"module:name", such as "mypackage.models:Net"',
    "{0,63}": "a short name of letters, digits, '.', '_' and '-'",
}
"""A part of a pattern of records.py → what matches it."""


def _text(kind: inspect.StrType) -> str:
    if kind.max_length == 1:
        return "one character"
    return next((words for part, words in PATTERNS.items() if part in (kind.pattern or "")), "text in quotes")


def hint(value: Any, kind: inspect.Type) -> str:
    """The usual slip behind a value of the wrong type, where there is one."""
    if not isinstance(value, str):
        return ""
    words = [each for part in _parts(kind) if isinstance(part, inspect.LiteralType) for each in part.values]
    if not words and any(isinstance(part, inspect.IntType | inspect.FloatType) for part in _parts(kind)):
        return " Leave out the quotes." if _is_number(value) else ""
    return nearest(value, [str(word) for word in words])


def _parts(kind: inspect.Type) -> tuple[inspect.Type, ...]:
    return kind.types if isinstance(kind, inspect.UnionType) else (kind,)


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False
