"""The last layer of a built-in model."""

from collections.abc import Mapping
from typing import cast

from torch import Tensor, nn

Heads = Mapping[str, int]
"""Target → how many numbers the model gives for it."""


class SeveralHeads(nn.ModuleDict):
    """A linear layer for each target: (N, width) → {target: (N, outputs)}."""

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        return {name: cast(Tensor, head(x)) for name, head in self.items()}


def build_head(width: int, heads: Heads) -> nn.Module:
    """One linear layer; with several targets one for each."""
    if len(heads) == 1:
        return nn.Linear(width, next(iter(heads.values())))
    return SeveralHeads({name: nn.Linear(width, outputs) for name, outputs in heads.items()})
