"""The built-in models: shapes, names, and what they promise."""

from typing import Any

import pytest
import torch
from torch import nn

from sgdb_engine.config.records import CnnModel, MlpModel, TransformerModel
from sgdb_engine.workload.datasets.examples import Facts, TargetFacts
from sgdb_engine.workload.models import MODELS


def mlp(**keys: Any) -> nn.Module:
    facts = Facts(kind="table", x_shape=(6,), targets={"y": TargetFacts((), 3)})
    return MODELS["mlp"](MlpModel(name="mlp", **keys), facts, {"y": 3})


def cnn(side: int, **keys: Any) -> nn.Module:
    facts = Facts(kind="images", x_shape=(2, side, side), targets={"y": TargetFacts((), 3)})
    return MODELS["cnn"](CnnModel(name="cnn", **keys), facts, {"y": 3})


def transformer(**keys: Any) -> nn.Module:
    facts = Facts(kind="tokens", x_shape=(12,), targets={"y": TargetFacts((12,), 20)}, vocabulary=20)
    return MODELS["transformer"](TransformerModel(name="transformer", width=16, **keys), facts, {"y": 20})


def test_an_mlp_without_layers_is_linear() -> None:
    assert [name for name, _ in mlp(layers=0).named_parameters()] == ["head.weight", "head.bias"]


def test_parameters_are_called_what_they_are() -> None:
    assert "layers.1.weight" in dict(mlp(layers=2).named_parameters())
    names = dict(transformer(layers=2).named_parameters())
    assert {"blocks.1.attention.qkv.weight", "blocks.0.mlp.up.bias", "head.weight"} <= set(names)
    assert {"convs.0.weight", "norms.0.weight", "head.bias"} <= set(dict(cnn(8).named_parameters()))


@pytest.mark.parametrize("activation", ["relu", "gelu", "silu", "tanh", "sigmoid", "leaky_relu", "elu"])
def test_each_activation_gives_finite_scores(activation: str) -> None:
    output = mlp(activation=activation, dropout=0.5)(torch.randn(4, 6))
    assert output.shape == (4, 3)
    assert bool(output.isfinite().all())


@pytest.mark.parametrize("side", [1, 2, 3, 8, 28, 32])
@pytest.mark.parametrize("layers", [1, 2, 6])
def test_a_cnn_takes_pictures_of_any_size(side: int, layers: int) -> None:
    assert cnn(side, layers=layers, width=4)(torch.randn(2, 2, side, side)).shape == (2, 3)


def test_a_cnn_without_batch_norm_has_a_bias_instead() -> None:
    names = dict(cnn(8, batch_norm=False).named_parameters())
    assert "convs.0.bias" in names
    assert not any(name.startswith("norms") for name in names)


def test_a_transformer_sees_only_what_came_before() -> None:
    model = transformer(layers=2).eval()
    tokens = torch.randint(0, 20, (1, 12), generator=torch.Generator().manual_seed(0))
    changed = tokens.clone()
    changed[0, 7] = (tokens[0, 7] + 1) % 20
    one, other = model(tokens), model(changed)
    assert torch.allclose(one[:, :7], other[:, :7], atol=1e-6)
    assert not torch.allclose(one[:, 7:], other[:, 7:], atol=1e-6)


@pytest.mark.parametrize("tied", [True, False])
def test_a_transformer_starts_by_guessing(tied: bool) -> None:
    scores = transformer(tied=tied)(torch.randint(0, 20, (64, 12)))
    loss = nn.functional.cross_entropy(scores.flatten(0, 1), torch.randint(0, 20, (64 * 12,)))
    assert float(loss.detach()) == pytest.approx(torch.log(torch.tensor(20.0)).item(), abs=0.5)


def test_a_tied_transformer_has_one_matrix_less() -> None:
    names = dict(transformer(tied=True).named_parameters())
    assert "head.weight" not in names


def test_dropout_acts_in_training_only() -> None:
    model = transformer(layers=1, dropout=0.5)
    tokens = torch.zeros(1, 12, dtype=torch.int64)
    assert not torch.equal(model(tokens), model(tokens))
    model.eval()
    assert torch.equal(model(tokens), model(tokens))
