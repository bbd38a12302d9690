"""From the records of a run to what the charts draw."""

from dataclasses import dataclass
from itertools import cycle
from typing import Literal

import numpy as np

from sgdb_engine.recording.history import History
from sgdb_tui.bridge import RunView
from sgdb_tui.columns import by_optimizer, learning_rates
from sgdb_tui.plotting.cells import Role
from sgdb_tui.plotting.series import Curve, curve_from_bins
from sgdb_tui.plotting.x_axis import STEPS, XUnit, by_time, scaled

Axis = Literal["step", "epoch", "time"]
AXES: tuple[Axis, ...] = ("step", "epoch", "time")

_TIME_SAMPLES = 512
_BINS_PER_COLUMN = 2
_TERM_ROLES: tuple[Role, ...] = ("third", "fourth")
_ROLES: tuple[Role, ...] = ("train", "third", "fourth")
"""Of the curves of several optimizers; the validation has its own."""


@dataclass(frozen=True, slots=True)
class Window:
    """What a chart has room for: so much detail is asked of the records, and no more."""

    first: int | None
    last: int | None
    """Steps, None for the whole run."""
    bins: int

    @classmethod
    def of(cls, x_range: tuple[int, int] | None, columns: int) -> "Window":
        """For a chart so many columns wide; a little more than is seen, so that lines go on to the edges."""
        bins = _BINS_PER_COLUMN * max(32, columns)
        if x_range is None:
            return cls(None, None, bins)
        first, last = x_range
        margin = 1 + (last - first) // 16
        return cls(first - margin, last + margin, bins)


def x_unit(axis: Axis, view: RunView) -> XUnit:
    """The unit of the x axis; steps as long as a run has no epochs or no times yet."""
    if axis == "epoch":
        per_epoch = _steps_per_epoch(view)
        return scaled("epoch", 1 / per_epoch) if per_epoch else STEPS
    if axis == "time":
        return _time_unit(view.history)
    return STEPS


def _steps_per_epoch(view: RunView) -> float:
    if view.described.steps_per_epoch:
        return float(view.described.steps_per_epoch)
    ends = view.history.epochs
    return ends[-1][1] / ends[-1][0] if ends and ends[-1][0] > 0 else 0.0


def _time_unit(history: History) -> XUnit:
    first, last = history.first_step, history.last_step
    if first is None or last is None or first >= last:
        return STEPS
    steps = np.unique(np.linspace(first, last, _TIME_SAMPLES).round())
    seconds = history.times_at(steps)
    known = np.isfinite(seconds)
    return by_time(steps[known], seconds[known]) if known.sum() > 1 else STEPS


class Curves:
    """Makes the curves of one chart."""

    def __init__(self, view: RunView, unit: XUnit, window: Window) -> None:
        self._view = view
        self._history = view.history
        self._unit = unit
        self._window = window

    def loss(self) -> list[Curve]:
        """Training loss, validation loss, and the terms of the loss where there are several."""
        known = ("train/loss", "train/accuracy")
        terms = [name for name in self._history.names() if name.startswith("train/") and name not in known]
        curves = self._by_optimizer("train/loss", "train", "train")
        curves += self._of("val/loss", "val", "val")
        for index, column in enumerate(terms):
            role = _TERM_ROLES[index % len(_TERM_ROLES)]
            curves += self._of(column, column.removeprefix("train/"), role)
        return curves

    def accuracy(self) -> list[Curve]:
        """Accuracy in training and in validation."""
        return [*self._of("train/accuracy", "train", "train"), *self._of("val/accuracy", "val", "val")]

    def grad_norm(self) -> list[Curve]:
        """The norm of the whole gradient, before clipping."""
        return self._by_optimizer("grad_norm", "‖g‖", "third")

    def learning_rate(self) -> list[Curve]:
        """What the optimizer had so far, and the planned schedule as a whole."""
        rates = zip(learning_rates(self._history), cycle(_ROLES), strict=False)
        curves = [curve for (name, column), role in rates for curve in self._of(column, name or "now", role)]
        planned = self._view.described.planned_lr
        if planned:
            steps, rates = np.array(planned, np.float64).T
            x = np.asarray(self._unit.x_of_step(steps), np.float64)
            none = np.zeros(len(rates), np.int64)
            curves.append(Curve("plan", "p", "planned", x, rates, rates, rates, none))
        return curves

    def _by_optimizer(self, column: str, name: str, role: Role) -> list[Curve]:
        """One curve, or one of each optimizer where there are several."""
        found = by_optimizer(self._history, column)
        if len(found) < 2:
            return self._of(column, name, role)
        roles = zip(found, cycle(_ROLES), strict=False)
        return [curve for (owner, own), role in roles for curve in self._of(own, owner, role)]

    def _of(self, column: str, name: str, role: Role) -> list[Curve]:
        if column not in self._history.names():
            return []
        window = self._window
        bins = self._history.series(column, window.first, window.last, window.bins)
        label = name[-1] if " group " in f" {name}" else None
        return [curve_from_bins(name, bins, self._unit.x_of_step, label=label, color=role)]
