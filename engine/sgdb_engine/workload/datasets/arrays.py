"""Arrays from outside → examples, or what is wrong with them."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sgdb_engine.config.wording import listed, nearest
from sgdb_engine.errors import DataError
from sgdb_engine.workload.datasets.examples import THE_TARGET, Examples, Kind, Target
from sgdb_engine.workload.losses import FOR_NUMBERS, Task


def examples_from_arrays(
    origin: str, x: Any, y: Any, tasks: Mapping[str, Task], classes: int | Mapping[str, int] | None = None
) -> Examples:
    """x (N, …) and y (N,) or (N, …), or a dict of these, as arrays or tensors of any number type → examples.

    x of int64 holds tokens, x of any other type numbers. Classes are counted from 0; where `classes` is not
    given there are as many as the largest label says. `origin` is what messages call the place.
    Raises DataError.
    """
    inputs = as_tensor(origin, "x", x)
    if inputs.ndim < 2:
        raise DataError(f"{origin}: x is {tuple(inputs.shape)}; it must be (examples, features…)")
    kind = kind_of(inputs)
    inputs = inputs if kind == "tokens" else inputs.float()
    given = dict(y) if isinstance(y, Mapping) else {THE_TARGET: y}
    refuse_missing(origin, tasks, given)
    targets = {}
    for name, task in tasks.items():
        number = classes.get(name) if isinstance(classes, Mapping) else classes
        targets[name] = target_from_array(origin, inputs, name, given[name], task, number)
    if not inputs.numel():
        raise DataError(f"{origin}: there are no data: x is {tuple(inputs.shape)}")
    return Examples(inputs, targets, kind)


def target_from_array(
    origin: str, inputs: Tensor, name: str, values: Any, task: Task, classes: int | None
) -> Target:
    """One target. Raises DataError."""
    targets = as_tensor(origin, name, values)
    if targets.ndim < 1 or len(inputs) != len(targets):
        raise DataError(
            f"{origin}: x is {tuple(inputs.shape)} and {name} is {tuple(targets.shape)}: the lengths must agree"
        )
    if task == "numbers":
        return Target(targets.float().reshape(len(targets), targets[0].numel() if len(targets) else 1))
    sequence = kind_of(inputs) == "tokens" and targets.shape == inputs.shape
    labels = class_labels(origin, name, targets, sequence=sequence)
    return Target(labels, classes or max(int(labels.max()) + 1 if labels.numel() else 1, 1))


def refuse_missing(origin: str, wanted: Iterable[str], given: Iterable[str]) -> None:
    """Raises DataError where a loss is for a target that the data do not have."""
    there = list(given)
    for name in wanted:
        if name not in there:
            raise DataError(
                f'loss.target = "{name}": {origin} has no such target; there is {listed(there)}.{nearest(name, there)}'
            )


def kind_of(x: Tensor) -> Kind:
    """What a batch of inputs holds, by its type and number of dimensions."""
    if x.dtype == torch.int64:
        return "tokens"
    kinds: dict[int, Kind] = {2: "table", 4: "images"}
    return kinds.get(x.ndim, "other")


def as_tensor(origin: str, name: str, values: Any) -> Tensor:
    """Raises DataError for what is no array of real numbers."""
    try:
        tensor = values if isinstance(values, Tensor) else torch.as_tensor(np.asarray(values))
    except (TypeError, ValueError, RuntimeError) as error:
        raise DataError(f"{origin}: {name} is no array of numbers: {error}") from None
    if tensor.is_complex():
        raise DataError(f"{origin}: {name} holds complex numbers; give real ones")
    return tensor.detach().cpu()


def class_labels(origin: str, name: str, targets: Tensor, *, sequence: bool = False) -> Tensor:
    """Targets (N,) or (N, 1), or (N, T) for sequences → int64. Raises DataError for no class numbers."""
    if not sequence and targets.ndim > 1:
        if targets[0].numel() != 1:
            raise DataError(
                f"{origin}: {name} is {tuple(targets.shape)}; classes are one whole number an example, shape "
                f"({len(targets)},); if this is one-hot, take its argmax(1)"
            )
        targets = targets.reshape(-1)
    labels = targets.long()
    wrong = labels != targets
    if bool(wrong.any()):
        examples = ", ".join(f"{value:g}" for value in targets[wrong][:3].tolist())
        raise DataError(
            f"{origin}: {name} holds {examples}; classes are whole numbers from 0. "
            f"For real numbers use the loss {FOR_NUMBERS}"
        )
    return labels
