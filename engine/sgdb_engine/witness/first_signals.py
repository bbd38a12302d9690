"""Activations, gradients and updates of the models that are trained, put together from all who look at them."""

from typing import Any

import torch
from torch import nn

from sgdb_engine.findings.facts import Dependencies, Signals
from sgdb_engine.findings.moving import Moving
from sgdb_engine.observe.guard import Guard
from sgdb_engine.observe.measurements import NamesOf
from sgdb_engine.witness.halves import HalfGradients, LostUpdates
from sgdb_engine.witness.hidden import HiddenUnits
from sgdb_engine.witness.outputs import Outputs
from sgdb_engine.witness.unreached import Unreached


class FirstSignals:
    """Told of calls and updates; what is measured of each tensor anyway comes from `moving`."""

    def __init__(
        self, names_of: NamesOf, guard: Guard, moving: Moving, reached: dict[torch.Tensor, None]
    ) -> None:
        """`reached`: the parameters in the graphs of the first losses, as they come."""
        self.hidden = HiddenUnits(guard)
        self.unreached = Unreached(names_of, reached)
        self._names_of, self._moving = names_of, moving
        self._outputs = Outputs()
        self._lost = LostUpdates()
        self._halves = HalfGradients()

    def before_call(self, model: nn.Module, *, among_the_first: bool) -> None:
        """A model is about to be called with gradients, in one of the first steps or in one that is measured."""
        if among_the_first:
            self._halves.before_call(model)
        self.unreached.begin(model)
        self.hidden.begin(model, among_the_first=among_the_first)

    def after_call(self) -> bool:
        """The call is over, or has raised; whether enough is known anew of some units to judge them."""
        try:
            return self.hidden.end()
        finally:
            self.unreached.end()

    def called(self, given: torch.Tensor | None, output: Any, step: int) -> None:
        """In one of the first steps a model was given this first tensor, and gave this."""
        self._outputs.look(given, output, step)

    def before_update(self, optimizer: Any, *, among_the_first: bool) -> None:
        """Its gradients are complete."""
        self.unreached.before_update(optimizer)
        self._lost.before_update(optimizer)
        if among_the_first:
            self._halves.before_update(optimizer, self.hidden.models)

    @property
    def dependencies(self) -> Dependencies | None:
        """What the first calls show of them."""
        return self._outputs.dependencies

    def facts(self) -> Signals:
        """So far."""
        self.hidden.look(self._names_of)
        ratio, first, step = self._gradient_ratio()
        return Signals(
            layers=tuple(self.hidden.signals()),
            forwards=self.hidden.calls,
            growth=self.hidden.growth,
            gradient_ratio=ratio,
            first_weight=first,
            steps=max(step, self._moving.last_update),
            update_ratio=self._moving.update_ratio,
            unmoved=self._moving.unmoved,
            lost_updates=self._lost.share,
            weight_type=self._lost.kind or self._weight_type(),
            underflown=self._halves.underflown,
        )

    def _gradient_ratio(self) -> tuple[float | None, str, int]:
        """The smallest of a model."""
        apart = {name for names in self.unreached.names() for name in names}
        each = [
            self._moving.gradient_ratio([(name, size) for name, size in model.matrices if name not in apart])
            for model in self.hidden.all
        ]
        known = [found for found in each if found[0] is not None]
        return min(known, key=lambda found: found[0] or 0.0, default=(None, "", 0))

    def _weight_type(self) -> str:
        kinds = {kind for model in self.hidden.all for kind in model.kinds}
        return str(next(iter(kinds))).removeprefix("torch.") if len(kinds) == 1 else ""
