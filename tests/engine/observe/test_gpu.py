"""On a GPU nothing of ours waits for it: what is measured is read some steps later."""

import math
from typing import Any

import pytest
import torch
from torch.profiler import ProfilerActivity, profile

from sgdb_engine.observe import distributions
from sgdb_engine.observe.hooks import observe
from sgdb_engine.observe.statistics import RANGE_STATS

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]
LAYERS = 40
"""Of two tensors each."""
MOST_LAUNCHES = 25
LAUNCHES = ("cudaLaunchKernel", "cuLaunchKernel", "cudaMemcpyAsync", "cudaMemsetAsync")
STEPS = 4
"""That are profiled."""


class OnGpu:
    """A training whose own code never waits for the device either."""

    def __init__(self) -> None:
        torch.manual_seed(0)
        layers = [torch.nn.Linear(32, 32) for _ in range(LAYERS)]
        self.model = torch.nn.Sequential(*layers).cuda()
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=1e-3, fused=True)
        self.x = torch.randn(16, 32, device="cuda")
        self.losses: list[torch.Tensor] = []

    def step(self, count: int) -> None:
        for _ in range(count):
            self.optimizer.zero_grad()
            loss = (self.model(self.x) - self.x).square().mean()
            loss.backward()
            self.optimizer.step()
            self.losses.append(loss.detach())

    def weights(self) -> list[torch.Tensor]:
        return [p.detach().clone() for p in self.model.parameters()]


def test_no_step_waits_for_the_device(recorded: Any) -> None:
    training = OnGpu()
    with observe(recorded, budget=1.0):
        training.step(3)
        torch.cuda.set_sync_debug_mode("error")
        try:
            training.step(20)
        finally:
            torch.cuda.set_sync_debug_mode("default")
    assert recorded.failed_probes == []
    assert recorded.column("train/loss") == pytest.approx([loss.item() for loss in training.losses])


def test_weights_are_the_same_bit_for_bit(recorded: Any) -> None:
    plain = OnGpu()
    plain.step(20)
    observed = OnGpu()
    with observe(recorded, budget=1.0):
        observed.step(20)
    assert all(torch.equal(a, b) for a, b in zip(plain.weights(), observed.weights(), strict=True))


def launches_of(training: OnGpu) -> int:
    with profile(activities=[ProfilerActivity.CPU, ProfilerActivity.CUDA]) as profiled:
        training.step(STEPS)
        torch.cuda.synchronize()
    return sum(event.count for event in profiled.key_averages() if event.key.startswith(LAUNCHES))


def test_to_measure_a_step_of_eighty_tensors_takes_few_launches(
    recorded: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(distributions, "LEAST_S", math.inf)  # the first step has one, and no other
    training = OnGpu()
    training.step(3)
    plain = launches_of(training)
    with observe(recorded, budget=1.0):
        training.step(5)  # what looks at the first steps whole is through
        observed = launches_of(training)
    assert recorded.failed_probes == []
    assert len(recorded.column("input/mean")) == len(recorded.column("output/std")) == 5 + STEPS
    assert observed - plain <= MOST_LAUNCHES * STEPS


def test_what_arrives_late_is_what_the_host_would_have_measured(recorded: Any) -> None:
    training = OnGpu()
    with observe(recorded, budget=1.0):
        training.step(5)
    x = training.x.double().cpu()
    for stat, expected in zip(RANGE_STATS, (x.min(), x.max(), x.mean(), x.std(correction=0), 0), strict=True):
        assert recorded.column(f"input/{stat}") == pytest.approx([float(expected)] * 5, rel=1e-6)
    last = recorded.tensor_rows[5]
    for name, weights in training.model.named_parameters():
        assert last[f"param_mean/{name}"] == pytest.approx(weights.mean().item(), rel=1e-4, abs=1e-7)
