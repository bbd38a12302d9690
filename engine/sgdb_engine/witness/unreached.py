"""Parameters of optimizers that no gradient reaches: cut off from the loss, or not used at all."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import nn

from sgdb_engine.observe.measurements import NamesOf
from sgdb_engine.observe.statistics import is_shard
from sgdb_engine.observe.trainee import parameters_of
from sgdb_engine.witness.graph import own_functions, parameters_reached
from sgdb_engine.witness.layers import something_is_compiled
from sgdb_engine.witness.used import UsedParameters

GRAPHS = 4
"""Backward passes whose graph is gone through."""
LEAST_UPDATES, UPDATES = 10, 20
"""Of an optimizer, in none of which such a parameter has a gradient: what comes in turns is not cut off."""
MOST_UPDATES = 100
"""Of all optimizers; what is not settled by then is let go."""
CALLS = 24
"""Of models, in which it is looked for what they compute with."""


class Unreached:
    """Knows nothing until the graphs of the first losses were gone through."""

    def __init__(self, names_of: NamesOf, reached: dict[torch.Tensor, None]) -> None:
        """`reached`: the parameters in the graphs that were gone through, as they come."""
        self.reached = reached
        self._graphs = 0
        self._is_known = False
        """Which parameters these graphs did not reach."""
        self._names_of = names_of
        self._waiting: dict[torch.Tensor, int] = {}
        """Parameter → updates of its optimizer in which it had no gradient."""
        self._used: set[torch.Tensor] = set()
        self._calls = self._updates = 0
        self._entered = ExitStack()
        self._settled: tuple[tuple[str, ...], tuple[str, ...]] = ((), ())

    def go_through(self, losses: Sequence[torch.Tensor]) -> tuple[str, ...]:
        """Backward is called on these; returns the autograd functions of the user's in the graphs of the first ones."""
        if self._graphs == GRAPHS:
            return ()
        self._graphs += 1
        self.reached.update(dict.fromkeys(parameters_reached(losses)))
        return own_functions(losses)

    def may_be_known(self, *, last: bool) -> bool:
        """It is to be found out now what the graphs did not reach; `last`: no more of them will come."""
        return not self._is_known and (last or self._graphs == GRAPHS)

    def graphs_are_known(self, optimizers: Iterable[Any], models: Iterable[nn.Module]) -> None:
        """Those of the first losses: what of these is not in them?"""
        self._is_known = True
        seen = {id(p) for p in self.reached}
        owned = {id(p) for model in models for p in model.parameters()}
        self._waiting = {
            p: 0
            for optimizer in optimizers
            for p in parameters_of(optimizer)
            if p.requires_grad and id(p) in owned - seen and p.numel() and not is_shard(p)
        }

    def begin(self, model: nn.Module) -> None:
        """It is about to be called with gradients."""
        if self._waiting and self._calls < CALLS and not something_is_compiled():
            self._entered.enter_context(self.watching(model))

    def end(self) -> None:
        """The call is over."""
        self._entered.close()

    @contextmanager
    def watching(self, model: nn.Module) -> Iterator[None]:
        """Looks at the call of the model that is made within."""
        self._calls += 1
        with UsedParameters(model) as used:
            try:
                yield
            finally:
                self._used |= used.parameters

    def before_update(self, optimizer: Any) -> None:
        """Its gradients are complete."""
        if not self._waiting:
            return
        for parameter in parameters_of(optimizer):
            if parameter in self._waiting:
                if parameter.grad is None:
                    self._waiting[parameter] += 1
                else:
                    del self._waiting[parameter]
        self._updates += 1
        if self._updates >= MOST_UPDATES or all(n >= UPDATES for n in self._waiting.values()):
            self._settled = self.names()
            self._waiting, self._used = {}, set()  # nothing of the user's is held any longer

    def names(self, least: int = LEAST_UPDATES) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Those that are cut off, and those that are not used, after `least` updates and calls."""
        waiting = [p for p, updates in self._waiting.items() if updates >= least]
        if not waiting or self._calls < least:
            return self._settled
        cut = [p for p in waiting if p in self._used]
        unused = [p for p in waiting if p not in self._used]
        return tuple(self._names_of(cut)), tuple(self._names_of(unused))
