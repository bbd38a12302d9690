"""The gradient noise scale against the quantity that it estimates, on a problem where that is known."""

import math

import pytest
import torch

from sgdb_engine.noise_scale import NoiseScale, norm_of

DIMENSION, SMALL, BIG = 50, 4, 32


def look(
    generator: torch.Generator, mean: torch.Tensor, deviation: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """Norms of the mean gradient over the first examples and over all; each has noise of its own."""
    each = mean + deviation * torch.randn(BIG, DIMENSION, generator=generator, dtype=torch.float64)
    return each[:SMALL].mean(0).norm(), each.mean(0).norm()


@pytest.mark.parametrize("deviation", [0.5, 1.0])
def test_it_is_the_trace_of_the_covariance_by_the_squared_gradient(deviation: float) -> None:
    generator = torch.Generator().manual_seed(0)
    mean = torch.full((DIMENSION,), 0.3, dtype=torch.float64)
    noise = NoiseScale()
    found = [float(noise.add(*look(generator, mean, deviation), SMALL, BIG)) for _ in range(400)]
    true = DIMENSION * deviation**2 / float(mean.square().sum())
    assert sum(found[100:]) / 300 == pytest.approx(true, rel=0.1)


def test_pure_noise_has_no_scale_that_could_be_told() -> None:
    noise = NoiseScale()
    assert math.isnan(float(noise.add(torch.tensor(2.0), torch.tensor(0.1), 4, 8)))


def test_the_norm_is_that_of_all_gradients_together() -> None:
    model = torch.nn.Linear(3, 2)
    assert float(norm_of(p.grad for p in model.parameters())) == 0
    model(torch.ones(1, 3)).sum().backward()
    flat = torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])
    assert float(norm_of(p.grad for p in model.parameters())) == pytest.approx(float(flat.norm()))
