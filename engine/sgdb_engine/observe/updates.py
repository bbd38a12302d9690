"""Sees the optimizer's step: once, even where a subclass calls its parent's, or one optimizer another."""

import sys
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

    def install(self, patches: Patches) -> None:
        """Registers the two hooks that PyTorch calls around every step of every optimizer."""
        patches.registered(register_optimizer_step_pre_hook(self._before))
        patches.registered(register_optimizer_step_post_hook(self._after))

    def _before(self, optimizer: torch.optim.Optimizer, args: Any, kwargs: Any) -> Arguments | None:
        if not self._observer.here():
            return None
        caller = sys._getframe(1)
        if self._outermost is not None and _runs_under(caller, self._outermost):
            return None
        self._outermost = caller
        closure = args[1] if len(args) > 1 else kwargs.get("closure")
        if closure is None:
            self._make_ready(optimizer)
            return None
        watched = self._watched(closure, optimizer)
        return (
            ((args[0], watched, *args[2:]), kwargs)
            if len(args) > 1
            else (args, {**kwargs, "closure": watched})
        )

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

    def _after(self, optimizer: torch.optim.Optimizer, args: Any, kwargs: Any) -> None:
        observer = self._observer
        if not observer.here() or sys._getframe(1) is not self._outermost:
            return
        self._outermost = None
        observer.after_update(optimizer, clock() - self._started)
        observer.guarded("model", self._models.settle, optimizer)


def _runs_under(frame: FrameType | None, outermost: FrameType) -> bool:
    while frame is not None and frame is not outermost:
        frame = frame.f_back
    return frame is outermost
