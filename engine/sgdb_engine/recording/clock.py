"""When steps were done: elapsed seconds and wall time by step, and steps per second."""

from collections import deque

import numpy as np

from sgdb_engine.recording.buckets import Buckets
from sgdb_engine.recording.payloads import FloatArray, StepArray

_RATE_WINDOW_S = 5.0
_RECENT = 1024


class StepClock:
    """Elapsed time counts from the first row and never runs backwards, also when a run was resumed."""

    def __init__(self) -> None:
        self._elapsed = Buckets()
        self._wall = Buckets()
        self._last_step = -1
        self._last_monotonic: float | None = None
        self._offset = 0.0
        self._recent: deque[tuple[float, int]] = deque(maxlen=_RECENT)

    @property
    def nbytes(self) -> int:
        """Bytes of the arrays."""
        return self._elapsed.nbytes + self._wall.nbytes

    def add(self, steps: StepArray, wall: FloatArray, monotonic: FloatArray) -> None:
        """Takes in rows (n,); the first row of a step says when it was done."""
        before = np.maximum.accumulate(np.append(np.int64(self._last_step), steps[:-1]))
        new = steps > before
        if not new.any():
            return
        steps, wall, monotonic = steps[new], wall[new], monotonic[new]
        if self._last_monotonic is None:
            self._offset = -float(monotonic[0])
            self._last_monotonic = float(monotonic[0])
        # Another process's clock may start lower; its elapsed time goes on where the last one stopped.
        jumps = np.diff(monotonic, prepend=self._last_monotonic)
        offsets = self._offset + np.cumsum(np.where(jumps < 0, -jumps, 0.0))
        elapsed = monotonic + offsets
        self._elapsed.add(steps, elapsed)
        self._wall.add(steps, wall)
        self._last_step, self._last_monotonic = int(steps[-1]), float(monotonic[-1])
        self._offset = float(offsets[-1])
        for place in (0, -1):
            self._recent.append((float(elapsed[place]), int(steps[place])))

    def rewind(self, step: int) -> None:
        """Forgets what came after this step; the time goes on."""
        self._elapsed.rewind(step)
        self._wall.rewind(step)
        self._last_step = min(self._last_step, step)
        self._recent.clear()

    def elapsed_at(self, steps: FloatArray) -> FloatArray:
        """Seconds since the start at these steps; in between interpolated, NaN before the first row."""
        return _at(self._elapsed, steps)

    def wall_at(self, steps: FloatArray) -> FloatArray:
        """Seconds since the epoch at these steps; in between interpolated, NaN before the first row."""
        return _at(self._wall, steps)

    def step_rate(self) -> float | None:
        """Steps per second over the last seconds; None if too little is known."""
        if len(self._recent) < 2:
            return None
        now, step = self._recent[-1]
        long_ago = (point for point in reversed(self._recent) if now - point[0] >= _RATE_WINDOW_S)
        before, earlier = next(long_ago, self._recent[0])
        return (step - earlier) / (now - before) if now > before else None


def _at(times: Buckets, steps: FloatArray) -> FloatArray:
    known, values = times.points()
    if not len(known):
        return np.full(len(steps), np.nan)
    return np.interp(steps, known, values)
