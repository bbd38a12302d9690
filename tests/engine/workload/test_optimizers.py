"""Each optimizer of a config against its formula, written out by hand in float64."""

import math
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from sgdb_engine.config.records import AdamOptimizer, AdamWOptimizer, RmspropOptimizer, SgdOptimizer
from sgdb_engine.workload.optimizers import build_optimizer

STEPS = 5
LR, DECAY = 0.05, 0.3


def start() -> Tensor:
    return torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64)


def gradients() -> Iterator[Tensor]:
    """A fixed sequence, the same for both sides."""
    generator = torch.Generator().manual_seed(0)
    for _ in range(STEPS):
        yield torch.randn(3, dtype=torch.float64, generator=generator)


def trained(section: Any) -> Tensor:
    parameter = nn.Parameter(start())
    optimizer = build_optimizer(section, [parameter])
    for gradient in gradients():
        parameter.grad = gradient
        optimizer.step()
    return parameter.detach()


def sgd(theta: Tensor, decay: float) -> Tensor:
    for g in gradients():
        theta = theta - LR * (g + decay * theta)
    return theta


def momentum(theta: Tensor, decay: float, *, nesterov: bool = False) -> Tensor:
    buffer = None
    for each in gradients():
        g = each + decay * theta
        buffer = g if buffer is None else 0.9 * buffer + g
        theta = theta - LR * (g + 0.9 * buffer if nesterov else buffer)
    return theta


def ema(theta: Tensor, decay: float) -> Tensor:
    m = torch.zeros_like(theta)
    for g in gradients():
        m = 0.9 * m + (1 - 0.9) * (g + decay * theta)
        theta = theta - LR * m
    return theta


def adam(theta: Tensor, decay: float, *, decoupled: bool = False) -> Tensor:
    m, v = torch.zeros_like(theta), torch.zeros_like(theta)
    for t, each in enumerate(gradients(), 1):
        g = each if decoupled else each + decay * theta
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g**2
        step = LR * (m / (1 - 0.9**t)) / ((v / (1 - 0.999**t)).sqrt() + 1e-8)
        theta = (
            theta - step - (LR * decay * theta if decoupled else 0)
        )  # λ of the decoupled form is lr · decay
    return theta


def rmsprop(theta: Tensor, decay: float) -> Tensor:
    v = torch.zeros_like(theta)
    for each in gradients():
        g = each + decay * theta
        v = 0.99 * v + 0.01 * g**2
        theta = theta - LR * g / (v.sqrt() + 1e-8)
    return theta


@pytest.mark.parametrize("decay", [0.0, DECAY])
@pytest.mark.parametrize("form", ["sgd", "momentum", "nesterov", "ema", "adam", "adamw", "rmsprop"])
def test_five_steps_are_those_of_the_formula(form: str, decay: float) -> None:
    common = {"lr": LR, "weight_decay": decay}
    section, expected = {
        "sgd": (SgdOptimizer(name="sgd", **common), sgd(start(), decay)),
        "momentum": (SgdOptimizer(name="sgd", momentum=0.9, **common), momentum(start(), decay)),
        "nesterov": (
            SgdOptimizer(name="sgd", momentum=0.9, nesterov=True, **common),
            momentum(start(), decay, nesterov=True),
        ),
        "ema": (SgdOptimizer(name="sgd", ema_momentum=0.9, **common), ema(start(), decay)),
        "adam": (AdamOptimizer(name="adam", **common), adam(start(), decay)),
        "adamw": (AdamWOptimizer(name="adamw", **common), adam(start(), decay, decoupled=True)),
        "rmsprop": (RmspropOptimizer(name="rmsprop", **common), rmsprop(start(), decay)),
    }[form]
    torch.testing.assert_close(trained(section), expected, rtol=1e-12, atol=1e-12)


def test_the_first_step_of_the_moving_average_is_shorter_than_that_of_pytorch_with_dampening() -> None:
    parameter, twin = nn.Parameter(start()), nn.Parameter(start())
    ours = build_optimizer(SgdOptimizer(name="sgd", lr=LR, ema_momentum=0.9), [parameter])
    theirs = torch.optim.SGD([twin], lr=LR, momentum=0.9, dampening=0.9)
    for each, optimizer in ((parameter, ours), (twin, theirs)):
        each.grad = torch.ones(3, dtype=torch.float64)
        optimizer.step()
    moved, twin_moved = (float((each.detach() - start()).norm()) for each in (parameter, twin))
    assert math.isclose(moved, 0.1 * twin_moved)


def test_a_parameter_without_a_gradient_is_left_alone() -> None:
    parameter = nn.Parameter(start())
    build_optimizer(SgdOptimizer(name="sgd", lr=LR, ema_momentum=0.9), [parameter]).step()
    assert torch.equal(parameter.detach(), start())
