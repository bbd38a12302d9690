"""What the statistics of each tensor say, as they are measured: how weights grow and move, how large gradients are."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]

LATER = 15
"""Steps after which gradients are looked at again: a branch that begins at zero has none at first."""
MOST_RATIOS = 200
LEAST_UPDATES = 4
"""That are measured, over 15 steps, before a tensor is called unmoved."""


@dataclass
class Tensors:
    """Of the tensors that one optimizer updates, under the names that they have."""

    columns: tuple[str, ...]
    names: tuple[str, ...] = ()
    first: Array | None = None
    """Norm of the gradient of each, when it was first measured."""
    later: Array | None = None
    """The same, the newest time after the first steps."""
    later_step: int = 0
    updates: int = 0
    """That were measured and moved something."""
    first_update: int = 0
    last_update: int = 0
    """Their steps."""
    ratios: list[float] = field(default_factory=list)
    """Median of update by weight, of each of them."""
    moved: Array = field(default_factory=lambda: np.zeros(0, dtype=bool))
    """Whether any of them moved each tensor."""
    with_gradient: Array = field(default_factory=lambda: np.zeros(0, dtype=int))
    """In how many of them each had a gradient."""
    sizes: Array = field(default_factory=lambda: np.zeros(0))
    """Root mean square of each weight when it was first measured."""
    grown: Array = field(default_factory=lambda: np.zeros(0))
    """Its size now, relative to that."""

    def __post_init__(self) -> None:
        at: dict[str, dict[str, int]] = {}
        for i, column in enumerate(self.columns):
            stat, _, name = column.partition("/")
            at.setdefault(stat, {})[name] = i
        gradients, updates = at.get("grad_norm", {}), at.get("update_ratio", {})
        means, deviations = at.get("param_mean", {}), at.get("param_std", {})
        self.names = tuple(name for name in gradients if name in updates)
        weights = [name for name in deviations if name in means and name.endswith("weight")]
        self._gradients, self._updates = _places(gradients, self.names), _places(updates, self.names)
        self._means, self._deviations = _places(means, weights), _places(deviations, weights)
        self.moved = np.zeros(len(self.names), dtype=bool)
        self.with_gradient = np.zeros(len(self.names), dtype=int)

    def take(self, step: int, values: Array) -> None:
        """They were measured."""
        self._take_sizes(np.hypot(values[self._means], values[self._deviations]))
        gradients, moves = values[self._gradients], values[self._updates]
        if len(self.names) and np.isfinite(gradients).all() and np.isfinite(moves).all():
            self._take_gradients(step, gradients)
            self._take_moves(step, gradients > 0, moves)

    def _take_sizes(self, sizes: Array) -> None:
        if not len(self.sizes):
            self.sizes = sizes
            return
        there = self.sizes > 0
        self.grown = sizes[there] / self.sizes[there]

    def _take_gradients(self, step: int, norms: Array) -> None:
        if self.first is None:
            self.first = norms.copy()
        elif step > LATER:
            self.later, self.later_step = norms.copy(), step

    def _take_moves(self, step: int, alive: Array, moves: Array) -> None:
        middle = float(np.median(moves[alive])) if alive.any() else 0.0
        if not middle > 0:
            return  # a rate of 0, say, from which a warm-up begins
        self.first_update, self.last_update = self.first_update or step, step
        self.updates += 1
        if len(self.ratios) < MOST_RATIOS:
            self.ratios.append(middle)
        self.moved |= moves > 0
        self.with_gradient += alive

    def unmoved(self) -> list[str]:
        """Tensors that have a gradient each time, and that no update changes."""
        if self.updates < LEAST_UPDATES or self.last_update - self.first_update < LATER:
            return []
        still = ~self.moved & (self.with_gradient >= LEAST_UPDATES)
        return [name for name, is_still in zip(self.names, still, strict=True) if is_still]


def _places(of: dict[str, int], names: Iterable[str]) -> Array:
    return np.array([of[name] for name in names], dtype=int)


class Moving:
    """All tensors that are measured; each optimizer has its own rows."""

    def __init__(self) -> None:
        self.all: list[Tensors] = []

    def take(self, step: int, columns: tuple[str, ...], values: Array) -> None:
        """A row came: a value for each column, `<stat>/<tensor>`."""
        for known in self.all:
            if known.columns is columns or known.columns == columns:
                break
        else:
            known = Tensors(columns)
            self.all.append(known)
        known.take(step, values)

    @property
    def weight_ratio(self) -> float:
        """Median over all weights of their size, relative to that of their first measurement."""
        each = [known.grown for known in self.all if len(known.grown)]
        return float(np.median(np.concatenate(each))) if each else 1.0

    @property
    def update_ratio(self) -> float:
        """Median over all updates of the median over tensors of update by weight."""
        each = [ratio for known in self.all for ratio in known.ratios]
        return float(np.median(each)) if each else math.nan

    @property
    def last_update(self) -> int:
        """The step of the newest that was measured and moved something."""
        return max((known.last_update for known in self.all), default=0)

    @property
    def unmoved(self) -> tuple[str, ...]:
        """Tensors that have a gradient each time, and that no update changes."""
        return tuple(name for known in self.all for name in known.unmoved())

    def gradient_ratio(self, sizes: Sequence[tuple[str, int]]) -> tuple[float | None, str, int]:
        """How much smaller the gradient of the first weight matrix is than that of the last one.

        Args:
            sizes: name and number of values of each matrix of a model, in its order.

        Returns:
            RMS of the first or the second gradient, whichever is larger, by that of the last, the larger one of two
            measurements; the name of the first matrix; the step of the second measurement.
        """
        for known in self.all:
            place = {name: i for i, name in enumerate(known.names)}
            there = [(name, place[name], count) for name, count in sizes if name in place]
            if known.first is None or known.later is None or len(there) < 3:
                continue
            ratios = []
            for norms in (known.first, known.later):
                rms = [float(norms[i]) / math.sqrt(count) for _, i, count in there]
                ratios.append(max(rms[:2]) / rms[-1] if rms[-1] > 0 else math.inf)
            return max(ratios), there[0][0], known.later_step
        return None, "", 0
