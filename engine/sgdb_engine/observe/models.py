"""Finds the model, and watches its calls."""

from collections.abc import Iterable
from typing import Any

import torch

from sgdb_engine.observe.observer import Observer, clock
from sgdb_engine.observe.patches import Function, Patches


class Models:
    """The model is the outermost module that owns what the optimizer updates.

    Until the first update every module call is watched; from then on only those of the model's own class are,
    since a wrapper around every call costs on every module. Nothing is registered on the user's objects.
    """

    def __init__(self, observer: Observer, patches: Patches) -> None:
        self.inside = False
        """Within a call of the model, or within a backward that may call parts of it again."""
        self._observer = observer
        self._patches = patches
        self._discovery = Patches()
        self._candidates: list[torch.nn.Module] = []
        self._settled = False

    def install(self) -> None:
        """Opens the discovery window."""
        self._discovery.replace(torch.nn.Module, "__call__", self._watch_all)
        self._patches.registered(self._discovery)

    def settle(self, optimizer: torch.optim.Optimizer) -> None:
        """The first update is over: leaves the discovery window if the model was seen."""
        if self._settled or not self._candidates:
            return
        self._settled = True
        updated = {id(p) for group in optimizer.param_groups for p in group["params"]}
        model = max(self._candidates, key=lambda module: _count_in(module.parameters(), updated))
        self._candidates = [model]
        self._discovery.remove()
        self._patches.replace(type(model), "__call__", self._watch_model)

    def _watch_all(self, original: Function) -> Function:
        def call(module: torch.nn.Module, *args: Any, **kwargs: Any) -> Any:
            if not self._observer.here() or self.inside:
                return original(module, *args, **kwargs)
            self._observer.guarded("names", self._consider, module)
            if any(module is candidate for candidate in self._candidates):
                return self._observed(original, module, args, kwargs)
            return original(module, *args, **kwargs)

        return call

    def _watch_model(self, original: Function) -> Function:
        model = self._candidates[0]

        def call(module: torch.nn.Module, *args: Any, **kwargs: Any) -> Any:
            if not self._observer.here() or self.inside or module is not model:
                return original(module, *args, **kwargs)
            return self._observed(original, module, args, kwargs)

        return call

    def _consider(self, module: torch.nn.Module) -> None:
        known = any(module is candidate for candidate in self._candidates)
        if not known and torch.is_grad_enabled() and next(module.parameters(), None) is not None:
            self._candidates.append(module)
            self._observer.name_parameters(module)

    def _observed(self, original: Function, module: torch.nn.Module, args: Any, kwargs: Any) -> Any:
        observer, with_gradients = self._observer, torch.is_grad_enabled()
        self.inside = True
        started = clock()
        try:
            output = original(module, *args, **kwargs)
        finally:
            self.inside = False
        if with_gradients:
            inputs = {**dict(enumerate(args)), **kwargs} if kwargs else args
            observer.guarded("model", observer.called, inputs, output, clock() - started, module.training)
        else:
            observer.guarded("model", observer.evaluated)
        return output


def _count_in(parameters: Iterable[torch.nn.Parameter], updated: set[int]) -> int:
    return sum(id(p) in updated for p in parameters)
