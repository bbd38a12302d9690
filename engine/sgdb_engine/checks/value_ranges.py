"""Tables of ranges at initialisation: inputs, targets, outputs, parameters, activations."""

from collections.abc import Iterator
from typing import Any, Literal

import torch
from torch import nn

from sgdb_engine.events import ValueRange
from sgdb_engine.observe.measurements import tensors_in
from sgdb_engine.observe.statistics import tensor_ranges
from sgdb_engine.witness.first_step import FirstStep
from sgdb_engine.witness.layers import Layers

Place = Literal["input", "target", "output", "parameter", "activation"]
MOST_ROWS = 400


def ranges_at_start(
    model: nn.Module, first: FirstStep, output: Any, layers: Layers
) -> tuple[ValueRange, ...]:
    """What there is to show of the first minibatch and of the model before its first update.

    Args:
        model: called in the first step.
        first: what it was called with, and the targets of the losses.
        output: what it gave.
        layers: seen in that call.
    """
    return tuple(_rows(model, first, output, layers))[:MOST_ROWS]


def _rows(model: nn.Module, first: FirstStep, output: Any, layers: Layers) -> Iterator[ValueRange]:
    for _, args, kwargs in first.calls[:1]:
        yield from _of_each("input", {**dict(enumerate(args)), **kwargs})
    for i, target in enumerate(first.targets):
        yield _range("target", "target" if len(first.targets) == 1 else f"target.{i}", target)
    yield from _of_each("output", output)
    yield from layers.ranges()
    for name, parameter in model.named_parameters():
        yield _range("parameter", name, parameter)


def _of_each(place: Place, value: Any) -> Iterator[ValueRange]:
    for name, tensor in tensors_in(place, value).items():
        yield _range(place, name, tensor)


def _range(place: Place, name: str, tensor: torch.Tensor) -> ValueRange:
    low, high, mean, std, nonfinite = tensor_ranges(tensor).tolist()
    return ValueRange(place, name, low, high, mean, std, int(nonfinite))
