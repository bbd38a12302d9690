"""--set section.key=value, laid over the tables of a config."""

import re
import tomllib
from typing import Any

from sgdb_engine.config.wording import show

KEY = re.compile(r"^[A-Za-z_]\w*(\.\w+)*$")


def option_value(text: str) -> Any:
    """A TOML value, or the text itself where it is none: `lr=1e-3` is a number, `name=adamw` is text."""
    try:
        parsed = tomllib.loads(f"value = {text}")
    except (tomllib.TOMLDecodeError, RecursionError):
        return text
    return parsed["value"] if len(parsed) == 1 else text


def split_option(option: str) -> tuple[str, str] | str:
    """(key, text of the value), or what is wrong with the option."""
    key, equals, text = option.partition("=")
    key, text = key.strip(), text.strip()
    if not equals:
        return f"--set {show(option)}: no '=' in it; write --set section.key=value, such as optimizer.lr=0.01"
    if not KEY.match(key):
        return f"--set {show(option)}: write --set section.key=value, such as optimizer.lr=0.01"
    return key, text


def lay_over(raw: dict[str, Any], key: str, value: Any) -> str | None:
    """Sets a dotted key in the tables; a number in it counts the entries of a list: loss.0.weight.

    Gives what is wrong where there is no such place.
    """
    *path, last = key.split(".")
    place: Any = raw
    for part in path:
        if isinstance(place, dict):
            place = place.setdefault(part, {})
        elif isinstance(place, list) and part.isdecimal() and int(part) < len(place):
            place = place[int(part)]
        else:
            return f"there is no {part} to set it in"
    if not isinstance(place, dict):
        return f"there is no {last} in a list; number its entries: loss.0.{last}"
    place[last] = value
    return None
