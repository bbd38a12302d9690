"""One call of a model with the classes that its outputs were compared with."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch

from sgdb_engine.observe.measurements import tensors_in
from sgdb_engine.witness.judged import Judged, judged, middle_of
from sgdb_engine.witness.loss_calls import Call, takes_input_and_target

LossArguments = tuple[str, tuple[Any, ...], dict[str, Any]]
"""A call of a loss function: its name, and how it was called."""


@dataclass(frozen=True, eq=False)
class Labelled:
    """A batch: one class for each row of the input."""

    inputs: torch.Tensor
    output: torch.Tensor | None
    """The first tensor of it; None where there is none."""
    predicted: torch.Tensor
    """int64 [rows]"""
    target: torch.Tensor
    """int64 [rows], -1 where it is to be ignored."""
    classes: int
    middle: float | None
    """For yes and no: the output from which on it is yes. None: the output has a score for each class."""

    def classes_of(self, output: Any) -> torch.Tensor | None:
        """int64 [rows], -1 where scores are not finite; None where this output is of another kind."""
        scores = first_tensor("output", output)
        if scores is None or not scores.is_floating_point():
            return None
        scores = scores.reshape(len(scores), -1) if scores.ndim else scores
        if self.middle is None and scores.ndim == 2 and scores.shape[1] == self.classes:
            return torch.where(scores.isfinite().all(1), scores.argmax(1), -1)
        if self.middle is not None and scores.ndim == 2 and scores.shape[1] == 1:
            return torch.where(scores.isfinite().all(1), (scores > self.middle).long().reshape(-1), -1)
        return None


def labelled(inputs: Any, output: Any, losses: Iterable[LossArguments]) -> Labelled | None:
    """What fits together; None where no loss about classes was computed on as many rows.

    Args:
        inputs: of a model.
        output: what it gave.
        losses: that were computed in the same step.
    """
    given, gave = first_tensor("input", inputs), first_tensor("output", output)
    if given is None or not given.ndim:
        return None
    for name, args, kwargs in losses:
        if not takes_input_and_target(name):
            continue
        call = Call(name, args, kwargs)
        found = judged(call)
        if found is not None and found.target.numel() == len(given):
            return _made(given, gave, call, found)
    return None


def _made(given: torch.Tensor, gave: torch.Tensor | None, call: Call, found: Judged) -> Labelled:
    middle = None
    if not call.is_about_classes:
        same = gave is not None and gave.data_ptr() == call.input.data_ptr()
        middle = middle_of(call.name) if same else 0.0  # a sigmoid stands between them
    return Labelled(
        given.detach(),
        None if gave is None else gave.detach(),
        found.predicted.reshape(-1),
        found.target.reshape(-1),
        found.classes,
        middle,
    )


def first_tensor(place: str, value: Any) -> torch.Tensor | None:
    """The first one in what a model takes or gives."""
    return next(iter(tensors_in(place, value).values()), None)
