"""Replacing functions for a while: every replacement is undone, in reverse order."""

import threading
import types
from collections.abc import Callable
from typing import Any

Function = Callable[..., Any]

_covered: list[Callable[[], object]] = []
"""The ways back that another observation, or the user's own code, stood in."""
_one_at_a_time = threading.RLock()


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
    replacement = _unseen_by_warnings(make(original))
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


def _unseen_by_warnings(function: Any) -> Any:
    """The same function; Python's `warnings` pass over its frame when they look for the caller that is to blame.

    They do so for the frames of importlib, which they know by the name of the file.
    """
    if isinstance(function, types.FunctionType):
        code = function.__code__
        function.__code__ = code.replace(co_filename=f"{code.co_filename} (as importlib/_bootstrap)")
    return function


def _inherited(owner: Any, name: str) -> Function:
    # torch.fx, for one, replaces Module.__call__ while it traces: a function fetched now would go past it
    def original(instance: Any, *args: Any, **kwargs: Any) -> Any:
        return getattr(super(owner, instance), name)(*args, **kwargs)

    return original
