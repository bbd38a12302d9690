"""Replacing functions for a while: every replacement is undone, in reverse order."""

import sys
import threading
import types
from collections.abc import Callable
from typing import Any

Function = Callable[..., Any]

_covered: list[Callable[[], object]] = []
"""The ways back that another observation, or the user's own code, stood in."""
_one_at_a_time = threading.RLock()
_told: list[types.ModuleType] = []
"""That our functions are to be left alone."""


class Patches:
    """Replaced attributes of modules and classes, and registered hooks, with the way back."""

    def __init__(self) -> None:
        self._undo: list[Callable[[], object]] = []

    def replace(self, owner: Any, name: str, make: Callable[[Function], Function]) -> None:
        """Sets `owner.name` to `make(original)`; an original that a class inherits is looked up at each call."""
        with _one_at_a_time:
            self._undo.append(_replace(owner, name, make))

    def undo_by(self, undo: Callable[[], object]) -> None:
        """Takes over the way back of something else, such as a hook."""
        self._undo.append(undo)

    def remove(self) -> None:
        """Puts everything back; what somebody else has covered meanwhile, when they have put back theirs."""
        with _one_at_a_time:
            left = [*reversed(self._undo), *_covered]
            self._undo.clear()
            _covered.clear()
            while left != (left := [undo for undo in left if undo() is False]):
                pass  # what was put back may have uncovered others
            _covered.extend(left)


def _replace(owner: Any, name: str, make: Callable[[Function], Function]) -> Callable[[], bool]:
    own = name in vars(owner)
    original = vars(owner)[name] if own else _inherited(owner, name)
    replacement = unseen_by_warnings(make(original))
    setattr(owner, name, replacement)

    def restore() -> bool:
        if vars(owner).get(name) is not replacement:
            return False  # somebody else replaced it after us: theirs stays
        if own:
            setattr(owner, name, original)
        else:
            delattr(owner, name)
        return True

    return restore


def unseen_by_warnings(function: Function) -> Function:
    """The same function; Python's `warnings` pass over its frame when they look for the caller that is to blame.

    They do so for the frames of importlib, which they know by the name of the file.
    """
    return _in_file(function, "sgdb (as importlib/_bootstrap)")


def unseen_by_compilers(function: Function) -> Function:
    """The same, and torch.compile runs it as it is instead of looking into it, as it does with importlib.

    Not for what stands within a compiled model: there the graph would break in two.
    """
    return _in_file(function, "<frozen importlib._bootstrap> (sgdb)")


def _in_file(function: Function, name: str) -> Function:
    if isinstance(function, types.FunctionType) and "importlib" not in function.__code__.co_filename:
        function.__code__ = function.__code__.replace(co_filename=name)
    return function


def hide_from_compilers() -> None:
    """The rest of this package is run as it is, too, once torch.compile is there."""
    rules = sys.modules.get("torch._dynamo.trace_rules")
    if rules is not None and rules not in _told:
        _told.append(rules)
        rules.add(__name__.partition(".")[0])


def _inherited(owner: Any, name: str) -> Function:
    # torch.fx, for one, replaces Module.__call__ while it traces: a function fetched now would go past it
    @unseen_by_warnings
    def original(instance: Any, *args: Any, **kwargs: Any) -> Any:
        return getattr(super(owner, instance), name)(*args, **kwargs)

    return original
