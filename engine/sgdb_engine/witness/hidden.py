"""Hidden units of the models that are trained: looked at in their first calls, and now and then again."""

import weakref
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial

import torch
from torch import nn

from sgdb_engine.findings.facts import LayerSignal
from sgdb_engine.observe.guard import FINDINGS, Guard
from sgdb_engine.observe.measurements import NamesOf
from sgdb_engine.witness.layers import Layers, something_is_compiled
from sgdb_engine.witness.watched import WINDOW_CALLS

EVERY = 4
"""Of the calls that fall into measured steps, each so many-th is looked at: measurements are paid from one budget."""
MOST_MODELS = 16
"""That are remembered: a script may make one for each fold, or more."""


@dataclass
class Model:
    """One that was called with gradients, held weakly, and what is known of it even when it is gone."""

    reference: "weakref.ref[nn.Module]"
    layers: Layers
    prefix: str = ""
    """Before the names of its layers: it may be part of something, or one of several models."""
    matrices: list[tuple[str, int]] = field(default_factory=list)
    """Names and sizes of the weight matrices that can be trained, in their order."""
    kinds: set[torch.dtype] = field(default_factory=set)
    """Of the parameters that can be trained."""

    def look(self, names_of: NamesOf) -> None:
        """Brings that up to date."""
        model = self.reference()
        named = dict(model.named_parameters()) if model is not None else {}
        if not named:
            return
        trained = [p for p in named.values() if p.requires_grad]
        matrices = [p for p in trained if p.ndim >= 2]
        known, first = names_of([*named.values()][:1])[0], next(iter(named))
        self.prefix = known.removesuffix(first) if known.endswith(first) else ""
        self.matrices = list(zip(names_of(matrices), (p.numel() for p in matrices), strict=True))
        self.kinds = {p.dtype for p in trained}


class HiddenUnits:
    """Looks at calls, one at a time."""

    def __init__(self, guard: Guard) -> None:
        """`guard` runs and meters what is ours."""
        self.all: list[Model] = []
        """The newest last."""
        self._run, self._measure = partial(guard.run, FINDINGS), partial(guard.measure, FINDINGS)
        self._watched: Layers | None = None
        """Of the call that is under way."""
        self._turn = 0

    @property
    def models(self) -> list[nn.Module]:
        """Those that live."""
        return [model for known in self.all if (model := known.reference()) is not None]

    def add(self, model: nn.Module, layers: Layers) -> None:
        """It is looked at in this way."""
        self.all = [*self.all[1 - MOST_MODELS :], Model(weakref.ref(model), layers)]

    def _layers_of(self, model: nn.Module) -> Layers:
        known = next((known for known in self.all if known.reference() is model), None)
        if known is None:
            self.add(model, Layers(model))
            return self.all[-1].layers
        return known.layers

    def begin(self, model: nn.Module, *, among_the_first: bool) -> None:
        """It is about to be called with gradients, in one of the first steps or in one that is measured."""
        layers = self._layers_of(model)
        if something_is_compiled():
            return
        if among_the_first:
            if layers.calls < WINDOW_CALLS:
                self._watch(layers, self._run)
            return
        self._turn += 1
        if layers.calls < WINDOW_CALLS or (layers.fires and self._turn % EVERY == 0):
            self._watch(layers, self._measure)

    def _watch(self, layers: Layers, run: Callable[..., None]) -> None:
        self._watched = layers
        layers.begin(run)

    def end(self) -> bool:
        """The call is over, or has raised; whether enough is known anew of some units to judge them."""
        layers, self._watched = self._watched, None
        if layers is None:
            return False
        layers.end()
        return layers.end_window()

    def look(self, names_of: NamesOf) -> None:
        """At the models as they are now."""
        for known in self.all:
            known.look(names_of)

    def signals(self) -> Iterator[LayerSignal]:
        """Of all models, under the names that their parameters have."""
        for known in self.all:
            yield from known.layers.signals(known.prefix)

    @property
    def growth(self) -> float:
        """The largest of a model."""
        return max((known.layers.growth() for known in self.all), default=1.0)

    @property
    def calls(self) -> int:
        """The most that were looked at of a model."""
        return max((known.layers.calls for known in self.all), default=0)
