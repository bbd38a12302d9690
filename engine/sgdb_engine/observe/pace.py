"""How often what is costly and seldom looked at is measured: every so many seconds, and rarer as a run grows long."""

import math

SPACING = 0.01
"""Of the time since the first one: so that a run of a day takes a few times as many as one of an hour."""


class Pace:
    """Apart from the budget of the other measurements, which a single one of these would use up for long."""

    def __init__(self, share: float, least_s: float) -> None:
        """`share`: part of the time that these may cost; `least_s` between two of them, at the least."""
        self._share = share
        self._least_s = least_s
        self._next_at = 0.0 if share > 0 else math.inf
        self._first_at = math.inf

    @property
    def is_on(self) -> bool:
        """Whether there is any time for it."""
        return self._share > 0

    def due(self, now: float) -> bool:
        """Whether it is time for one; `now` in seconds of any clock that goes on evenly."""
        return now >= self._next_at

    def taken(self, now: float, cost_s: float) -> None:
        """One was taken, at this cost; what the first one costs says little of the others."""
        first, self._first_at = now < self._first_at, min(self._first_at, now)
        pause_s = 0.0 if first else cost_s / self._share
        self._next_at = now + max(self._least_s, pause_s, SPACING * (now - self._first_at))
