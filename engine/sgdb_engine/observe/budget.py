"""How often the costly measurements are taken: as often as a share of the step time allows."""

from dataclasses import dataclass

SMOOTHING = 0.02
"""Weight of the newest step in the moving averages of time."""
MOST_SAVED = 2.0
"""Unspent time is kept for at most this many measurements, so that a pause is not followed by a burst."""


@dataclass(slots=True)
class Budget:
    """A purse: each step pays in its share, each measurement is paid from it. Times in seconds."""

    share: float
    """Part of the step time that may be spent, 0.02 for 2 %."""
    saved_s: float = 0.0
    measurement_s: float = 0.0
    """What a measurement costs, smoothed; 0 until one was taken."""
    step_s: float = 0.0
    own_s: float = 0.0
    _steps: int = 0

    def due(self) -> bool:
        """Whether the next step may be measured; the first two always are."""
        return self._steps < 2 or self.saved_s >= self.measurement_s

    def step_ended(self, step_s: float, fixed_s: float, measurement_s: float) -> None:
        """Books a step that took `step_s`, of which our fixed part took `fixed_s` and a measurement `measurement_s`."""
        self._steps += 1
        if measurement_s > 0:
            warm = self._steps > 2 and self.measurement_s > 0
            weight = 0.2 if warm else 1.0
            self.measurement_s += weight * (measurement_s - self.measurement_s)
        own_s = fixed_s + measurement_s
        weight = SMOOTHING if self._steps > 1 else 1.0
        self.step_s += weight * (step_s - self.step_s)
        self.own_s += weight * (own_s - self.own_s)
        self.saved_s += self.share * (step_s - own_s) - measurement_s
        self.saved_s = min(self.saved_s, MOST_SAVED * max(self.measurement_s, 1e-9))
        if self._steps == 2:
            self.saved_s = 0.0

    @property
    def own_share(self) -> float:
        """Our part of the step time, smoothed, 0..1."""
        return self.own_s / self.step_s if self.step_s > 0 else 0.0
