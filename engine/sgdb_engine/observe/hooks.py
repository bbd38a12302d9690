"""Where the observer is let in: wrappers around what every PyTorch training calls. All are undone on leaving."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.utils.data import dataloader

from sgdb_engine.events import Finding
from sgdb_engine.observe.models import Models
from sgdb_engine.observe.observer import Observer, clock
from sgdb_engine.observe.patches import Function, Patches
from sgdb_engine.observe.updates import Updates, watch
from sgdb_engine.recording.writer import Recorder


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
        budget: share of the step time that measurements may cost: 0 for none, 1 for all of them in every step.
        safe_point: called with the number of completed steps before each update; may wait, and may raise to stop
            what is not an `Exception`.
        found: told what is wrong.
    """
    observer = Observer(recorder, budget, safe_point, found)
    patches = Patches()
    models = Models(observer, patches)
    try:
        models.install()
        patches.undo_by(watch(Updates(observer, models)))
        patches.replace(dataloader._BaseDataLoaderIter, "__next__", lambda to: _fetch(observer, to))
        patches.replace(torch.autograd, "backward", lambda to: _backward(observer, models, to))
        for place in (torch.nn.utils, torch.nn.utils.clip_grad):
            patches.replace(place, "clip_grad_norm_", lambda to: _clip(observer, to))
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


def _backward(observer: Observer, models: Models, original: Function) -> Function:
    def backward(tensors: Any, *args: Any, **kwargs: Any) -> Any:
        if not observer.here():
            return original(tensors, *args, **kwargs)
        models.inside, before = True, models.inside  # activation checkpointing calls modules again
        started = clock()
        try:
            result = original(tensors, *args, **kwargs)
        finally:
            models.inside = before
        observer.guarded("loss", observer.went_backward, tensors, clock() - started)
        return result

    return backward


def _clip(observer: Observer, original: Function) -> Function:
    def clip(parameters: Any, max_norm: float, norm_type: float = 2.0, *args: Any, **kwargs: Any) -> Any:
        if not observer.here():
            return original(parameters, max_norm, norm_type, *args, **kwargs)
        clipped = [parameters] if isinstance(parameters, torch.Tensor) else list(parameters)
        observer.about_to_clip(clipped)
        norm = original(clipped, max_norm, norm_type, *args, **kwargs)
        observer.guarded("clip", observer.clipped, clipped, norm, max_norm, norm_type)
        return norm

    return clip
