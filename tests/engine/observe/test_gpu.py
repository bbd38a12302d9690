"""On a GPU nothing of ours waits for it: what is measured is read some steps later."""

from typing import Any

import pytest
import torch
from torch.profiler import ProfilerActivity, profile

from sgdb_engine.observe.hooks import observe
from sgdb_engine.observe.parameters import statistics_for

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]
LAYERS = 40
"""Of two tensors each."""
MOST_LAUNCHES = 25


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


def test_the_statistics_of_eighty_tensors_take_few_launches() -> None:
    training = OnGpu()
    training.step(1)
    parameters = list(training.model.parameters())
    statistics = statistics_for(parameters, [1.0] * len(parameters))
    for _ in range(2):
        with profile(activities=[ProfilerActivity.CPU, ProfilerActivity.CUDA]) as profiled:
            statistics.before_clip()
            statistics.before_update()
            statistics.after_update()
            torch.cuda.synchronize()
    launched = sum(event.count for event in profiled.key_averages() if "LaunchKernel" in event.key)
    assert launched <= MOST_LAUNCHES
