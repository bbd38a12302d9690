"""What is minimised, and what is counted beside it."""

from collections.abc import Callable, Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from sgdb_engine.config.records import LossTerm
from sgdb_engine.errors import ConfigError

Loss = Callable[[Tensor, Tensor], Tensor]
Task = Literal["classes", "numbers"]
"""What the targets are: one class each, or real numbers."""


def cross_entropy(output: Tensor, target: Tensor) -> Tensor:
    """Mean of −ln p(target), p = softmax(output): scores (…, C), classes int64 (…), natural logarithm."""
    if output.ndim > 2 and output.shape[:-1] == target.shape:
        output, target = output.flatten(0, -2), target.flatten()
    return F.cross_entropy(output, target)


def binary_cross_entropy(output: Tensor, target: Tensor) -> Tensor:
    """Mean of −ln p(target), p = sigmoid(output): one score (N, 1) or (N,), classes 0 and 1 (N,)."""
    return F.binary_cross_entropy_with_logits(output.reshape(target.shape), target.to(output.dtype))


def mse(output: Tensor, target: Tensor) -> Tensor:
    """Mean squared error over all elements; equal shapes."""
    return F.mse_loss(output, target)


def l1(output: Tensor, target: Tensor) -> Tensor:
    """Mean absolute error over all elements; equal shapes."""
    return F.l1_loss(output, target)


def smooth_l1(output: Tensor, target: Tensor) -> Tensor:
    """Squared below an error of 1, absolute above; mean over all elements; equal shapes."""
    return F.smooth_l1_loss(output, target)


LOSSES: dict[str, tuple[Loss, Task]] = {
    "cross_entropy": (cross_entropy, "classes"),
    "binary_cross_entropy": (binary_cross_entropy, "classes"),
    "mse": (mse, "numbers"),
    "l1": (l1, "numbers"),
    "smooth_l1": (smooth_l1, "numbers"),
}


class WeightedLoss:
    """The weighted sum of several losses of one output."""

    def __init__(self, terms: Sequence[LossTerm]) -> None:
        self._terms = tuple((term.name, term.weight, LOSSES[term.name][0]) for term in terms)
        self.terms: dict[str, Tensor] = {}
        """Of the last call: name → loss, detached and without its weight."""

    def __call__(self, output: Tensor, target: Tensor) -> Tensor:
        losses = [(name, weight, loss(output, target)) for name, weight, loss in self._terms]
        self.terms = {name: value.detach() for name, _, value in losses}
        return torch.stack([weight * value for _, weight, value in losses]).sum()


def build_loss(terms: Sequence[LossTerm]) -> Loss:
    """The plain function of a single term of weight 1, else their weighted sum."""
    if len(terms) == 1 and terms[0].weight == 1:
        return LOSSES[terms[0].name][0]
    return WeightedLoss(terms)


def task_of(terms: Sequence[LossTerm]) -> Task:
    """What the losses want of the targets. Raises ConfigError where they do not agree."""
    tasks = {LOSSES[term.name][1] for term in terms}
    names = {term.name for term in terms}
    if len(tasks) > 1 or names > {"binary_cross_entropy"}:
        together = " and ".join(sorted(names))
        raise ConfigError(
            [f"loss: {together} want different outputs for the same target; keep one kind of them"]
        )
    return tasks.pop()


def accuracy(output: Tensor, target: Tensor) -> Tensor:
    """Share of the targets that have the highest score: scores (…, C), classes (…); 0-d float."""
    return (output.argmax(-1) == target).float().mean()


def binary_accuracy(output: Tensor, target: Tensor) -> Tensor:
    """Share of the targets on the right side of score 0: (N, 1) or (N,), classes 0 and 1 (N,); 0-d float."""
    return ((output.reshape(target.shape) > 0) == target.bool()).float().mean()


def build_metrics(terms: Sequence[LossTerm]) -> dict[str, Loss]:
    """Accuracy where the targets are classes."""
    if task_of(terms) == "numbers":
        return {}
    binary = terms[0].name == "binary_cross_entropy"
    return {"accuracy": binary_accuracy if binary else accuracy}
