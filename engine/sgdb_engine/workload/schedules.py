"""The learning rate over the run, as a factor of the optimizer's lr."""

import math
from collections.abc import Callable
from typing import Any

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from sgdb_engine.config.records import CosineSchedule, ScheduleSection, StepSchedule, TrainSection

Factor = Callable[[int], float]
"""Optimizer steps done since the end of the warm-up → factor of the learning rate."""


def constant(_section: ScheduleSection, _num_steps: int) -> Factor:
    return lambda _: 1.0


def cosine(section: CosineSchedule, num_steps: int) -> Factor:
    """Half a cosine down to final_fraction (Loshchilov & Hutter 2016, without restarts)."""
    low = section.final_fraction

    def factor(step: int) -> float:
        progress = min(step / num_steps, 1.0)
        return low + (1 - low) * (1 + math.cos(math.pi * progress)) / 2

    return factor


def step(section: StepSchedule, _num_steps: int) -> Factor:
    return lambda done: float(section.factor ** (done // section.every))


SCHEDULES: dict[str, Callable[[Any, int], Factor]] = {"constant": constant, "cosine": cosine, "step": step}


def lr_factor(section: ScheduleSection, total_steps: int) -> Factor:
    """Optimizer steps done → factor of the learning rate, warm-up included: (i + 1)/w at step i of w."""
    warmup = section.warmup_steps
    after = SCHEDULES[section.name](section, max(1, total_steps - warmup))
    return lambda done: (done + 1) / warmup if done < warmup else after(done - warmup)


def build_schedule(section: ScheduleSection, optimizer: Optimizer, total_steps: int) -> LambdaLR:
    """A scheduler to be stepped once after each optimizer step."""
    return LambdaLR(optimizer, lr_factor(section, total_steps))


def planned_steps(train: TrainSection, batches_per_epoch: int) -> int:
    """Optimizer steps of the whole run. The last batches of an epoch make a step of their own even
    where there are fewer than `accumulate` of them."""
    if train.steps is not None:
        return train.steps
    return (train.epochs or 0) * steps_per_epoch(train, batches_per_epoch)


def steps_per_epoch(train: TrainSection, batches_per_epoch: int) -> int:
    """Optimizer steps of one epoch."""
    return -(-batches_per_epoch // train.accumulate)


def planned_lr(section: ScheduleSection, lr: float, total_steps: int) -> list[tuple[int, float]]:
    """(step, learning rate of that step), steps counted from 1: at most 300 points, among them the first and
    last step and the end of the warm-up."""
    factor = lr_factor(section, total_steps)
    stride = max(1, math.ceil(total_steps / 290))
    steps = {*range(1, total_steps + 1, stride), total_steps, min(section.warmup_steps + 1, total_steps)}
    return [(at, lr * factor(at - 1)) for at in sorted(steps) if at >= 1]
