"""Clipping: the gradients are read before it, and how much it left of them."""

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch.nn.utils import clip_grad

from sgdb_engine.observe.observer import Observer, is_compiling, this_thread
from sgdb_engine.observe.patches import Function, Patches
from sgdb_engine.observe.statistics import real_values

INNER = "_clip_grads_with_norm_"
"""What torch.nn.utils.clip_grad_norm_ calls, from 2.6 on: seen also by who has imported the outer function before."""


class Clipping:
    """Watches the functions of torch.nn.utils that clip."""

    def __init__(self, observer: Observer) -> None:
        self._observer = observer
        self._norm_type = 2.0
        """Of the newest total norm that was computed."""

    def install(self, patches: Patches) -> None:
        """From now on."""
        if INNER in vars(clip_grad):
            self._replace(patches, ("_get_total_norm", "get_total_norm"), self._total_norm)
            self._replace(patches, (INNER, "clip_grads_with_norm_"), self._with_norm)
        else:
            self._replace(patches, ("clip_grad_norm_",), self._by_norm)
        self._replace(patches, ("clip_grad_value_",), self._by_value)

    def _replace(self, patches: Patches, names: Sequence[str], wrap: Any) -> None:
        for place in (clip_grad, torch.nn.utils):
            for name in names:
                if name in vars(place):
                    patches.replace(place, name, wrap)

    def _here(self) -> bool:
        return self._observer.thread == this_thread()

    def _total_norm(self, original: Function) -> Function:
        def get_total_norm(tensors: Any, norm_type: float = 2.0, *args: Any, **kwargs: Any) -> Any:
            if not is_compiling() and self._here():
                self._norm_type = norm_type
            return original(tensors, norm_type, *args, **kwargs)

        return get_total_norm

    def _with_norm(self, original: Function) -> Function:
        observer = self._observer

        def clip_grads_with_norm_(
            parameters: Any, max_norm: float, total_norm: Any, *args: Any, **kwargs: Any
        ) -> Any:
            if is_compiling() or not self._here():
                return original(parameters, max_norm, total_norm, *args, **kwargs)
            clipped = _listed(parameters)
            observer.about_to_clip(clipped)
            result = original(clipped, max_norm, total_norm, *args, **kwargs)
            observer.guarded("clip", observer.clipped, clipped, total_norm, max_norm, self._norm_type)
            return result

        return clip_grads_with_norm_

    def _by_norm(self, original: Function) -> Function:
        observer = self._observer

        def clip_grad_norm_(
            parameters: Any, max_norm: float, norm_type: float = 2.0, *args: Any, **kwargs: Any
        ) -> Any:
            if is_compiling() or not self._here():
                return original(parameters, max_norm, norm_type, *args, **kwargs)
            clipped = _listed(parameters)
            observer.about_to_clip(clipped)
            norm = original(clipped, max_norm, norm_type, *args, **kwargs)
            observer.guarded("clip", observer.clipped, clipped, norm, max_norm, norm_type)
            return norm

        return clip_grad_norm_

    def _by_value(self, original: Function) -> Function:
        def clip_grad_value_(parameters: Any, *args: Any, **kwargs: Any) -> Any:
            if is_compiling() or not self._here():
                return original(parameters, *args, **kwargs)
            clipped = _listed(parameters)
            self._observer.about_to_clip(clipped)
            observer = self._observer
            if not observer.witness.looks:
                return original(clipped, *args, **kwargs)
            before: list[float] = []
            observer.guarded("findings", lambda: before.append(_size(clipped)))
            result = original(clipped, *args, **kwargs)
            observer.guarded(
                "findings", lambda: observer.witness.clipped(before[0], _size(clipped)) if before else None
            )
            return result

        return clip_grad_value_


def _size(parameters: Sequence[torch.Tensor]) -> float:
    """Norm of the gradients that this process holds; waits for a device."""
    gradients = [real_values(p.grad).double() for p in parameters if p.grad is not None]
    return math.sqrt(sum(float(gradient.square().sum()) for gradient in gradients))


def _listed(parameters: Any) -> Sequence[torch.Tensor]:
    """All of an iterable that can be gone through only once."""
    return [parameters] if isinstance(parameters, torch.Tensor) else list(parameters)
