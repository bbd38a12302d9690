"""A script's source → code, or in words why it is none."""

import io
import types
from pathlib import Path

from sgdb_engine.errors import TargetError
from sgdb_engine.text import clean, clean_lines


def compiled(path: Path) -> types.CodeType:
    """The code of a script.

    Raises:
        TargetError: it cannot be read, or is not Python.
    """
    place = str(path.absolute())  # a link stays one: a script may look for its data beside it
    try:
        with io.open_code(place) as file:
            source = file.read()
        return compile(source, place, "exec", dont_inherit=True)
    except OSError as error:
        raise TargetError(f"{clean(str(path))} cannot be read: {error.strerror or error}") from None
    except SyntaxError as error:
        line = f", line {error.lineno}" if error.lineno else ""
        place = f"{clean(str(path))}{line}: {error.msg}"
        raise TargetError(f"{place}\n{_pointed_out(error)}".rstrip()) from None
    except ValueError as error:  # null bytes, in Python before 3.11.4
        raise TargetError(f"{clean(str(path))} is not a Python script: {error}") from None


def _pointed_out(error: SyntaxError) -> str:
    line = clean_lines((error.text or "").rstrip("\n"))
    return f"    {line}\n    {' ' * max(0, (error.offset or 1) - 1)}^" if line else ""
