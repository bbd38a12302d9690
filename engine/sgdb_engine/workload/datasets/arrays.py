"""Arrays from outside → examples, or what is wrong with them."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from sgdb_engine.errors import DataError
from sgdb_engine.workload.datasets.examples import Examples, Kind
from sgdb_engine.workload.losses import Task


def examples_from_arrays(origin: str, x: Any, y: Any, task: Task, classes: int | None = None) -> Examples:
    """x (N, …) and y (N,) or (N, …) as arrays or tensors of any number type → examples.

    x of int64 holds tokens, x of any other type numbers. Classes are counted from 0; where `classes` is not
    given there are as many as the largest label says. `origin` is what messages call the place.
    Raises DataError.
    """
    inputs, targets = as_tensor(origin, "x", x), as_tensor(origin, "y", y)
    if inputs.ndim < 2:
        raise DataError(f"{origin}: x is {tuple(inputs.shape)}; it must be (examples, features…)")
    if targets.ndim < 1 or len(inputs) != len(targets):
        raise DataError(
            f"{origin}: x is {tuple(inputs.shape)} and y is {tuple(targets.shape)}: the lengths must agree"
        )
    if not inputs.numel():
        raise DataError(f"{origin}: there are no data: x is {tuple(inputs.shape)}")
    kind = kind_of(inputs)
    inputs = inputs if kind == "tokens" else inputs.float()
    if task == "numbers":
        return Examples(x=inputs, y=targets.float().reshape(len(targets), -1), kind=kind)
    labels = class_labels(origin, targets, sequence=kind == "tokens" and targets.shape == inputs.shape)
    return Examples(x=inputs, y=labels, kind=kind, classes=classes or max(int(labels.max()) + 1, 1))


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


def class_labels(origin: str, targets: Tensor, *, sequence: bool = False) -> Tensor:
    """Targets (N,) or (N, 1), or (N, T) for sequences → int64. Raises DataError for no class numbers."""
    if not sequence and targets.ndim > 1:
        if targets[0].numel() != 1:
            raise DataError(
                f"{origin}: y is {tuple(targets.shape)}; classes are one whole number an example, shape "
                f"({len(targets)},); if this is one-hot, take its argmax(1)"
            )
        targets = targets.reshape(-1)
    labels = targets.long()
    wrong = labels != targets
    if bool(wrong.any()):
        examples = ", ".join(f"{value:g}" for value in targets[wrong][:3].tolist())
        raise DataError(
            f"{origin}: y holds {examples}; classes are whole numbers from 0. "
            'For real numbers use the loss "mse", "l1" or "smooth_l1"'
        )
    return labels
