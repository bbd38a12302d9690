"""The optimizers of a config, by name."""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from sgdb_engine.config.records import AdamOptimizer, OptimizerSection, RmspropOptimizer, SgdOptimizer
from sgdb_engine.workload.ema_momentum import EmaMomentum


def sgd(section: SgdOptimizer, parameters: Iterable[nn.Parameter]) -> Optimizer:
    if section.ema_momentum:
        return EmaMomentum(parameters, section.lr, section.ema_momentum, section.weight_decay)
    return torch.optim.SGD(
        parameters,
        lr=section.lr,
        momentum=section.momentum,
        nesterov=section.nesterov,
        weight_decay=section.weight_decay,
    )


def adam(section: AdamOptimizer, parameters: Iterable[nn.Parameter]) -> Optimizer:
    return torch.optim.Adam(parameters, lr=section.lr, betas=section.betas, weight_decay=section.weight_decay)


def adamw(section: AdamOptimizer, parameters: Iterable[nn.Parameter]) -> Optimizer:
    return torch.optim.AdamW(
        parameters, lr=section.lr, betas=section.betas, weight_decay=section.weight_decay
    )


def rmsprop(section: RmspropOptimizer, parameters: Iterable[nn.Parameter]) -> Optimizer:
    return torch.optim.RMSprop(
        parameters,
        lr=section.lr,
        alpha=section.alpha,
        momentum=section.momentum,
        weight_decay=section.weight_decay,
    )


OPTIMIZERS: dict[str, Callable[[Any, Iterable[nn.Parameter]], Optimizer]] = {
    "sgd": sgd,
    "adam": adam,
    "adamw": adamw,
    "rmsprop": rmsprop,
}


def build_optimizer(section: OptimizerSection, parameters: Iterable[nn.Parameter]) -> Optimizer:
    """The optimizer that a config names, over all parameters."""
    return OPTIMIZERS[section.name](section, parameters)
