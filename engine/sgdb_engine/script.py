"""Somebody's script, run as `__main__` as Python itself would, and observed from its import of torch on."""

import contextlib
import importlib.machinery
import importlib.util
import os
import sys
import threading
import types
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from sgdb_engine.back_doors import breakpoints_pause, exits_noticed, stops_leave_threads_quietly
from sgdb_engine.ending import End
from sgdb_engine.errors import TargetError
from sgdb_engine.gate import StopTraining
from sgdb_engine.importing import when_imported
from sgdb_engine.session import Engine, Training
from sgdb_engine.source import compiled
from sgdb_engine.stranger import Stranger
from sgdb_engine.text import clean

INTERRUPTED = 130
"""Exit code of what Ctrl-C ended."""


def script_of(path: Path, written: str, arguments: Sequence[str], *, detached: bool) -> Training:
    """A script as something that the engine can run, in the main thread of the process, once.

    Args:
        path: of the file.
        written: as the user wrote it; becomes sys.argv[0].
        arguments: what stands behind it.
        detached: there is no terminal: `breakpoint()` pauses the run.
    """

    def training(engine: Engine) -> End:
        place = str(path.absolute())
        main = _become_main([written, *arguments], str(path.resolve().parent))
        main.__file__, main.__loader__ = place, importlib.machinery.SourceFileLoader("__main__", place)
        vars(main)["__cached__"] = None
        return _run(engine, lambda: compiled(path), main, detached)

    return training


def module_of(name: str, arguments: Sequence[str], *, detached: bool) -> Training:
    """The same, of what `python -m name` would run."""

    def training(engine: Engine) -> End:
        main = _become_main(["-m", *arguments], str(Path.cwd()))
        return _run(engine, lambda: _become_module(name, main), main, detached)

    return training


# -- what Python does around a script --------------------------------------------------------------------


def _become_main(argv: list[str], first_path: str) -> types.ModuleType:
    """A new `__main__`, with arguments and import path as the script would find them; it stays."""
    main = types.ModuleType("__main__")
    vars(main).update(__builtins__=sys.modules["builtins"], __annotations__={})
    if _starts_with_our_own(sys.path):
        del sys.path[0]
    sys.path.insert(0, first_path)
    sys.argv, sys.modules["__main__"] = argv, main
    return main


def _starts_with_our_own(path: Sequence[str]) -> bool:
    """Whether the first place of the import path is there only because of how the command `sgdb` was started."""
    by_module = getattr(sys.modules.get("__main__"), "__spec__", None) is not None
    ours = Path.cwd() if by_module else Path(sys.argv[0]).resolve().parent
    return bool(path) and not sys.flags.safe_path and path[0] == str(ours)


def _become_module(name: str, main: types.ModuleType) -> types.CodeType:
    spec, code = _found_module(name)
    main.__spec__, main.__loader__, main.__package__ = spec, spec.loader, spec.parent
    vars(main).update(__file__=spec.origin, __cached__=spec.cached)
    sys.argv[0] = spec.origin or name
    return code


def _found_module(name: str) -> tuple[importlib.machinery.ModuleSpec, types.CodeType]:
    """What `python -m name` runs; the packages above it are imported."""
    try:
        spec = importlib.util.find_spec(name)
        if spec is not None and spec.submodule_search_locations is not None:
            spec = importlib.util.find_spec(f"{name}.__main__")
    except (ModuleNotFoundError, ValueError) as error:
        raise TargetError(f"-m {clean(name)}: {error}; it is looked up as by python -m") from None
    get_code = getattr(spec.loader if spec else None, "get_code", None)
    code = get_code(spec.name) if spec and get_code else None
    if spec is None or code is None:
        raise TargetError(f"-m {clean(name)}: there is no such module here, or it is not written in Python")
    return spec, code


# -- the run ----------------------------------------------------------------------------------------------


def _run(engine: Engine, find: Callable[[], types.CodeType], main: types.ModuleType, detached: bool) -> End:
    with contextlib.ExitStack() as stack:
        stranger = Stranger(engine, stack, any_thread=True)
        stack.enter_context(when_imported("torch", stranger.observe))
        stack.enter_context(exits_noticed(engine))
        stack.enter_context(stops_leave_threads_quietly())
        if detached:
            stack.enter_context(breakpoints_pause(engine))
        engine.begin("running the script: no step of training was seen yet")
        end = _executed(engine, find, main)
        _wait_for_threads()
        if engine.gate.stopping and end.state == "finished":  # it was another thread that trained
            end = End("stopped", end.exit_code, "asked")
    if os.getpid() == engine.pid:
        stranger.say_what_was_not_seen()
    return end


def _executed(engine: Engine, find: Callable[[], types.CodeType], main: types.ModuleType) -> End:
    """How the script ends, as Python would have it. Raises TargetError where there is none."""
    begun = False
    try:
        code = find()
        begun = True
        exec(code, vars(main))  # noqa: S102  (to run it is the task)
    except StopTraining as stop:
        return engine.stopped(stop)
    except SystemExit as leaving:
        return _left(leaving)
    except KeyboardInterrupt as error:
        _show(error)
        return End("stopped", INTERRUPTED, "interrupted")
    except BaseException as error:
        if isinstance(error, TargetError) and not begun:
            raise
        _show(error)
        return engine.failed(error)
    return End("finished", 0)


def _left(leaving: SystemExit) -> End:
    code = leaving.code
    if code is None or isinstance(code, int):
        number = int(code or 0)
    else:
        print(code, file=sys.stderr)  # noqa: T201  (as Python does)
        number = 1
    return End("failed" if number else "finished", number & 0xFF, f"sys.exit({code!r})" if number else "")


def _wait_for_threads() -> None:
    """A program ends when its last thread does that is no daemon; idle ones of executors are told to."""
    try:
        threading._shutdown()  # type: ignore[attr-defined]  # what Python itself does here; again, it does nothing
    except KeyboardInterrupt as error:
        _show(error)


def _show(error: BaseException) -> None:
    """The traceback as Python prints it, by whatever hook the script has installed."""
    seen: set[int] = set()
    chain: list[Any] = [error]
    while chain:
        each = chain.pop()
        if each is not None and id(each) not in seen:
            seen.add(id(each))
            each.__traceback__ = _without_ours(each.__traceback__)
            chain += [each.__cause__, each.__context__]
    sys.excepthook(type(error), error, error.__traceback__)


def _without_ours(trace: types.TracebackType | None) -> types.TracebackType | None:
    """The same without the frames of sgdb, unless there are no others."""
    frames = []
    place = trace
    while place is not None:
        frames.append(place)
        place = place.tb_next
    theirs = [each for each in frames if not _is_ours(each.tb_frame)]
    following = None
    for each in reversed(theirs or frames):
        following = types.TracebackType(following, each.tb_frame, each.tb_lasti, each.tb_lineno)
    return following


def _is_ours(frame: types.FrameType) -> bool:
    return str(frame.f_globals.get("__name__", "")).partition(".")[0] in ("sgdb", "sgdb_engine")
