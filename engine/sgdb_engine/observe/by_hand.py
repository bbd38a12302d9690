"""Weights that a script moves by itself, or by an optimizer that is none of PyTorch's: seen by their movement.

An update is over when weights are found changed after a backward; that is seen when the model is called again, or
when the next backward begins. On a GPU that would mean to wait for it: there each such cycle is taken for an update.
"""

import math
from collections.abc import Sequence
from typing import Any

import torch

from sgdb_engine.observe.models import Models
from sgdb_engine.observe.observer import Observer
from sgdb_engine.observe.readback import has_values
from sgdb_engine.observe.updates import Updates
from sgdb_engine.witness.graph import leaves_of

MOST_VALUES = 100_000
"""Tensors larger than that are not compared, if there are smaller ones."""
RESIDUAL = 0.02
"""Share of the movement that −lr·gradient may leave unexplained: rounding leaves less, momentum and Adam far more."""
RESOLUTION = 50
"""Movements smaller than so many roundings of the weights are too coarse to compute a learning rate from."""
PATIENCE = 3
"""Movements of weights that an optimizer has, but never moves where it can be seen: it is compiled, then. Fewer may
be those of an optimizer that looks ahead before it steps (SAM)."""


class ByHand:
    """Watches a training until an optimizer of PyTorch's is seen."""

    def __init__(self, observer: Observer, models: Models, updates: Updates) -> None:
        self._observer = observer
        self._models = models
        self._updates = updates
        self._trainee = observer.trainees.leader
        self._confirmed = False
        """At least one update was made by hand."""
        self._waiting = False
        """A backward is over, and no update was seen since."""
        self._unseen = 0
        """Movements of weights that belong to an optimizer which has not stepped yet."""
        self._parameters: list[torch.Tensor] = []
        self._probe: torch.Tensor | None = None
        self._weights: torch.Tensor | None = None
        self._gradient: torch.Tensor | None = None
        self._lr: float | None = None
        self._told_of_lr = False

    @property
    def possible(self) -> bool:
        """No optimizer of PyTorch's has been seen."""
        return not self._updates.seen

    def went_backward(self, losses: Any) -> None:
        """The gradients are there; the weights are as they were."""
        if not self.possible:
            return
        self._observer.guarded("updates by hand", self._keep, losses)
        if self._confirmed:
            self._observer.hold()

    def look(self) -> None:
        """The training is about to go on: did the weights move?"""
        if self._waiting and self.possible:
            self._observer.guarded("updates by hand", self._complete_if_moved)

    def clipped(self) -> None:
        """The gradient that moves the weights is the clipped one."""
        if self._waiting and self.possible and self._probe is not None and self._probe.grad is not None:
            self._gradient = self._probe.grad.detach().clone()

    def _keep(self, losses: Any) -> None:
        if not self._waiting:
            self._parameters = self._trained(losses)
        with_gradient = [p for p in self._parameters if p.grad is not None and not p.grad.is_sparse]
        if not with_gradient:
            return
        if self._probe is None or self._probe.grad is None:
            small = [p for p in with_gradient if p.numel() <= MOST_VALUES] or with_gradient
            self._probe = max(small, key=torch.Tensor.numel)
        gradient = self._probe.grad
        assert gradient is not None
        self._weights, self._gradient = self._probe.detach().clone(), gradient.detach().clone()
        self._waiting = True
        self._observer.before_update(self._trainee, self._parameters)

    def _trained(self, losses: Any) -> list[torch.Tensor]:
        """The parameters of the model that was called, or the leaves that the loss was computed from."""
        modules = [root.module for root in self._models.roots.values()]
        owned = [p for module in modules if module is not None for p in module.parameters()]
        found = [p for p in owned if p.requires_grad and p.grad is not None and has_values(p)]
        return list(dict.fromkeys(found)) or leaves_of(losses)

    def _complete_if_moved(self) -> None:
        if self._probe is None or self._weights is None:
            return
        on_host = self._probe.is_cpu
        if on_host and torch.equal(self._probe.detach(), self._weights):
            self._observer.gradients_accumulate()
            return
        self._waiting = False
        has_optimizer = self._models.has_optimizer(self._probe)
        if has_optimizer and self._unseen < PATIENCE:
            self._unseen += 1
            self._observer.gradients_accumulate()
            return
        if not self._confirmed:
            self._begin(has_optimizer)
        rates = self._measured_lr() if on_host else []
        self._models.settle(self._trainee)
        self._observer.after_update(self._trainee, lambda: rates, 0.0)

    def _begin(self, has_optimizer: bool) -> None:
        self._confirmed = True
        why = (
            "The optimizer steps where it is not seen, as within torch.compile"
            if has_optimizer
            else "No optimizer of PyTorch's is used here"
        )
        self._observer.told.noted(
            f"{why}: an update is seen by the movement of the weights"
            + (
                ""
                if self._probe is None or self._probe.is_cpu
                else ", or, on a GPU, taken to follow each backward"
            )
        )

    def _measured_lr(self) -> Sequence[float]:
        """The factor of plain gradient descent that explains the movement; nothing where none does."""
        assert self._probe is not None
        assert self._weights is not None
        assert self._gradient is not None
        before, gradient = self._weights.double(), self._gradient.double()
        moved = self._probe.detach().double() - before
        square, way = float(gradient.square().sum()), float(moved.norm())
        if not (0 < square < math.inf):
            return self._known_lr()
        rounding = torch.finfo(self._probe.dtype).eps * float(before.norm())
        if way < RESOLUTION * rounding and self._lr is not None:
            return []
        lr = -float((moved * gradient).sum()) / square
        if not float((moved + lr * gradient).norm()) <= RESIDUAL * way:
            self._lr = None
        else:
            self._lr = lr
            if not self._told_of_lr:
                self._told_of_lr = True
                self._observer.told.noted(
                    "The learning rate is measured: how far the weights move along the gradient"
                )
        return self._known_lr()

    def _known_lr(self) -> Sequence[float]:
        return [] if self._lr is None else [self._lr]
