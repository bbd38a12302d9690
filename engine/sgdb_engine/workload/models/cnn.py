"""A small convolutional network."""

from typing import Any

from torch import Tensor, nn

from sgdb_engine.config.records import CnnModel
from sgdb_engine.errors import DataError
from sgdb_engine.workload.datasets.examples import Facts
from sgdb_engine.workload.models.activations import ACTIVATIONS
from sgdb_engine.workload.models.heads import Heads, build_head

SMALLEST_POOLED = 4
"""Pixels on the shorter side below which nothing is pooled any more."""


class Cnn(nn.Module):
    """3 × 3 convolutions, pooled by 2 after every second one, the mean over all places, a linear head.

    Input (N, C, H, W), output (N, heads). BatchNorm as in Ioffe & Szegedy 2015, before the activation.
    """

    def __init__(self, section: CnnModel, x_shape: tuple[int, ...], heads: Heads) -> None:
        super().__init__()
        channels, side, width = x_shape[0], min(x_shape[1:]), section.width
        self.convs, self.norms, self.activations, self.pools = (nn.ModuleList() for _ in range(4))
        for layer in range(section.layers):
            self.convs.append(nn.Conv2d(channels, width, 3, padding=1, bias=not section.batch_norm))
            self.norms.append(nn.BatchNorm2d(width) if section.batch_norm else nn.Identity())
            self.activations.append(ACTIVATIONS[section.activation]())
            pooled = layer % 2 == 1 and side >= SMALLEST_POOLED
            self.pools.append(nn.MaxPool2d(2) if pooled else nn.Identity())
            channels = width
            if pooled:
                side, width = side // 2, width * 2
        self.dropout = nn.Dropout(section.dropout)
        self.head = build_head(channels, heads)

    def forward(self, x: Tensor) -> Any:
        for conv, norm, activation, pool in zip(
            self.convs, self.norms, self.activations, self.pools, strict=True
        ):
            x = pool(activation(norm(conv(x))))
        return self.head(self.dropout(x.mean(dim=(2, 3))))


def build_cnn(section: CnnModel, facts: Facts, heads: Heads) -> nn.Module:
    """Raises DataError for what are no images."""
    if facts.kind != "images":
        raise DataError(
            f'model.name = "cnn": takes images (channels, height, width), one example here is '
            f'{facts.x_shape}; use "mlp"' + (' or "transformer"' if facts.kind == "tokens" else "")
        )
    return Cnn(section, facts.x_shape, heads)
