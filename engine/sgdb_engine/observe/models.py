"""Finds the model, and watches its calls."""

from typing import Any

import torch

from sgdb_engine.observe.observer import Observer, clock
from sgdb_engine.observe.patches import Function, Patches


class Models:
    """The model is the outermost module that owns what the optimizer updates.

    Until the first update every outermost call of a module is watched; from then on only those of the model's own
    class are, since a wrapper around every call costs on every module. Nothing is registered on the user's objects.
    """

    def __init__(self, observer: Observer, patches: Patches) -> None:
        self.inside = False
        """Within a call of the model, or within a backward that may call parts of it again."""
        self._observer = observer
        self._patches = patches
        self._discovery = Patches()
        self._candidates: list[torch.nn.Module] = []
        self._watched_classes: set[type] = set()
        self._settled = False

    def install(self) -> None:
        """Opens the discovery window."""
        self._open()
        self._patches.undo_by(self._discovery.remove)

    def _open(self) -> None:
        self._discovery.replace(torch.nn.Module, "__call__", self._discover)

    def settle(self, optimizer: torch.optim.Optimizer) -> None:
        """The first update is over: leaves the discovery window if the model was seen."""
        if self._settled or not self._candidates:
            return
        self._settled = True
        self._discovery.remove()
        updated = {id(p) for group in optimizer.param_groups for p in group["params"]}
        self._candidates = [
            max(self._candidates, key=lambda m: sum(id(p) in updated for p in m.parameters()))
        ]

    def _discover(self, original: Function) -> Function:
        def call(module: torch.nn.Module, *args: Any, **kwargs: Any) -> Any:
            if not self._observer.here() or self.inside:
                return original(module, *args, **kwargs)
            self._observer.guarded("names", self._consider, module)
            # closed meanwhile: a compiler that is at work within would compile again when the window closes for good
            self._discovery.remove()
            try:
                if module not in self._candidates:
                    return original(module, *args, **kwargs)
                return self._observed(original, module, args, kwargs)
            finally:
                if not self._settled:
                    self._open()

        return call

    def _consider(self, module: torch.nn.Module) -> None:
        if (
            module in self._candidates
            or not torch.is_grad_enabled()
            or next(module.parameters(), None) is None
        ):
            return
        self._candidates.append(module)
        self._observer.name_parameters(module)
        if type(module) not in self._watched_classes:
            self._watched_classes.add(type(module))
            self._patches.replace(type(module), "__call__", self._watch)

    def _watch(self, original: Function) -> Function:
        def call(module: torch.nn.Module, *args: Any, **kwargs: Any) -> Any:
            if not self._observer.here() or self.inside or module not in self._candidates:
                return original(module, *args, **kwargs)
            return self._observed(original, module, args, kwargs)

        return call

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
