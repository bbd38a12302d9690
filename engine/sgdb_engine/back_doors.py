"""Ways out of a script that Python's own machinery does not tell of, and `breakpoint()` where there is no terminal."""

import contextlib
import os
import shutil
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

from sgdb_engine.ending import End
from sgdb_engine.gate import StopTraining
from sgdb_engine.session import Engine

REPLACING = ("execv", "execve", "execl", "execle", "execlp", "execlpe", "execvp", "execvpe")


@contextlib.contextmanager
def exits_noticed(engine: Engine) -> Iterator[None]:
    """A script that ends itself by `os._exit` or becomes another program says so in its run folder first."""
    replaced: dict[str, Callable[..., Any]] = {}

    def wrap(name: str, end_of: Callable[[tuple[Any, ...]], End | None]) -> None:
        original = replaced[name] = getattr(os, name)

        def leave(*args: Any, **kwargs: Any) -> Any:
            if os.getpid() == engine.pid:  # not in the children of multiprocessing, which all end so
                with contextlib.suppress(Exception):
                    end = end_of(args)
                    if end is not None:
                        engine.leave(end)
            return original(*args, **kwargs)

        setattr(os, name, leave)

    wrap("_exit", _exited)
    for name in REPLACING:
        wrap(name, _replaced)
    try:
        yield
    finally:
        for name, original in replaced.items():
            setattr(os, name, original)


def _exited(args: tuple[Any, ...]) -> End:
    code = int(args[0]) & 0xFF if args else 0
    return End("failed" if code else "finished", code, f"the script called os._exit({code})")


def _replaced(args: tuple[Any, ...]) -> End | None:
    """None where there is no such program: the script goes on then."""
    found = shutil.which(os.fsdecode(args[0]))
    return None if found is None else End("stopped", 0, f"the process became another program: {found}")


@contextlib.contextmanager
def stops_leave_threads_quietly() -> Iterator[None]:
    """A stop that was asked for ends a thread that trains without a traceback, as SystemExit does."""
    before = threading.excepthook

    def hook(raised: threading.ExceptHookArgs, /) -> None:
        if not issubclass(raised.exc_type, StopTraining):
            before(raised)

    threading.excepthook = hook
    try:
        yield
    finally:
        if threading.excepthook is hook:
            threading.excepthook = before


@contextlib.contextmanager
def breakpoints_pause(engine: Engine) -> Iterator[None]:
    """`breakpoint()` holds the run until its dashboard lets it go on; PYTHONBREAKPOINT=0 still switches it off."""
    before = sys.breakpointhook

    def hook(*args: Any, **kwargs: Any) -> None:
        if os.environ.get("PYTHONBREAKPOINT") != "0":
            frame = sys._getframe(1)
            place = f"breakpoint() at {frame.f_code.co_filename}:{frame.f_lineno}"
            if engine.place.rank:  # alone it would keep the others waiting for ever
                engine.note(f"{place}: not paused, only the first rank's breakpoints are")
                return
            engine.note(f"{place}: paused, space goes on")
            engine.pause_here("breakpoint()")

    sys.breakpointhook = hook
    try:
        yield
    finally:
        sys.breakpointhook = before
