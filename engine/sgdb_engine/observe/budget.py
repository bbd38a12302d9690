"""How often the costly measurements are taken: as often as a share of the time allows."""

import math
from dataclasses import dataclass

SMOOTHING = 0.02
"""Weight of the newest step in the moving averages of time."""
MEASUREMENT_SMOOTHING = 0.2
"""The same, of the newest measurement."""
FIRST_STEPS = 2
"""Measured for nothing: the start of a run is shown at once, and what a first measurement costs says little."""
QUICK_BELOW_S = 2e-3
"""Below this the clocks around the parts of a step would cost more than 1 % of it."""
LEAST_SHARE = 0.25
"""Part of the share that measurements get however much the fixed cost takes of it."""
UNSEEN = 1.5
"""What a clock around our code sees, times this, is what it costs: the rest is what it pushes out of the caches
(benchmarks/overhead.py: 1.3 to 1.6 on four workloads)."""


@dataclass(slots=True)
class Budget:
    """A pace: after a measurement as much time passes as makes it the share that it may be. Times in seconds."""

    share: float
    """Part of the time that may be spent, 0.02 for 2 %; 0 for never, 1 for every step."""
    measurement_s: float = 0.0
    """What a measurement costs, smoothed; 0 until one was taken."""
    step_s: float = 0.0
    """How long a step takes, smoothed."""
    fixed_s: float = 0.0
    """What each step costs whether it is measured or not, smoothed."""
    in_step: bool = False
    """Other ranks measure the same steps: every so many, a power of two, so that some are common to all."""
    due_from: float = -math.inf
    """A step that begins then or later may be measured."""
    every: int = 1
    """The same in steps, where it is `in_step` with other ranks."""
    _spent: float = 0.0
    _seen: float = 0.0
    _steps: int = 0

    def __post_init__(self) -> None:
        if self.share <= 0:
            self.due_from = math.inf

    def due(self, now: float, step: int) -> bool:
        """Whether the step that begins now, after so many that are complete, may be measured at its end."""
        if self.in_step and 0 < self.share < 1:
            return (step + 1) % self.every == 0 or self._steps < FIRST_STEPS
        return now >= self.due_from

    @property
    def knows_steps(self) -> bool:
        """Ordinary steps were timed: the first ones find the model, which says nothing of the others."""
        return self._steps > FIRST_STEPS + 1

    @property
    def allows_quick(self) -> bool:
        """Steps are so short that the clocks around their parts would cost too much."""
        return self.knows_steps and self.step_s < QUICK_BELOW_S and not self.in_step

    def step_ended(self, step_s: float, fixed_s: float, measurement_s: float, now: float) -> None:
        """Books a step of `step_s`, of which our fixed part took `fixed_s` and a measurement `measurement_s`."""
        self._steps += 1
        first = not self.knows_steps
        self.step_s += (1.0 if first else SMOOTHING) * (step_s - self.step_s)
        self.fixed_s += (1.0 if first else MEASUREMENT_SMOOTHING) * (fixed_s - self.fixed_s)
        if self._steps > FIRST_STEPS:
            self._book(step_s, fixed_s + measurement_s, 1)
        if measurement_s > 0:
            self._measured(measurement_s, now)

    def quick_steps_ended(self, count: int, seconds: float, own_s: float) -> None:
        """Books steps whose parts were not timed; making their rows took `own_s`, on top of the fixed cost."""
        if count:
            self._steps += count
            weight = 1 - (1 - SMOOTHING) ** count
            self.step_s += weight * (seconds / count - self.step_s)
            self._book(seconds, count * self.fixed_s + own_s, count)

    def _measured(self, cost_s: float, now: float) -> None:
        weight = MEASUREMENT_SMOOTHING if self._steps > FIRST_STEPS and self.measurement_s > 0 else 1.0
        self.measurement_s += weight * (cost_s - self.measurement_s)
        fixed_share = self.fixed_s / self.step_s if self.step_s > 0 else 0.0
        left = max(self.share / UNSEEN - fixed_share, LEAST_SHARE * self.share)
        if self._steps >= FIRST_STEPS and self.share < 1:
            # it is measured at its end, one step later
            pause_s = self.measurement_s / left
            self.due_from = now + pause_s - self.step_s
            if self.step_s > 0:
                self.every = 2 ** max(0, math.ceil(math.log2(max(1.0, pause_s / self.step_s))))

    def _book(self, seconds: float, own_s: float, count: int) -> None:
        kept = (1 - SMOOTHING) ** count
        self._seen = kept * self._seen + seconds
        self._spent = kept * self._spent + own_s

    @property
    def own_share(self) -> float:
        """Our part of the step time, smoothed, 0..1."""
        return min(1.0, self._spent / self._seen) if self._seen > 0 else 0.0
