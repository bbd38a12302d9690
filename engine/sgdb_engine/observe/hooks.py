"""Where the observer is let in: wrappers around what every PyTorch training calls. All are undone on leaving."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.optim.optimizer import (
    register_optimizer_step_post_hook,
    register_optimizer_step_pre_hook,
)
from torch.utils.data import dataloader

from sgdb_engine.events import Finding
from sgdb_engine.observe.observer import Observer, clock
from sgdb_engine.observe.patches import Patches
from sgdb_engine.recording.writer import Recorder

Function = Callable[..., Any]


@contextmanager
def observe(
    recorder: Recorder,
    *,
    budget: float = 0.02,
    safe_point: Callable[[int], None] = lambda step: None,
    found: Callable[[Finding], None] = lambda finding: None,
) -> Iterator[Observer]:
    """Observes all training that the calling thread does until the block is left.

    Args:
        recorder: takes the rows; its methods must not block.
        budget: share of the step time that per-tensor statistics may cost, 0..1.
        safe_point: called with the number of completed steps before each update; may wait, and may raise to stop.
        found: told what is wrong.
    """
    observer = Observer(recorder, budget, safe_point, found)
    patches = Patches()
    try:
        models = _Models(observer, patches)
        models.install()
        patches.replace(torch.autograd, "backward", lambda original: _backward(observer, original))
        patches.replace(
            dataloader._BaseDataLoaderIter, "__next__", lambda original: _fetch(observer, original)
        )
        for place in (torch.nn.utils, torch.nn.utils.clip_grad):
            patches.replace(place, "clip_grad_norm_", lambda original: _clip(observer, original))
        _Updates(observer, models).install(patches)
        yield observer
    finally:
        patches.remove()
        observer.finish()


def _fetch(observer: Observer, original: Function) -> Function:
    def fetch(loader_iterator: Any) -> Any:
        if not observer.here():
            return original(loader_iterator)
        started = clock()
        batch = original(loader_iterator)
        observer.guarded("data", observer.fetched, clock() - started)
        return batch

    return fetch


def _backward(observer: Observer, original: Function) -> Function:
    def backward(tensors: Any, *args: Any, **kwargs: Any) -> Any:
        if not observer.here():
            return original(tensors, *args, **kwargs)
        started = clock()
        result = original(tensors, *args, **kwargs)
        observer.guarded("loss", observer.went_backward, tensors, clock() - started)
        return result

    return backward


def _clip(observer: Observer, original: Function) -> Function:
    def clip(parameters: Any, max_norm: float, *args: Any, **kwargs: Any) -> Any:
        if not observer.here():
            return original(parameters, max_norm, *args, **kwargs)
        observer.guarded("gradients", observer.about_to_clip)
        norm = original(parameters, max_norm, *args, **kwargs)
        observer.guarded("clip", observer.clipped, norm, max_norm)
        return norm

    return clip


class _Models:
    """Finds the model: the outermost module with parameters that is called in training.

    While no model is known every module call is watched; then only those of the model's own class are,
    since a wrapper around every call costs on every module. Nothing is registered on the user's objects.
    """

    def __init__(self, observer: Observer, patches: Patches) -> None:
        self._observer = observer
        self._patches = patches
        self._discovery = Patches()
        self._root: torch.nn.Module | None = None
        self._inside = False
        self._settled = False

    def install(self) -> None:
        self._discovery.replace(torch.nn.Module, "__call__", self._watch_all)
        self._patches.registered(self._discovery)

    def _watch_all(self, original: Function) -> Function:
        def call(module: torch.nn.Module, *args: Any, **kwargs: Any) -> Any:
            if self._inside or not self._observer.here():
                return original(module, *args, **kwargs)
            if self._root is None and torch.is_grad_enabled() and _has_parameters(module):
                self._found(module)
            return self._observed(original, module, args, kwargs)

        return call

    def _found(self, module: torch.nn.Module) -> None:
        self._root = module
        self._observer.guarded("names", self._observer.name_parameters, module)

    def _observed(self, original: Function, module: torch.nn.Module, args: Any, kwargs: Any) -> Any:
        if module is not self._root:
            return original(module, *args, **kwargs)
        observer = self._observer
        self._inside = True
        started = clock()
        try:
            output = original(module, *args, **kwargs)
        finally:
            self._inside = False
        if module.training and torch.is_grad_enabled():
            observer.guarded("model", observer.called, _inputs(args, kwargs), output, clock() - started)
        else:
            observer.guarded("model", observer.evaluated)
        return output

    def settle(self) -> None:
        """Leaves the discovery window: from now on only the class of the model is wrapped."""
        if self._root is None or self._settled:
            return
        self._settled = True
        self._discovery.remove()

        def make(original: Function) -> Function:
            def call(module: torch.nn.Module, *args: Any, **kwargs: Any) -> Any:
                if module is not self._root or self._inside or not self._observer.here():
                    return original(module, *args, **kwargs)
                return self._observed(original, module, args, kwargs)

            return call

        self._patches.replace(type(self._root), "__call__", make)


def _inputs(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    if not kwargs:
        return args
    return {**{str(i): value for i, value in enumerate(args)}, **kwargs}


def _has_parameters(module: torch.nn.Module) -> bool:
    return next(module.parameters(), None) is not None


class _Updates:
    """The optimizer's step, counted once even where a subclass calls its parent's."""

    def __init__(self, observer: Observer, models: _Models) -> None:
        self._observer = observer
        self._models = models
        self._running: list[torch.optim.Optimizer] = []
        self._started = 0.0

    def install(self, patches: Patches) -> None:
        patches.registered(register_optimizer_step_pre_hook(self._before))
        patches.registered(register_optimizer_step_post_hook(self._after))

    def _before(self, optimizer: torch.optim.Optimizer, args: Any, kwargs: Any) -> None:
        observer = self._observer
        if not observer.here():
            return
        self._running.append(optimizer)
        if len(self._running) > 1:
            return
        observer.guarded("gradients", observer.before_update, optimizer)
        try:
            observer.guarded("safe point", observer.hold)
        except BaseException:
            self._running.clear()
            raise
        self._started = clock()

    def _after(self, optimizer: torch.optim.Optimizer, args: Any, kwargs: Any) -> None:
        observer = self._observer
        if not observer.here() or not self._running:
            return
        self._running.pop()
        if not self._running:
            observer.after_update(optimizer, clock() - self._started)
            self._models.settle()
