"""The user's own code: "module:name" → the object."""

import importlib
import inspect
import sys
import traceback
from collections.abc import Collection
from pathlib import Path
from typing import Any

from sgdb_engine.config.wording import nearest
from sgdb_engine.errors import TargetError
from sgdb_engine.workload.workload import Workload


def load_object(key: str, spec: str, folder: Path) -> Any:
    """Imports what `spec` = "module:name" names, from `folder` first; `key` is what messages call it.

    The folder stays on the import path: workers and late imports need it. Raises TargetError.
    """
    module_name, _, path = spec.partition(":")
    place = str(folder.resolve())
    if place not in sys.path:
        sys.path.insert(0, place)
    try:
        found: Any = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is not None and (module_name + ".").startswith(error.name + "."):
            raise TargetError(
                f'{key} = "{spec}": there is no module {error.name} in {place} nor among the installed ones.'
                + nearest(module_name, [file.stem for file in folder.glob("*.py")])
            ) from None
        raise TargetError(failure(key, spec, "could not be imported", error)) from error
    except (Exception, SystemExit) as error:
        raise TargetError(failure(key, spec, "could not be imported", error)) from error
    for name in path.split("."):
        if not hasattr(found, name):
            close = nearest(name, [each for each in dir(found) if not each.startswith("_")])
            raise TargetError(f'{key} = "{spec}": there is no {name} in {module_name}.{close}')
        found = getattr(found, name)
    return found


def call(key: str, spec: str, function: Any, arguments: dict[str, Any]) -> Any:
    """Calls the user's function. What it raises becomes a TargetError with its traceback."""
    if not callable(function):
        raise TargetError(f'{key} = "{spec}": is {type(function).__name__}, not something that can be called')
    try:
        return function(**arguments)
    except (Exception, SystemExit) as error:
        raise TargetError(failure(key, spec, "raised", error)) from error


def made_workload(spec: str, folder: Path) -> Workload:
    """What the user's function returns, called with `seed=0` where it takes a seed. Raises TargetError."""
    function = load_object("TARGET", spec, folder)
    takes_seed = callable(function) and "seed" in _parameters_of(function)
    made = call("TARGET", spec, function, {"seed": 0} if takes_seed else {})
    if not isinstance(made, Workload):
        raise TargetError(
            f'TARGET = "{spec}": it returned {type(made).__name__}, not a sgdb.Workload '
            "with model, optimizer, loss and train"
        )
    if not any(True for _ in made.model.parameters()):
        raise TargetError(f'TARGET = "{spec}": its model has no parameters, so nothing can be trained')
    return made


def _parameters_of(function: Any) -> Collection[str]:
    try:
        return inspect.signature(function).parameters
    except (TypeError, ValueError):
        return ()


def failure(key: str, spec: str, what: str, error: BaseException) -> str:
    """A message with the traceback from the user's first line on."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if "<frozen" not in frame.filename]
    theirs = [frame for frame in frames if frame.filename != __file__]
    listing = "".join(traceback.format_list(theirs) + traceback.format_exception_only(error))
    return f'{key} = "{spec}": {what}: {type(error).__name__}: {error}\n{listing.rstrip()}'
