"""One place of a model, an activation or a layer, over many calls."""

import math

import torch

from sgdb_engine.events import ValueRange
from sgdb_engine.findings.facts import LayerSignal
from sgdb_engine.observe.landing import Landing
from sgdb_engine.observe.statistics import local_part, tensor_ranges

WINDOW_CALLS, WINDOW_ROWS = 20, 1000
"""Calls, and values of each unit, over which one that never fires is called dead: sparse data need many."""
LEAST_CALLS, LEAST_ROWS = 10, 200
"""Of the first window, which may be looked at before it is full."""
ALWAYS = 0.9
"""Share of the rows that a unit fires for which tells nothing of them."""
TANH_END = 0.99
SIGMOID_END = 0.0067
"""Distance from 0 or 1 that |z| > 5 leaves."""


class Watched:
    """What was seen of it."""

    def __init__(self, name: str, kind: str, order: int, *, with_range: bool = False) -> None:
        self.name, self.kind, self.order = name, kind, order
        self.std = math.nan
        """Of its first output."""
        self.range: ValueRange | None = None
        """Of its first output, where it is wanted."""
        self._is_new, self._with_range = True, with_range
        self._saturated: float | None = None
        self._fires: torch.Tensor | None = None
        """Of each unit, whether it gave anything but 0 in this window."""
        self._active: torch.Tensor
        """Values that are not 0."""
        self._calls = self._rows = 0
        """Of this window; the rows are values of each unit."""
        self._units = 0
        self._dead: list[Landing] = []
        """Shares, of the first window and of the newest one."""

    def look(self, output: torch.Tensor, spatial: int) -> None:
        """At one output; `spatial` dimensions stand behind that of its units, if it has so many."""
        values = local_part(output).detach()
        if self._is_new and (self.kind == "weights" or self._with_range):
            self._measure(values)
        if self.kind == "relu" and values.ndim >= 2:
            self._look_for_activity(values, spatial)
        elif self.kind in ("tanh", "sigmoid") and (values.is_cpu or self._is_new):
            share = _share_at_the_ends(self.kind, values)
            self._saturated = share if self._saturated is None else min(share, self._saturated)
        self._is_new = False

    def _measure(self, values: torch.Tensor) -> None:
        self.std = float(values.float().std(unbiased=False))
        if self._with_range:
            low, high, mean, std, nonfinite = tensor_ranges(values).tolist()
            self.range = ValueRange("activation", self.name, low, high, mean, std, int(nonfinite))

    def _look_for_activity(self, values: torch.Tensor, spatial: int) -> None:
        unit = values.ndim - 1 - spatial
        unit = unit if unit > 0 else values.ndim - 1
        fires = values.amax([dim for dim in range(values.ndim) if dim != unit]) != 0
        if self._fires is None or self._fires.shape != fires.shape:
            self._fires, self._calls, self._rows = fires, 0, 0
            self._active = torch.zeros((), dtype=torch.long, device=values.device)
        else:
            self._fires |= fires
        self._active += values.count_nonzero()
        self._calls += 1
        self._rows += values.numel() // values.shape[unit]
        self._units = values.shape[unit]

    def end_window(self) -> bool:
        """Begins another window where this one is full; whether it was."""
        if self._fires is None or self._calls < WINDOW_CALLS or self._rows < WINDOW_ROWS:
            return False
        self._dead = [*self._dead[:1], Landing([self._measure_dead(self._fires)])]
        self._fires = None
        return True

    def _measure_dead(self, fires: torch.Tensor) -> torch.Tensor:
        """The share; 0 where those that live fire for nearly every row: then it is the input that does not vary."""
        living = fires.sum()
        always = self._active > ALWAYS * self._rows * living
        return torch.where(always & (living > 0), 0.0, 1 - living.double() / len(fires))

    def _share_of_dead(self) -> float:
        if self._dead:
            return next((late.value for late in reversed(self._dead) if late.is_here), 0.0)
        if self._fires is None or self._calls < LEAST_CALLS or self._rows < LEAST_ROWS:
            return 0.0
        return float(self._measure_dead(self._fires))

    def signal(self, prefix: str, *, is_last: bool) -> LayerSignal:
        """In numbers; `is_last`: nothing with parameters comes after it."""
        several = len(self._dead) > 1 and self._dead[0].is_here
        return LayerSignal(
            name=prefix + self.name,
            kind=self.kind,
            std=self.std,
            dead=self._share_of_dead(),
            dead_at_first=self._dead[0].value if several else math.nan,
            saturated=self._saturated or 0.0,
            is_last=is_last,
            units=self._units,
        )


def _share_at_the_ends(kind: str, values: torch.Tensor) -> float:
    low, high = (-TANH_END, TANH_END) if kind == "tanh" else (SIGMOID_END, 1 - SIGMOID_END)
    return int(((values < low) | (values > high)).sum()) / values.numel()
