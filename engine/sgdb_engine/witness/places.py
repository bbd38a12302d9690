"""Where in the user's code something was called."""

import os
import sys
from functools import lru_cache
from pathlib import Path
from types import FrameType

OURS = ("sgdb", "sgdb_engine")


def place_of_call(depth: int = 1) -> str | None:
    """file:line of the innermost frame that is the user's own; relative to the working directory where it lies below.

    Neither sgdb, PyTorch, the standard library, nor anything else that was installed.
    """
    frame: FrameType | None = sys._getframe(depth)
    while frame is not None:
        place = _place(frame.f_code.co_filename, str(frame.f_globals.get("__name__", "")))
        if place is not None:
            return f"{place}:{frame.f_lineno}"
        frame = frame.f_back
    return None


@lru_cache(maxsize=4096)
def _place(file: str, module: str) -> str | None:
    if module.partition(".")[0] in OURS or file.startswith(("<", "sgdb (")):
        return None
    path = Path(file)
    if path.name == "sgdb" and path.parent.name in ("bin", "Scripts"):
        return None
    if {"site-packages", "dist-packages"} & set(path.parts) or _is_of_python(file):
        return None
    try:
        return str(path.absolute().relative_to(Path.cwd()))
    except ValueError:
        return str(path)


def _is_of_python(file: str) -> bool:
    return file.startswith(str(Path(os.__file__).parent) + os.sep)
