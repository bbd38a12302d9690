"""JSON with the numbers that it lacks: NaN and infinities as "NaN", "Infinity", "-Infinity"."""

import math
from typing import Any

import msgspec

from sgdb_engine.text import clean, clean_lines

_NAMES = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}
_NUMBER_TABLES = ("metrics", "evidence")
"""Fields that map names to numbers, where such a string means the number."""
_SEVERAL_LINES = ("traceback", "error", "text", "message")
_MAX_TEXT = 2000


def to_json(record: msgspec.Struct) -> bytes:
    """One line of JSON."""
    return msgspec.json.encode(_named(msgspec.to_builtins(record)))


def to_plain(content: bytes) -> Any:
    """The JSON value, its text cleaned and its number tables with their non-finite numbers.

    Raises msgspec.DecodeError or UnicodeDecodeError. Give the outcome to msgspec.convert(strict=False), which
    reads the named numbers wherever a float is expected.
    """
    return _cleaned(msgspec.json.decode(content), "")


def _named(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode() if not value.isascii() else value
    if isinstance(value, dict):
        return {_named(k): _named(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_named(v) for v in value]
    return value


def _cleaned(value: Any, field: str) -> Any:
    if isinstance(value, str):
        return clean_lines(value) if field in _SEVERAL_LINES else clean(value, _MAX_TEXT)
    if isinstance(value, list):
        return [_cleaned(v, field) for v in value]
    if isinstance(value, dict):
        if field in _NUMBER_TABLES:
            value = {k: _NAMES.get(v, v) if isinstance(v, str) else v for k, v in value.items()}
        return {clean(k): _cleaned(v, k) for k, v in value.items()}
    return value
