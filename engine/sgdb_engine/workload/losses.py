"""What is minimised, and what is counted beside it."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from sgdb_engine.config.records import CrossEntropyTerm, HuberTerm, LossTerm
from sgdb_engine.errors import ConfigError

Loss = Callable[[Any, Any], Tensor]
"""loss(output, target): one tensor each, or one for each target by its name."""
Task = Literal["classes", "numbers"]
"""What the targets are: one class each, or real numbers."""


def cross_entropy(output: Tensor, target: Tensor, label_smoothing: float = 0.0) -> Tensor:
    """Mean of −ln p(target), p = softmax(output): scores (…, C), classes int64 (…), natural logarithm.

    With label_smoothing ε the target is 1 − ε of its class and ε spread evenly over all C (Szegedy et al. 2016).
    """
    if output.ndim > 2 and output.shape[:-1] == target.shape:
        output, target = output.flatten(0, -2), target.flatten()
    return F.cross_entropy(output, target, label_smoothing=label_smoothing)


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
    """Half the squared error below 1, the absolute error less ½ above; mean over all elements; equal shapes."""
    return F.smooth_l1_loss(output, target)


def huber(output: Tensor, target: Tensor, delta: float = 1.0) -> Tensor:
    """Half the squared error below delta, delta · (absolute error − delta/2) above (Huber 1964); mean; equal shapes."""
    return F.huber_loss(output, target, delta=delta)


LOSSES: dict[str, tuple[Loss, Task]] = {
    "cross_entropy": (cross_entropy, "classes"),
    "binary_cross_entropy": (binary_cross_entropy, "classes"),
    "mse": (mse, "numbers"),
    "l1": (l1, "numbers"),
    "smooth_l1": (smooth_l1, "numbers"),
    "huber": (huber, "numbers"),
}
FOR_NUMBERS = "mse, l1, smooth_l1 or huber"
EQUAL_SHAPES = tuple(name for name, (_, task) in LOSSES.items() if task == "numbers")
"""They compare element by element."""


def loss_of_term(term: LossTerm) -> Loss:
    """The function of one term, without its weight."""
    if isinstance(term, CrossEntropyTerm) and term.label_smoothing:
        return partial(cross_entropy, label_smoothing=term.label_smoothing)
    if isinstance(term, HuberTerm):
        return partial(huber, delta=term.delta)
    return LOSSES[term.name][0]


def for_target(values: Any, name: str) -> Any:
    """What belongs to one target: of several by its name, or all that there is."""
    return values[name] if isinstance(values, Mapping) else values


class WeightedLoss:
    """The weighted sum of several losses, each of the output for its target."""

    def __init__(self, terms: Sequence[LossTerm]) -> None:
        names = Counter(term.name for term in terms)
        self._terms = [
            (f"{t.name}.{t.target}" if names[t.name] > 1 else t.name, t.target, t.weight, loss_of_term(t))
            for t in terms
        ]
        self.weighted: dict[str, Tensor] = {}
        """Of the last call: term → weight · loss, with its history."""
        self.terms: dict[str, Tensor] = {}
        """Of the last call: term → loss, detached and without its weight."""

    def __call__(self, output: Any, target: Any) -> Tensor:
        self.terms, self.weighted = {}, {}
        for name, of, weight, loss in self._terms:
            value = loss(for_target(output, of), for_target(target, of))
            self.terms[name], self.weighted[name] = value.detach(), weight * value
        return torch.stack(list(self.weighted.values())).sum()


def build_loss(terms: Sequence[LossTerm]) -> Loss:
    """The plain function of a single term of weight 1, else their weighted sum."""
    if len(terms) == 1 and terms[0].weight == 1:
        return loss_of_term(terms[0])
    return WeightedLoss(terms)


def targets_of(terms: Sequence[LossTerm]) -> dict[str, Task]:
    """The targets that the losses want, and what each is to be. Raises ConfigError where they do not agree."""
    tasks: dict[str, Task] = {}
    for target in dict.fromkeys(term.target for term in terms):
        names = {term.name for term in terms if term.target == target}
        kinds = {LOSSES[name][1] for name in names}
        if len(kinds) > 1 or names > {"binary_cross_entropy"}:
            together, of = " and ".join(sorted(names)), "" if target == "y" else f" {target}"
            raise ConfigError(
                [f"loss: {together} want different outputs for the same target{of}; keep one kind of them"]
            )
        tasks[target] = kinds.pop()
    return tasks


def accuracy(output: Tensor, target: Tensor) -> Tensor:
    """Share of the targets that have the highest score: scores (…, C), classes (…); 0-d float."""
    return (output.argmax(-1) == target).float().mean()


def binary_accuracy(output: Tensor, target: Tensor) -> Tensor:
    """Share of the targets on the right side of score 0: (N, 1) or (N,), classes 0 and 1 (N,); 0-d float."""
    return ((output.reshape(target.shape) > 0) == target.bool()).float().mean()


def build_metrics(terms: Sequence[LossTerm]) -> dict[str, Loss]:
    """Accuracy where the targets are classes; of several such targets one each."""
    classes = [target for target, task in targets_of(terms).items() if task == "classes"]
    binary = {term.target for term in terms if term.name == "binary_cross_entropy"}
    return {
        "accuracy" if len(classes) == 1 else f"accuracy.{target}": _of_target(
            target, binary_accuracy if target in binary else accuracy
        )
        for target in classes
    }


def _of_target(name: str, metric: Loss) -> Loss:
    return lambda output, target: metric(for_target(output, name), for_target(target, name))
