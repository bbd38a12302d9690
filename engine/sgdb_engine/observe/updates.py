"""Sees the optimizer's step: once, even where a subclass calls its parent's, or one optimizer another."""

import itertools
import sys
import threading
from collections.abc import Callable
from functools import partial
from types import FrameType
from typing import Any

import torch
from torch.optim.optimizer import register_optimizer_step_post_hook, register_optimizer_step_pre_hook

from sgdb_engine.observe.models import Models
from sgdb_engine.observe.observer import Observer, clock, is_compiling, this_thread
from sgdb_engine.observe.patches import Patches
from sgdb_engine.observe.readback import has_values
from sgdb_engine.observe.rows import learning_rates
from sgdb_engine.observe.trainee import Trainee, parameters_of

Arguments = tuple[tuple[Any, ...], dict[str, Any]]


class Updates:
    """Counts outermost calls of `optimizer.step()` that come to their end."""

    def __init__(self, observer: Observer, models: Models) -> None:
        self.within_backward: torch.optim.Optimizer | None = None
        """An optimizer that stepped in the middle of the backward that is under way."""
        self.seen = False
        """Whether any optimizer of PyTorch was."""
        self._observer = observer
        self._models = models
        self._outermost: FrameType | None = None
        """Of the step under way. After a step that raised it is a frame that no longer runs."""
        self._trainee: Trainee | None = None
        """Whose step that is, once its weights are about to change."""
        self._started = 0.0

    def before(
        self, caller: FrameType, optimizer: torch.optim.Optimizer, args: Any, kwargs: Any
    ) -> Arguments | None:
        """PyTorch is about to call a step from the frame `caller`; returns other arguments for it, or None."""
        observer = self._observer
        if (
            observer.quick
            and len(args) == 1
            and not kwargs
            and observer.thread == this_thread()
            and self._outermost is None
            and observer.trainees.leader.is_of(optimizer)
        ):
            self._outermost, self._trainee = caller, observer.trainees.leader
            observer.phase = "optimizer"
            self._hold()
            return None
        if observer.phase == "backward" and (observer.thread == this_thread() or _is_of_autograd()):
            self.seen, self.within_backward = True, optimizer
            return None
        if observer.thread != this_thread() and not observer.claim():
            return None
        if self._outermost is not None and _runs_under(caller, self._outermost):
            return None
        if _is_a_rehearsal(optimizer):
            return None
        self.seen = True
        self._outermost, self._trainee = caller, None
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
        if observer.thread != this_thread() or caller is not self._outermost:
            return
        self._outermost = None
        observer.phase = "between steps"
        if observer.quick and self._trainee is not None:
            observer.after_quick_update(self._trainee, optimizer)
            return
        if self._trainee is None:  # a closure that was never called
            return
        if _was_skipped(optimizer):
            observer.skipped()
        else:
            observer.after_update(self._trainee, partial(learning_rates, optimizer), clock() - self._started)

    def failed(self, error: Exception) -> None:
        """Something of ours raised that is not guarded elsewhere."""
        self._observer.failed("updates", error)

    def after_backward(self) -> None:
        """A backward is over in which optimizers stepped: together they are an update."""
        optimizer, self.within_backward = self.within_backward, None
        observer = self._observer
        if optimizer is not None:
            trainee = observer.trainees.leader
            if trainee.is_free:
                trainee.adopt(optimizer)
                observer.told.noted(
                    "Optimizers step within backward here: losses and learning rates are recorded, "
                    "gradients and weights are not measured"
                )
            observer.hold()
            observer.after_update(trainee, partial(learning_rates, optimizer), 0.0)

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
        observer = self._observer
        observer.phase = "optimizer"
        observer.updates += 1
        trainee = self._trainee = observer.trainees.leader
        if not (observer.quick and trainee.is_of(optimizer)):
            trainee = self._trainee = observer.trainees.of(optimizer)
            observer.quick &= trainee.settled
            if not trainee.settled:
                observer.guarded("model", self._models.settle, trainee)
            fused_scale = getattr(optimizer, "grad_scale", None)
            if fused_scale is not None:
                observer.gradient_scale = fused_scale
            observer.before_update(trainee, parameters_of(optimizer))
            observer.guarded("findings", observer.witness.before_update, optimizer)
        self._hold()
        self._started = clock()

    def _hold(self) -> None:
        try:
            self._observer.hold()
        except BaseException:
            self._outermost = None
            raise


def _was_skipped(optimizer: torch.optim.Optimizer) -> bool:
    """Fused optimizers leave out the update themselves; on a GPU one cannot know it without waiting."""
    found_inf = getattr(optimizer, "found_inf", None)
    return isinstance(found_inf, torch.Tensor) and found_inf.is_cpu and bool(found_inf.item())


def _is_a_rehearsal(optimizer: torch.optim.Optimizer) -> bool:
    """Whether it is done with what only stands for tensors."""
    gradients = (p.grad for p in parameters_of(optimizer) if p.grad is not None)
    return not all(map(has_values, itertools.islice(gradients, 1)))


def _is_of_autograd() -> bool:
    """Whether the calling thread is none of Python's: on a GPU the hooks of a backward run in such a one."""
    return type(threading.current_thread()).__name__ == "_DummyThread"


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
    if is_compiling():
        return None
    changed = None
    for updates in _watching:
        try:
            changed = updates.before(sys._getframe(1), optimizer, *(changed or (args, kwargs))) or changed
        except Exception as error:
            updates.failed(error)
    return changed


def _after(optimizer: torch.optim.Optimizer, args: Any, kwargs: Any) -> None:
    if is_compiling():
        return
    for updates in _watching:
        try:
            updates.after(sys._getframe(1), optimizer)
        except Exception as error:
            updates.failed(error)
