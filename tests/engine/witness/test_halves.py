"""Updates and gradients of 16 bits that become 0."""

import pytest
import torch
from torch import nn

from sgdb_engine.witness.halves import LEAST_UPDATES, UPDATES, HalfGradients, LostUpdates


def lost_by(change: float, updates: int = UPDATES + 1, kind: torch.dtype = torch.bfloat16) -> LostUpdates:
    """Weights of 1, from which `change` is taken in each update."""
    weight = nn.Parameter(torch.ones(100, dtype=kind))
    optimizer = torch.optim.SGD([weight], lr=change)
    lost = LostUpdates()
    for _ in range(updates):
        weight.grad = torch.ones_like(weight)
        lost.before_update(optimizer)
        optimizer.step()
    return lost


@pytest.mark.parametrize("kind", [torch.bfloat16, torch.float16])
def test_updates_below_half_the_distance_to_the_next_number_are_lost(kind: torch.dtype) -> None:
    spacing = torch.finfo(kind).eps / 2  # below 1 it is half as large as above
    assert lost_by(spacing / 4, kind=kind).share == 1.0
    assert lost_by(spacing, kind=kind).share == 0.0


def test_fewer_updates_are_enough_at_the_end_but_not_a_few() -> None:
    assert lost_by(1e-6, updates=LEAST_UPDATES + 1).share == 1.0
    assert lost_by(1e-6, updates=LEAST_UPDATES).share == 0.0


@pytest.mark.parametrize("name", ["kahan_comp", "master_weight", "shift"])
def test_an_optimizer_that_makes_up_for_rounding_loses_nothing(name: str) -> None:
    weight = nn.Parameter(torch.ones(100, dtype=torch.bfloat16))
    optimizer = torch.optim.SGD([weight], lr=1e-6)
    lost = LostUpdates()
    for _ in range(UPDATES + 1):
        weight.grad = torch.ones_like(weight)
        lost.before_update(optimizer)
        optimizer.step()
        optimizer.state[weight][name] = torch.zeros_like(weight)  # as of the first step
    assert lost.share == 0.0


def test_wide_weights_are_not_followed() -> None:
    assert lost_by(1e-9, kind=torch.float32).kind == ""


def test_weights_without_a_gradient_are_not_counted() -> None:
    weight = nn.Parameter(torch.ones(100, dtype=torch.bfloat16))
    optimizer = torch.optim.SGD([weight], lr=0.1)
    lost = LostUpdates()
    for _ in range(UPDATES + 1):
        weight.grad = torch.zeros_like(weight)
        weight.grad[:10] = 1.0
        lost.before_update(optimizer)
        optimizer.step()
    assert lost.share == 0.0


def underflown(gradient: torch.Tensor, kind: torch.dtype = torch.float16) -> float:
    model = nn.Linear(*reversed(gradient.shape), bias=False).to(kind)
    model.weight.grad = gradient.to(kind)
    seen = HalfGradients()
    seen.before_call(model)
    seen.before_update(torch.optim.SGD(model.parameters()), [model])
    return seen.underflown


def gradients(size: float) -> torch.Tensor:
    return size * torch.randn(50, 50, generator=torch.Generator().manual_seed(0))


def test_small_gradients_become_zero_in_float16() -> None:
    values = gradients(3e-8)
    expected = float((values.half() == 0).double().mean())
    assert expected > 0.5
    assert underflown(values) == pytest.approx(expected)


def test_gradients_of_the_usual_size_do_not_however_sparse_they_are() -> None:
    values = gradients(1e-2)
    values[torch.rand(50, 50, generator=torch.Generator().manual_seed(1)) < 0.8] = 0
    assert underflown(values) == 0.0


def test_rows_and_columns_of_zeros_are_of_units_and_inputs_that_are_off() -> None:
    values = gradients(1e-5)
    values[:40] = 0
    values[:, :40] = 0
    assert underflown(values) < 0.05


def test_where_all_is_zero_all_is_lost() -> None:
    assert underflown(gradients(1e-12)) == 1.0


def test_bfloat16_has_the_range_of_float32() -> None:
    assert underflown(gradients(3e-8), torch.bfloat16) == 0.0


def test_tables_of_embeddings_are_left_out() -> None:
    model = nn.Embedding(50, 50).half()
    model.weight.grad = gradients(3e-8).half()
    seen = HalfGradients()
    seen.before_call(model)
    seen.before_update(torch.optim.SGD(model.parameters()), [model])
    assert seen.underflown == 0.0
