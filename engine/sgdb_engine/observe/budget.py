"""How often the costly measurements are taken: as often as a share of the step time allows."""

from dataclasses import dataclass

SMOOTHING = 0.02
"""Weight of the newest step in the moving averages of time."""
MEASUREMENT_SMOOTHING = 0.2
"""The same, of the newest measurement."""
MOST_SAVED = 2.0
"""Unspent time is kept for at most this many measurements, so that a pause is not followed by a burst."""
FIRST_STEPS = 2
"""Measured for nothing: the start of a run is shown at once, and what a first measurement costs says little."""


@dataclass(slots=True)
class Budget:
    """A purse: each step pays in its share, each measurement is paid from it. Times in seconds."""

    share: float
    """Part of the step time that may be spent, 0.02 for 2 %; 0 for never, 1 for every step."""
    saved_s: float = 0.0
    measurement_s: float = 0.0
    """What a measurement costs, smoothed; 0 until one was taken."""
    step_s: float = 0.0
    own_s: float = 0.0
    _steps: int = 0

    def due(self) -> bool:
        """Whether the next step may be measured."""
        if self.share <= 0 or self.share >= 1:
            return self.share >= 1
        return self._steps < FIRST_STEPS or self.saved_s >= self.measurement_s

    def step_ended(self, step_s: float, fixed_s: float, measurement_s: float) -> None:
        """Books a step that took `step_s`, of which our fixed part took `fixed_s` and a measurement `measurement_s`."""
        self._steps += 1
        own_s = fixed_s + measurement_s
        if measurement_s > 0:
            weight = MEASUREMENT_SMOOTHING if self._steps > FIRST_STEPS and self.measurement_s > 0 else 1.0
            self.measurement_s += weight * (measurement_s - self.measurement_s)
        weight = SMOOTHING if self._steps > 1 else 1.0
        self.step_s += weight * (step_s - self.step_s)
        self.own_s += weight * (own_s - self.own_s)
        free = self._steps <= FIRST_STEPS
        self.saved_s += self.share * (step_s - own_s) - (0.0 if free else measurement_s)
        self.saved_s = min(self.saved_s, MOST_SAVED * self.measurement_s)

    def pay(self, seconds: float) -> None:
        """Takes what recording a measurement cost out of the purse; the step's own time has it already."""
        self.saved_s -= seconds

    @property
    def own_share(self) -> float:
        """Our part of the step time, smoothed, 0..1."""
        return self.own_s / self.step_s if self.step_s > 0 else 0.0
