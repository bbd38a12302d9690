"""Ways out of a script that Python's own machinery does not tell of, and `breakpoint()` where there is no terminal."""

import contextlib
import os
import sys
from collections.abc import Callable, Iterator
from typing import Any

from sgdb_engine.session import End, Engine

REPLACING = ("execv", "execve", "execl", "execle", "execlp", "execlpe", "execvp", "execvpe")


@contextlib.contextmanager
def exits_noticed(engine: Engine) -> Iterator[None]:
    """A script that ends itself by `os._exit` or becomes another program says so in its run folder first."""
    replaced: dict[str, Callable[..., Any]] = {}

    def wrap(name: str, end_of: Callable[[tuple[Any, ...]], End]) -> None:
        original = replaced[name] = getattr(os, name)

        def leave(*args: Any, **kwargs: Any) -> Any:
            if os.getpid() == engine.pid:  # not in the children of multiprocessing, which all end so
                with contextlib.suppress(Exception):
                    engine.leave(end_of(args))
            return original(*args, **kwargs)

        setattr(os, name, leave)

    wrap("_exit", _exited)
    for name in REPLACING:
        wrap(name, lambda args: End("stopped", 0, f"the process became another program: {args[0]}"))
    try:
        yield
    finally:
        for name, original in replaced.items():
            setattr(os, name, original)


def _exited(args: tuple[Any, ...]) -> End:
    code = int(args[0]) & 0xFF if args else 0
    return End("failed" if code else "finished", code, f"the script called os._exit({code})")


@contextlib.contextmanager
def breakpoints_pause(engine: Engine) -> Iterator[None]:
    """`breakpoint()` holds the run until its dashboard lets it go on; PYTHONBREAKPOINT=0 still switches it off."""
    before = sys.breakpointhook

    def hook(*args: Any, **kwargs: Any) -> None:
        if os.environ.get("PYTHONBREAKPOINT") != "0":
            frame = sys._getframe(1)
            engine.note(f"breakpoint() at {frame.f_code.co_filename}:{frame.f_lineno}: paused, space goes on")
            engine.pause_here("breakpoint()")

    sys.breakpointhook = hook
    try:
        yield
    finally:
        sys.breakpointhook = before
