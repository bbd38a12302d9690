"""What observing costs: the same training bare and observed, in turns, in one process.

    python benchmarks/overhead.py [--budget 0.02] [--blocks 30] [--only mlp]

Prints, for each workload, observed/bare as the median over pairs of neighbouring blocks: of the wall time, and of the
training thread's CPU time. The bare loop is measured against itself in the same way (A/A): what differs from 1 there
is the noise of the machine.
"""

import argparse
import contextlib
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

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

from sgdb_engine.observe.hooks import observe
from sgdb_engine.recording.writer import Recorder

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

    def step(self) -> None:
        loss = F.cross_entropy(self.model(self.x), self.y)
        loss.backward()
        self.optimizer.step()
        self.optimizer.zero_grad()

    def timed_block(self, steps: int) -> tuple[float, float]:
        """Wall and thread CPU seconds a step."""
        for _ in range(WARM_UP_STEPS):
            self.step()
        wall, cpu = time.perf_counter(), time.thread_time()
        for _ in range(steps):
            self.step()
        return (time.perf_counter() - wall) / steps, (time.thread_time() - cpu) / steps


@contextlib.contextmanager
def recorder() -> Iterator[Recorder]:
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        opened = Recorder(Path(folder))
        try:
            yield opened
        finally:
            opened.close()


def measure(workload: Workload, blocks: int, budget: float) -> dict[str, float]:
    """Median ratios observed/bare and bare/bare, the bare step, and what sgdb itself says that it takes."""
    training = Training(workload)
    observed: list[tuple[float, float]] = []
    again: list[tuple[float, float]] = []
    bare_s: list[float] = []
    own_share = 0.0
    with recorder() as record:
        training.timed_block(workload.block_steps)
        for _ in range(blocks):
            bare = training.timed_block(workload.block_steps)
            with observe(record, budget=budget) as observer:
                seen = training.timed_block(workload.block_steps)
                own_share = observer.budget.own_share
            bare_too = training.timed_block(workload.block_steps)
            bare_s += [bare[0], bare_too[0]]
            observed.append(ratio(seen, bare, bare_too))
            again.append((bare_too[0] / bare[0], bare_too[1] / bare[1]))
    return {
        "step_ms": statistics.median(bare_s) * 1e3,
        "wall": statistics.median(wall for wall, _ in observed),
        "cpu": statistics.median(cpu for _, cpu in observed),
        "a/a wall": statistics.median(wall for wall, _ in again),
        "own share": own_share,
    }


def ratio(
    seen: tuple[float, float], before: tuple[float, float], after: tuple[float, float]
) -> tuple[float, float]:
    """Observed against the mean of the bare blocks on both sides, so that a drift of the machine cancels."""
    return 2 * seen[0] / (before[0] + after[0]), 2 * seen[1] / (before[1] + after[1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--budget", type=float, default=0.02)
    parser.add_argument("--blocks", type=int, default=30)
    parser.add_argument("--only", choices=[workload.name for workload in WORKLOADS])
    options = parser.parse_args()
    torch.set_num_threads(1)
    print(
        f"torch {torch.__version__}, one thread, budget {options.budget:g}, {options.blocks} pairs of blocks"
    )
    print(f"{'workload':<17}{'bare step':>11}{'wall':>8}{'cpu':>8}{'a/a wall':>10}{'says':>8}")
    for workload in WORKLOADS:
        if options.only in (None, workload.name):
            found = measure(workload, options.blocks, options.budget)
            print(
                f"{workload.name:<17}{found['step_ms']:>8.2f} ms{found['wall']:>8.3f}{found['cpu']:>8.3f}"
                f"{found['a/a wall']:>10.3f}{found['own share']:>8.1%}",
                flush=True,
            )


if __name__ == "__main__":
    main()
