"""The learning rate over the run, as a factor of the optimizer's lr."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR, LRScheduler, ReduceLROnPlateau

from sgdb_engine.config.records import (
    CyclicSchedule,
    DecliningSchedule,
    ExponentialSchedule,
    OneCycleSchedule,
    OwnSchedule,
    PlateauSchedule,
    ScheduleSection,
    SgdrSchedule,
    StepSchedule,
    TrainSection,
)
from sgdb_engine.errors import TargetError
from sgdb_engine.workload.importing import call, load_object

Factor = Callable[[int], float]
"""Optimizer steps done since the end of the warm-up → factor of the learning rate."""


def constant(_section: ScheduleSection, _num_steps: int) -> Factor:
    return lambda _: 1.0


def step(section: StepSchedule, _num_steps: int) -> Factor:
    return lambda done: float(section.factor ** (done // section.every))


def exponential(section: ExponentialSchedule, num_steps: int) -> Factor:
    """The same share less in each step."""
    return lambda done: float(section.final_fraction ** min(done / num_steps, 1.0))


def linear(section: DecliningSchedule, num_steps: int) -> Factor:
    return lambda done: 1 - (1 - section.final_fraction) * min(done / num_steps, 1.0)


def cosine(section: DecliningSchedule, num_steps: int) -> Factor:
    """Half a cosine down to final_fraction (Loshchilov & Hutter 2016, without restarts)."""
    return lambda done: _half_cosine(1.0, section.final_fraction, done / num_steps)


def cyclic(section: CyclicSchedule, _num_steps: int) -> Factor:
    """Triangles: from the valley up to the peak and down again in each period (Smith 2015)."""
    low = section.low_fraction

    def factor(done: int) -> float:
        place = (
            2 * (done % section.period) / section.period
        )  # 0 in a valley, 1 on a peak, 2 in the next valley
        return low + (1 - low) * (1 - abs(place - 1))

    return factor


def one_cycle(section: OneCycleSchedule, num_steps: int) -> Factor:
    """Up by half a cosine, then down by another (Smith & Topin 2018; the cosines are fastai's)."""
    up = section.rise * num_steps

    def factor(done: int) -> float:
        if done < up:
            return _half_cosine(section.start_fraction, 1.0, done / up)
        return _half_cosine(1.0, section.final_fraction, (done - up) / (num_steps - up))

    return factor


def sgdr(section: SgdrSchedule, _num_steps: int) -> Factor:
    """Half cosines, each begun anew at the full rate (Loshchilov & Hutter 2016, warm restarts)."""

    def factor(done: int) -> float:
        length = section.period
        if section.growth == 1:
            done %= length
        while done >= length:
            done, length = done - length, max(length + 1, round(length * section.growth))
        return _half_cosine(1.0, section.final_fraction, done / length)

    return factor


class Plateau:
    """Drops after so many validations in which the loss did not improve; its state goes into checkpoints."""

    def __init__(self, section: PlateauSchedule, _num_steps: int) -> None:
        self.scale = 1.0
        self.lowest: float | None = None
        self.waited = 0
        """Validations since the loss improved, or the rate dropped."""
        self._factor, self._least = section.factor, section.final_fraction
        self._patience, self._min_delta = section.patience, section.min_delta

    def __call__(self, _done: int) -> float:
        return self.scale

    def validated(self, loss: float) -> bool:
        """Takes in the loss of one validation; whether the learning rate drops now. NaN is no improvement."""
        if self.lowest is None or loss < self.lowest - self._min_delta:
            self.lowest, self.waited = (loss if math.isfinite(loss) else self.lowest), 0
            return False
        self.waited += 1
        if self.waited <= self._patience or self.scale <= self._least:
            return False
        self.scale, self.waited = max(self._least, self.scale * self._factor), 0
        return True


SCHEDULES: dict[str, Callable[[Any, int], Factor]] = {
    "constant": constant,
    "step": step,
    "exponential": exponential,
    "linear": linear,
    "cosine": cosine,
    "cyclic": cyclic,
    "one_cycle": one_cycle,
    "plateau": Plateau,
    "sgdr": sgdr,
}


def _half_cosine(start: float, end: float, progress: float) -> float:
    return end + (start - end) * (1 + math.cos(math.pi * min(progress, 1.0))) / 2


def own(section: ScheduleSection, num_steps: int, folder: Path) -> Factor:
    """The user's function(step, total_steps). Raises TargetError where it gives no finite number of at least 0."""
    assert isinstance(section, OwnSchedule)
    spec = section.use or ""
    function = load_object("schedule.use", spec, folder)

    def factor(done: int) -> float:
        arguments = {"step": done, "total_steps": num_steps, **section.arguments}
        given = call("schedule.use", spec, function, arguments)
        if not isinstance(given, int | float) or not 0 <= given < math.inf:
            raise TargetError(
                f'schedule.use = "{spec}": gave {given!r} for step {done} of {num_steps}; it must give a number of at '
                "least 0, by which optimizer.lr is multiplied"
            )
        return float(given)

    return factor


def lr_factor(section: ScheduleSection, total_steps: int, folder: Path) -> tuple[Factor, Factor]:
    """Optimizer steps done → factor of the learning rate: (i + 1)/w at step i of w of the warm-up, then that of what
    the section names, which is the second."""
    warmup = section.warmup_steps
    left = max(1, total_steps - warmup)
    is_own = isinstance(section, OwnSchedule)
    after = own(section, left, folder) if is_own else SCHEDULES[section.name](section, left)
    return lambda done: (done + 1) / warmup if done < warmup else after(done - warmup), after


class Schedule(LambdaLR):
    """Warm-up, then what the config names; to be stepped once after each optimizer step."""

    def __init__(
        self, section: ScheduleSection, optimizer: Optimizer, total_steps: int, folder: Path
    ) -> None:
        factor, after = lr_factor(section, total_steps, folder)
        self._plateau = after if isinstance(after, Plateau) else None
        super().__init__(optimizer, factor)

    @property
    def waits_for_validation(self) -> bool:
        """Whether it needs a validation loss."""
        return self._plateau is not None

    def validated(self, loss: float) -> bool:
        """Tells it the validation loss; whether the learning rate drops with the next step, as on a plateau."""
        return self._plateau is not None and self._plateau.validated(loss)

    def state_dict(self) -> dict[str, Any]:
        """Plain numbers, with what a plateau has seen."""
        state = super().state_dict()
        return {**state, "_plateau": None if self._plateau is None else dict(vars(self._plateau))}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """As `state_dict` gave it."""
        seen = state_dict["_plateau"]
        super().load_state_dict({key: value for key, value in state_dict.items() if key != "_plateau"})
        if self._plateau is not None and seen is not None:
            vars(self._plateau).update(seen)


def waits_for_validation(schedule: LRScheduler | None) -> bool:
    """Whether it changes the learning rate by what a validation says, and by nothing else."""
    if isinstance(schedule, Schedule):
        return schedule.waits_for_validation
    return isinstance(schedule, ReduceLROnPlateau)


def tell_update(schedule: LRScheduler | None) -> None:
    """An optimizer step was made."""
    if schedule is not None and not isinstance(schedule, ReduceLROnPlateau):
        schedule.step()


def tell_validation(schedule: LRScheduler | None, loss: float) -> None:
    """A validation gave this loss."""
    if isinstance(schedule, Schedule):
        schedule.validated(loss)
    elif isinstance(schedule, ReduceLROnPlateau):
        schedule.step(loss)


def planned_steps(train: TrainSection, batches_per_epoch: int) -> int:
    """Optimizer steps of the whole run. The last batches of an epoch make a step of their own even
    where there are fewer than `accumulate` of them."""
    if train.steps is not None:
        return train.steps
    return (train.epochs or 0) * steps_per_epoch(train, batches_per_epoch)


def steps_per_epoch(train: TrainSection, batches_per_epoch: int) -> int:
    """Optimizer steps of one epoch."""
    return -(-batches_per_epoch // train.accumulate)


MOST_POINTS = 300
"""Of a planned curve."""


def planned_lr(
    section: ScheduleSection, lr: float, total_steps: int, folder: Path
) -> list[tuple[int, float]]:
    """(step, learning rate of that step), steps counted from 1: at most 300 points, among them the first and
    last step and the end of the warm-up. Of a plateau, which waits for the validation, as if there were none."""
    factor, _ = lr_factor(section, total_steps, folder)
    stride = max(1, math.ceil(total_steps / (MOST_POINTS - 10)))
    steps = {*range(1, total_steps + 1, stride), total_steps, min(section.warmup_steps + 1, total_steps)}
    return [(at, lr * factor(at - 1)) for at in sorted(steps) if at >= 1]


def misfits(section: ScheduleSection, lr: float, total_steps: int) -> list[str]:
    """What a user would not expect of a schedule in a run of so many steps, in words."""
    warmup = section.warmup_steps
    left = total_steps - warmup
    if left <= 0:
        return [
            f"schedule.warmup_steps = {warmup} is as long as the whole run of {total_steps} steps: "
            f"the learning rate is still rising when it ends, and {lr:g} is {'not' if left < 0 else 'just'} reached"
        ]
    there = f"the run has {left} steps{' after the warm-up' if warmup else ''}"
    if isinstance(section, StepSchedule) and section.every >= left:
        return [f"schedule.every = {section.every}: {there}, so the learning rate never drops"]
    if isinstance(section, CyclicSchedule) and section.period > left:
        return [f"schedule.period = {section.period}: {there}, less than one cycle"]
    if isinstance(section, SgdrSchedule) and section.period >= left:
        return [f"schedule.period = {section.period}: {there}, so there is no restart"]
    return []
