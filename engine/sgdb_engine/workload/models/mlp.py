"""The multi-layer perceptron."""

import math
from itertools import pairwise
from typing import Any

from torch import Tensor, nn

from sgdb_engine.config.records import MlpModel
from sgdb_engine.errors import DataError
from sgdb_engine.workload.datasets.examples import Facts
from sgdb_engine.workload.models.activations import ACTIVATIONS
from sgdb_engine.workload.models.heads import Heads, build_head


class Mlp(nn.Module):
    """Hidden layers of one width, then a linear head. Input (N, …), flattened; output (N, heads)."""

    def __init__(self, section: MlpModel, num_inputs: int, heads: Heads) -> None:
        super().__init__()
        widths = [num_inputs, *[section.width] * section.layers]
        self.layers = nn.ModuleList(nn.Linear(before, after) for before, after in pairwise(widths))
        self.activations = nn.ModuleList(ACTIVATIONS[section.activation]() for _ in range(section.layers))
        self.dropout = nn.Dropout(section.dropout)
        self.head = build_head(widths[-1], heads)

    def forward(self, x: Tensor) -> Any:
        x = x.flatten(1)
        for layer, activation in zip(self.layers, self.activations, strict=True):
            x = self.dropout(activation(layer(x)))
        return self.head(x)


def build_mlp(section: MlpModel, facts: Facts, heads: Heads) -> nn.Module:
    """Raises DataError for tokens: they have no order that a linear layer could use."""
    if facts.kind == "tokens":
        raise DataError('model.name = "mlp": takes numbers, these data are tokens; use "transformer"')
    return Mlp(section, math.prod(facts.x_shape), heads)
