"""What the field's loggers cost beside sgdb: one small MLP, trained bare, watched by sgdb, and logged by each of them.

    make peers

Each writes down as much as it can of every step: losses, weights and gradients. They take turns, a block of steps each,
in one process. Printed are the CPU time that each adds to a step (of all threads of this process and of the
processes that it started), and how many times what sgdb adds that is: each block is compared with the bare ones before
and after it, and what sgdb adds is so little that the upper quartile of its blocks is taken.
"""

import argparse
import contextlib
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from workloads import WARM_UP_STEPS, WORKLOADS, Training  # isort: skip  # first: it starts this program anew

import psutil
import tensorboard
import torch
import wandb
from torch.utils.tensorboard import SummaryWriter

import sgdb

BLOCK_STEPS = {"bare": 1500, "sgdb": 1500, "wandb": 150, "tensorboard": 150}
"""Shorter for those that take long."""
ROUND = ("sgdb", "sgdb", "sgdb", "wandb", "sgdb", "sgdb", "sgdb", "tensorboard")
SETTLE_S = 0.5
"""For what was queued in a block to be written before the clock is read."""

Step = Callable[[], None]


@contextlib.contextmanager
def bare(training: Training, folder: Path) -> Iterator[Step]:
    yield training.step


@contextlib.contextmanager
def watched_by_sgdb(training: Training, folder: Path) -> Iterator[Step]:
    with sgdb.watch(training.model, training.optimizer, runs_dir=folder):
        yield training.step


@contextlib.contextmanager
def watched_by_wandb(training: Training, folder: Path) -> Iterator[Step]:
    run = wandb.init(mode="offline", dir=folder, settings=wandb.Settings(silent=True))
    run.watch(training.model, log="all", log_freq=1)

    def step() -> None:
        run.log({"loss": training.step().item()})

    yield step
    run.unwatch(training.model)
    run.finish()


@contextlib.contextmanager
def written_for_tensorboard(training: Training, folder: Path) -> Iterator[Step]:
    done = 0
    with SummaryWriter(folder) as writer:

        def step() -> None:
            nonlocal done
            done += 1
            writer.add_scalar("loss", training.step().item(), done)
            for name, parameter in training.model.named_parameters():
                writer.add_histogram(name, parameter, done)
                writer.add_histogram(f"{name}/grad", parameter.grad, done)

        yield step


WAYS = {
    "bare": bare,
    "sgdb": watched_by_sgdb,
    "wandb": watched_by_wandb,
    "tensorboard": written_for_tensorboard,
}
SAID = {
    "sgdb": f"sgdb {sgdb.__version__}, default budget",
    "wandb": f'wandb {wandb.__version__}, watch(log="all", log_freq=1), offline',
    "tensorboard": f"TensorBoard {tensorboard.__version__}, histograms each step",
}


def cpu_s() -> float:
    """Of this process and of all that it started, so far."""
    here = psutil.Process()
    return sum(sum(each.cpu_times()[:2]) for each in (here, *here.children(recursive=True)))


def cpu_of_a_step(way: str, training: Training) -> float:
    """CPU seconds of one step, on average over a block, with what it leaves to be written in the background."""
    steps = BLOCK_STEPS[way]
    with tempfile.TemporaryDirectory() as folder, WAYS[way](training, Path(folder)) as step:
        for _ in range(WARM_UP_STEPS):
            step()
        before = cpu_s()
        for _ in range(steps):
            step()
        time.sleep(SETTLE_S)
        return (cpu_s() - before) / steps


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=4)
    options = parser.parse_args()
    training = Training(next(each for each in WORKLOADS if each.name == "mlp"))
    bare_s = [cpu_of_a_step("bare", training)]
    added: dict[str, list[float]] = {way: [] for way in SAID}
    for way in ROUND * options.rounds:
        seconds = cpu_of_a_step(way, training)
        bare_s.append(cpu_of_a_step("bare", training))
        added[way].append(seconds - (bare_s[-2] + bare_s[-1]) / 2)
    step_ms = statistics.median(bare_s) * 1e3
    most = statistics.quantiles(added["sgdb"], n=4)[2]
    print(f"torch {torch.__version__}, {options.rounds} rounds; CPU time of a bare step {step_ms:.2f} ms")
    print(f"{'':<52}{'added a step':>14}{'sgdb ×':>9}")
    for way, what in SAID.items():
        middle = statistics.median(added[way])
        times = "1" if way == "sgdb" else f"≥ {middle / most:.0f}"
        print(f"{what:<52}{middle * 1e3:>11.3f} ms{times:>9}")
    print(f"sgdb, upper quartile: {most * 1e3:.3f} ms; it is what the others are compared with")


if __name__ == "__main__":
    main()
