"""Histograms of weights, gradients and activations, every few seconds."""

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from sgdb_engine.observe.activations import Activations
from sgdb_engine.observe.pace import Pace
from sgdb_engine.observe.readback import Row
from sgdb_engine.witness.layers import something_is_compiled

if TYPE_CHECKING:
    from sgdb_engine.observe.observer import Observer

clock = time.perf_counter

LEAST_S = 2.0
"""Between two of them, at the least."""
SHARE = 0.2
"""What they may cost beside the other measurements, as a part of the budget."""


class Distributions:
    """Of what one observer observes."""

    def __init__(self, observer: "Observer", budget_share: float) -> None:
        self._observer = observer
        self._pace = Pace(SHARE * budget_share, LEAST_S)
        self._activations = Activations(self._look, observer.here)
        self._looks = self._watches = False
        self._taken_at = 0
        """The step of the newest ones."""
        self._spent = 0.0
        """On activations, in the step under way."""

    def begin(self, measured: bool) -> None:
        """A step begins, which is measured or not."""
        self._looks = measured and self._pace.due(clock())
        self._spent = 0.0

    def before_call(self, model: nn.Module) -> None:
        """It is about to be called with gradients."""
        root = self._observer.trainees.leader.root
        if self._looks and (root is None or root.module is model) and not something_is_compiled():
            self._watches = True
            self._activations.begin(model)

    def after_call(self) -> None:
        """The call is over, or has raised."""
        if self._watches:
            self._watches = False
            self._activations.end()

    def step_ended(self) -> None:
        """A measured step is complete, and its row is made."""
        if self._looks and self._observer.trainees.leader.update.tensors is not None:
            now = clock()
            self._look(self._take)
            self._pace.taken(now, self._spent)

    def finish(self) -> None:
        """Training is over: its last state."""
        if self._pace.is_on and self._observer.step > self._taken_at:
            self._look(self._take)

    def _look(self, part: Callable[..., None], *args: Any) -> None:
        self._spent += self._observer.guard.run_apart("histograms", part, *args)

    def _take(self) -> None:
        self._taken_at = self._observer.step
        for columns, values in self._observer.trainees.histograms():
            self._record(columns, values)
        activations = self._activations.take()
        if activations is not None:
            self._record(*activations)

    def _record(self, columns: tuple[str, ...], values: torch.Tensor) -> None:
        step, rows = self._observer.step, self._observer.rows
        rows.take(Row(step, time.time(), time.monotonic(), {}, False, columns, values))
