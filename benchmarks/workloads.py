"""Trainings whose steps are all alike, and how long a step takes; importing this pins malloc and the threads.

The program that imports it starts anew with them pinned, so it does that before all else.
"""

import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

PINNED = {
    "MALLOC_TRIM_THRESHOLD_": "4294967296",
    "MALLOC_MMAP_THRESHOLD_": "4294967296",
    "OMP_NUM_THREADS": "1",
}
if any(os.environ.get(name) != value for name, value in PINNED.items()):
    # without this glibc gives memory back between steps, and page faults drown what is to be measured
    os.execve(sys.executable, [sys.executable, *sys.argv], {**os.environ, **PINNED})

import torch
import torch.nn.functional as F
from torch import Tensor, nn

torch.set_num_threads(1)

WARM_UP_STEPS = 10
"""Steps of a block that are not timed: the model is found there, and the first measurements are free."""


@dataclass(frozen=True)
class Workload:
    """A training whose steps are all alike."""

    name: str
    make: Callable[[], tuple[nn.Module, Tensor, Tensor]]
    block_steps: int
    """Long enough for several measurements of large models, which come once in many steps."""


def mlp() -> tuple[nn.Module, Tensor, Tensor]:
    layers = nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 10))
    return layers, torch.randn(32, 64), torch.randint(10, (32,))


def cnn() -> tuple[nn.Module, Tensor, Tensor]:
    def block(inside: int, outside: int) -> list[nn.Module]:
        return [nn.Conv2d(inside, outside, 3, padding=1), nn.BatchNorm2d(outside), nn.ReLU(), nn.MaxPool2d(2)]

    layers = [*block(3, 32), *block(32, 64), *block(64, 128), nn.Flatten(), nn.Linear(128 * 16, 10)]
    return nn.Sequential(*layers), torch.randn(64, 3, 32, 32), torch.randint(10, (64,))


class Transformer(nn.Module):
    """About ten million parameters."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(1000, 384)
        layer = nn.TransformerEncoderLayer(384, 6, 1536, dropout=0.0, batch_first=True)
        self.blocks = nn.TransformerEncoder(layer, 5, enable_nested_tensor=False)
        self.head = nn.Linear(384, 1000)

    def forward(self, tokens: Tensor) -> Tensor:
        return self.head(self.blocks(self.embedding(tokens))).flatten(0, 1)


def transformer() -> tuple[nn.Module, Tensor, Tensor]:
    return Transformer(), torch.randint(1000, (4, 64)), torch.randint(1000, (256,))


def many_tensors() -> tuple[nn.Module, Tensor, Tensor]:
    layers: list[nn.Module] = []
    for _ in range(500):
        layers += [nn.Linear(48, 48), nn.Tanh()]
    return nn.Sequential(*layers, nn.Linear(48, 10)), torch.randn(64, 48), torch.randint(10, (64,))


WORKLOADS = (
    Workload("mlp", mlp, 400),
    Workload("cnn", cnn, 60),
    Workload("transformer-10M", transformer, 40),
    Workload("1000-tensors", many_tensors, 60),
)


class Training:
    """One model and its optimizer, trained a block at a time."""

    def __init__(self, workload: Workload) -> None:
        torch.manual_seed(0)
        self.model, self.x, self.y = workload.make()
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=1e-4)

    def step(self) -> Tensor:
        """The loss; the gradients stay until the next step."""
        self.optimizer.zero_grad()
        loss = F.cross_entropy(self.model(self.x), self.y)
        loss.backward()
        self.optimizer.step()
        return loss

    def timed_block(self, steps: int) -> tuple[float, float]:
        """Wall and thread CPU seconds a step."""
        for _ in range(WARM_UP_STEPS):
            self.step()
        wall, cpu = time.perf_counter(), time.thread_time()
        for _ in range(steps):
            self.step()
        return (time.perf_counter() - wall) / steps, (time.thread_time() - cpu) / steps
