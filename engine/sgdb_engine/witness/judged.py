"""Which class a loss function was given for each target, and which class the target is."""

from typing import NamedTuple

import torch

from sgdb_engine.witness.loss_calls import OF_BITS, Call


class Judged(NamedTuple):
    """One call. Nothing is left out of it: targets that do not count are below 0 or not a class."""

    predicted: torch.Tensor
    """int64, of the shape of `target`: the class with the highest score."""
    target: torch.Tensor
    """int64; -1 where it is to be ignored."""
    classes: int


def judged(call: Call) -> Judged | None:
    """Of a loss that is about classes, or about yes or no; None of any other. Waits for no device."""
    if call.is_about_classes:
        ignored = call.target == call.arguments["ignore_index"]
        target = torch.where(ignored, -1, call.target.long())
        return Judged(call.input.argmax(call.class_dim), target, call.input.shape[call.class_dim])
    if call.name in OF_BITS and call.input.shape == call.target.shape:
        return Judged((call.input > middle_of(call.name)).long(), (call.target > 0.5).long(), 2)
    return None


def middle_of(name: str) -> float:
    """The score from which on a loss about yes or no is told yes."""
    return 0.0 if name.endswith("logits") else 0.5
