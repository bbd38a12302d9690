"""Sees the optimizer's step: once, even where a subclass calls its parent's, or one optimizer another."""

import sys
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any

import torch
from torch.optim.optimizer import register_optimizer_step_post_hook, register_optimizer_step_pre_hook

from sgdb_engine.observe.models import Models
from sgdb_engine.observe.observer import Observer, clock
from sgdb_engine.observe.patches import Patches

Arguments = tuple[tuple[Any, ...], dict[str, Any]]


class Updates:
    """Counts outermost calls of `optimizer.step()` that come to their end."""

    def __init__(self, observer: Observer, models: Models) -> None:
        self._observer = observer
        self._models = models
        self._outermost: FrameType | None = None
        """Of the step under way. After a step that raised it is a frame that no longer runs."""
        self._started = 0.0

    def before(
        self, caller: FrameType, optimizer: torch.optim.Optimizer, args: Any, kwargs: Any
    ) -> Arguments | None:
        """PyTorch is about to call a step from the frame `caller`; returns other arguments for it, or None."""
        if not self._observer.here():
            return None
        if self._outermost is not None and _runs_under(caller, self._outermost):
            return None
        self._outermost = caller
        closure = args[1] if len(args) > 1 else kwargs.get("closure")
        if closure is None:
            self._make_ready(optimizer)
            return None
        watched = self._watched(closure, optimizer)
        if len(args) > 1:
            return (args[0], watched, *args[2:]), kwargs
        return args, {**kwargs, "closure": watched}

    def after(self, caller: FrameType, optimizer: torch.optim.Optimizer) -> None:
        """A step has come to its end."""
        observer = self._observer
        if not observer.here() or caller is not self._outermost:
            return
        self._outermost = None
        observer.after_update(optimizer, clock() - self._started)
        observer.guarded("model", self._models.settle, optimizer)

    def _watched(self, closure: Callable[[], Any], optimizer: torch.optim.Optimizer) -> Callable[[], Any]:
        """A closure computes the gradient: the safe point is behind its first evaluation, not before it."""
        evaluated = False

        def evaluate() -> Any:
            nonlocal evaluated
            loss = closure()
            if not evaluated:
                evaluated = True
                self._make_ready(optimizer)
            return loss

        return evaluate

    def _make_ready(self, optimizer: torch.optim.Optimizer) -> None:
        self._observer.before_update(optimizer)
        try:
            self._observer.hold()
        except BaseException:
            self._outermost = None
            raise
        self._started = clock()


def _runs_under(frame: FrameType | None, outermost: FrameType) -> bool:
    while frame is not None and frame is not outermost:
        frame = frame.f_back
    return frame is outermost


_watching: tuple[Updates, ...] = ()
"""Replaced, never changed: another thread may be going through it."""
_hooks = Patches()
_one_at_a_time = threading.Lock()


def watch(updates: Updates) -> Callable[[], None]:
    """Tells it of every step of every optimizer; returns the way back.

    PyTorch's two hooks are registered once for all who watch: a step that is under way in another thread, perhaps
    paused in its hook, does not survive that their list is changed.
    """
    global _watching
    with _one_at_a_time:
        if not _watching:
            _hooks.undo_by(register_optimizer_step_pre_hook(_before).remove)
            _hooks.undo_by(register_optimizer_step_post_hook(_after).remove)
        _watching = (*_watching, updates)
    return lambda: _unwatch(updates)


def _unwatch(updates: Updates) -> None:
    global _watching
    with _one_at_a_time:
        _watching = tuple(each for each in _watching if each is not updates)
        if not _watching:
            _hooks.remove()


def _before(optimizer: torch.optim.Optimizer, args: Any, kwargs: Any) -> Arguments | None:
    if torch.compiler.is_compiling():
        return None
    changed = None
    for updates in _watching:
        changed = updates.before(sys._getframe(1), optimizer, *(changed or (args, kwargs))) or changed
    return changed


def _after(optimizer: torch.optim.Optimizer, args: Any, kwargs: Any) -> None:
    if torch.compiler.is_compiling():
        return
    for updates in _watching:
        updates.after(sys._getframe(1), optimizer)
