"""A forked child in which somebody's script goes on: whatever it writes, the user's files stay as they are."""

import _io
import builtins
import functools
import gc
import glob
import io
import os
import posix
import shutil
import sys
import tempfile
import types
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from sgdb_engine.checks.inherited_files import detach_mappings, detach_open_files
from sgdb_engine.checks.landlock import Net, restrict_writes
from sgdb_engine.checks.overlay import Overlay
from sgdb_engine.checks.overlay_calls import FileCalls, calls_on

TEMPORARY = ("TMPDIR", "TEMP", "TMP", "TORCHINDUCTOR_CACHE_DIR", "TRITON_CACHE_DIR")
"""Variables that name a folder in which files come and go."""
WRITTEN_ANEW = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
IN_C = (
    ("torch", "save", 1, "f", WRITTEN_ANEW),
    ("torch", "load", 0, "f", os.O_RDONLY),
    ("torch.jit", "save", 1, "f", WRITTEN_ANEW),
    ("torch.jit", "load", 0, "f", os.O_RDONLY),
    ("torch.export", "save", 1, "f", WRITTEN_ANEW),
    ("torch.export", "load", 0, "f", os.O_RDONLY),
    ("safetensors", "serialize_file", 1, "filename", WRITTEN_ANEW),
    ("safetensors", "safe_open", 0, "filename", os.O_RDONLY),
)
"""Functions that open a path in C++ or Rust: module, name, which argument the path is, and how it is opened.

Those of safetensors stand below every `save_file` and `load_file` of that library.
"""
Replacement = tuple[Callable[..., Any], Callable[..., Any]]
"""A function, and what stands in for it."""
Rebound = dict[int, Callable[..., Any]]
"""The same by the identity of the function."""


def protect_files(scratch: Path) -> Net:
    """From here on this process writes below `scratch` only, and reads there what it wrote; there is no way back.

    For a forked child of one thread that is ended by `os._exit`. Three layers: Python's functions on paths, and the
    savers of torch and safetensors, go to copies; files that were open before the fork are copies too (standard
    output if it is a file included, but not pipes); Landlock refuses the rest, in subprocesses as well, with EACCES.
    An error on the way is raised: the child is not protected then and must end.

    Not protected: what other processes do for this one (a server behind a socket that was open before), and modes,
    owners and times where C or a subprocess sets them.

    Args:
        scratch: an empty folder on a disk with room for what the script writes. Its path should have no more than 60
            characters: sockets are made below it, and their paths have a limit of 107.

    Returns:
        Whether the kernel stands behind it. Unless it is Net.CLOSED, C++, Rust and subprocesses can do damage.
    """
    place = str(scratch.resolve(strict=True))
    temporary = f"{place}/temp"
    posix.mkdir(temporary)
    overlay = Overlay(place)
    detach_mappings(overlay)
    detach_open_files(overlay, temporary)
    net = restrict_writes(anything_below=(place, "/dev/shm"), in_place_below=("/dev", "/proc"))  # noqa: S108
    _rebind(_replacements(overlay))
    _replace_script_module_save(overlay)
    _redirect_temporary_files(temporary)
    shutil.__dict__["_use_fd_functions"] = False  # relative to descriptors there is no overlay
    sys.dont_write_bytecode = True
    return net


# -- what is replaced -------------------------------------------------------------------------------------


def _replacements(overlay: Overlay) -> list[Replacement]:
    open_file = FileCalls(overlay).open_file
    replacements: list[Replacement] = [(builtins.open, open_file), (io.open, open_file)]
    for name, call in calls_on(overlay).items():
        replacements += [(getattr(module, name), call) for module in (os, posix)]
        _note_support(getattr(os, name), call)
    for module_name, name, index, keyword, flags in IN_C:
        original = getattr(sys.modules.get(module_name), name, None)
        if original is not None:
            replacements.append((original, _on_path(overlay, original, index, keyword, flags)))
    return replacements


def _note_support(original: Callable[..., Any], call: Callable[..., Any]) -> None:
    """`os` tells by these sets what a function can do; `dir_fd`, which leads past the overlay, is left out."""
    for supporting in (os.supports_fd, os.supports_follow_symlinks, os.supports_effective_ids):
        if original in supporting:
            supporting.add(call)


def _on_path(
    overlay: Overlay, original: Callable[..., Any], index: int, keyword: str, flags: int
) -> Callable[..., Any]:
    """A function one of whose arguments may be a path that C++ or Rust opens."""

    def place(path: Any) -> Any:
        is_path = isinstance(path, str | bytes | os.PathLike)
        return overlay.for_opening(os.fsdecode(path), flags) if is_path else path

    @functools.wraps(original, updated=())
    def call(*args: Any, **named: Any) -> Any:
        if keyword in named:
            named[keyword] = place(named[keyword])
        elif len(args) > index:
            args = (*args[:index], place(args[index]), *args[index + 1 :])
        return original(*args, **named)

    del call.__dict__["__wrapped__"]  # the original is looked for in such places, to be replaced
    return call


def _replace_script_module_save(overlay: Overlay) -> None:
    torch_jit = sys.modules.get("torch.jit")
    for name in ("ScriptModule", "RecursiveScriptModule"):
        script_module = getattr(torch_jit, name, None)
        if isinstance(script_module, type) and "save" in vars(script_module):
            save = _on_path(overlay, vars(script_module)["save"], 1, "f", WRITTEN_ANEW)
            setattr(script_module, "save", save)  # noqa: B010  # a class that mypy does not know


# -- where it is replaced ---------------------------------------------------------------------------------


def _rebind(replacements: list[Replacement]) -> None:
    """Wherever an original is kept, by whatever name: `from os import remove`, a table of openers, a log handler."""
    rebound = {id(original): call for original, call in replacements}
    kept = [id(vars(module)) for module in (posix, _io)]
    for holder in gc.get_referrers(*(original for original, _ in replacements)):
        names = holder if type(holder) is dict else getattr(holder, "__dict__", None)
        if type(names) is dict and id(names) not in kept:
            for name, value in list(names.items()):
                if id(value) in rebound:
                    names[name] = rebound[id(value)]
    for module in (tempfile, glob):  # their classes keep some in other ways
        for value in list(vars(module).values()):
            if isinstance(value, type):
                _rebind_in_class(value, rebound)


def _rebind_in_class(holder: type, rebound: Rebound) -> None:
    for name, value in list(vars(holder).items()):
        if isinstance(value, staticmethod) and id(value.__func__) in rebound:
            setattr(holder, name, staticmethod(rebound[id(value.__func__)]))
        elif isinstance(value, types.FunctionType) and value.__defaults__:
            value.__defaults__ = _replaced(value.__defaults__, rebound)


def _replaced(values: Iterable[Any], rebound: Rebound) -> tuple[Any, ...]:
    return tuple(rebound.get(id(value), value) for value in values)


def _redirect_temporary_files(folder: str) -> None:
    os.environ.update(dict.fromkeys(TEMPORARY, folder))
    tempfile.tempdir = folder
    multiprocessing = sys.modules.get("multiprocessing.process")
    if multiprocessing is not None:  # it remembers a folder of its own, if it has made one
        multiprocessing.current_process()._config["tempdir"] = None
