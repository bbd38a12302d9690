"""The weights that a training begins with have the distribution of the formula."""

import math
from typing import Any

import pytest
import torch
from torch import nn

from sgdb_engine.workload.initialisation import initialise

N_IN, N_OUT = 400, 300


def layer(init: str) -> nn.Linear:
    torch.manual_seed(0)
    model = nn.Linear(N_IN, N_OUT)
    initialise(model, init, torch.randn(64, N_IN))
    return model


def test_kaiming_uniform_is_the_formula_of_the_course_to_the_letter() -> None:
    torch.manual_seed(3)
    model = nn.Linear(N_IN, N_OUT)
    torch.manual_seed(4)
    initialise(model, "kaiming_uniform", torch.randn(0, N_IN))
    torch.manual_seed(4)
    torch.randn(0, N_IN)
    weight = math.sqrt(6 / N_IN) * (2 * torch.rand(N_OUT, N_IN) - 1)
    bias = 1 / math.sqrt(N_IN) * (2 * torch.rand(N_OUT) - 1)
    torch.testing.assert_close(model.weight.detach(), weight, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(model.bias.detach(), bias, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("init", "std"),
    [
        ("kaiming_uniform", math.sqrt(2 / N_IN)),
        ("kaiming_normal", math.sqrt(2 / N_IN)),
        ("xavier_uniform", math.sqrt(2 / (N_IN + N_OUT))),
        ("xavier_normal", math.sqrt(2 / (N_IN + N_OUT))),
    ],
)
def test_the_standard_deviation_is_that_of_the_source(init: str, std: float) -> None:
    weight = layer(init).weight.detach()
    assert float(weight.std()) == pytest.approx(std, rel=0.02)
    assert float(weight.mean()) == pytest.approx(0, abs=3 * std / math.sqrt(weight.numel()))
    bound = {"kaiming_uniform": math.sqrt(6 / N_IN), "xavier_uniform": math.sqrt(6 / (N_IN + N_OUT))}
    assert float(weight.abs().max()) <= bound.get(init, math.inf)


def test_orthogonal_rows_are_orthonormal() -> None:
    weight = layer("orthogonal").weight.detach()
    torch.testing.assert_close(weight @ weight.T, torch.eye(N_OUT), atol=1e-4, rtol=0)


def outputs(model: nn.Module, x: torch.Tensor) -> list[float]:
    """The standard deviation of what each linear or convolutional layer gives."""
    found: list[float] = []
    for module in model.modules():
        if isinstance(module, nn.Linear | nn.Conv2d):
            module.register_forward_hook(lambda _m, _i, output: found.append(float(output.detach().std())))
    model(x)
    return found


@pytest.mark.parametrize("kind", ["mlp", "cnn"])
def test_lsuv_gives_every_layer_outputs_of_unit_variance(kind: str) -> None:
    torch.manual_seed(0)
    wide: list[nn.Module] = []
    if kind == "mlp":
        x = torch.randn(128, 20) * 5
        for _ in range(6):
            wide += [nn.Linear(20, 20), nn.Tanh()]
    else:
        x = torch.randn(32, 3, 8, 8)
        wide = [
            nn.Conv2d(3, 8, 3),
            nn.BatchNorm2d(8),
            nn.ReLU(),
            nn.Dropout(0.5),
            nn.Conv2d(8, 8, 3),
            nn.ReLU(),
        ]
    model = nn.Sequential(*wide)
    before = {name: buffer.clone() for name, buffer in model.named_buffers()}
    initialise(model, "lsuv", x)
    assert all(module.training for module in model.modules())
    assert all(torch.equal(before[name], buffer) for name, buffer in model.named_buffers())
    found = outputs(model.eval(), x)
    assert found == pytest.approx([1.0] * len(found), abs=0.11)


def test_the_default_leaves_pytorchs_weights() -> None:
    torch.manual_seed(0)
    model = nn.Linear(3, 2)
    before = model.weight.detach().clone()
    initialise(model, "default", torch.randn(2, 3))
    assert torch.equal(model.weight, before)


@pytest.mark.parametrize("init", ["lsuv", "orthogonal", "kaiming_normal"])
def test_a_config_builds_each_model_with_it(built: Any, init: str) -> None:
    for data, model in (("five_points", "mlp"), ("digits", "cnn")):
        workload = built(f'data={{name = "{data}"}}', f'model={{name = "{model}", init = "{init}"}}')
        assert all(p.isfinite().all() for p in workload.model.parameters())
    text = built(
        'data={name = "text", context = 8, max_chars = 2000}',
        f'model={{name = "transformer", init = "{init}", tied = true}}',
    )
    assert text.model.head.weight is text.model.embedding.weight
    assert float(text.model.embedding.weight.detach().std()) < 0.03
