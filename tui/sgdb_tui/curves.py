"""From the records of a run to what the charts draw."""

from typing import Literal

import numpy as np

from sgdb_engine.recording.history import History
from sgdb_tui.bridge import RunView
from sgdb_tui.plotting.cells import Role
from sgdb_tui.plotting.series import Curve, curve_from_bins
from sgdb_tui.plotting.x_axis import STEPS, XUnit, by_time, scaled

Axis = Literal["step", "epoch", "time"]
AXES: tuple[Axis, ...] = ("step", "epoch", "time")

_TIME_SAMPLES = 512
_TERM_ROLES: tuple[Role, ...] = ("third", "fourth")


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


def curve(history: History, column: str, name: str, unit: XUnit, role: Role) -> Curve:
    """A recorded column as a curve."""
    return curve_from_bins(name, history.series(column), unit.x_of_step, color=role)


def loss_curves(history: History, unit: XUnit) -> list[Curve]:
    """Training loss, validation loss, and the terms of the loss where there are several."""
    names = history.names()
    curves = []
    if "train/loss" in names:
        curves.append(curve(history, "train/loss", "train", unit, "train"))
    if "val/loss" in names:
        curves.append(curve(history, "val/loss", "val", unit, "val"))
    terms = [
        name for name in names if name.startswith("train/") and name not in ("train/loss", "train/accuracy")
    ]
    for index, column in enumerate(terms):
        role = _TERM_ROLES[index % len(_TERM_ROLES)]
        curves.append(curve(history, column, column.removeprefix("train/"), unit, role))
    return curves


def accuracy_curves(history: History, unit: XUnit) -> list[Curve]:
    """Accuracy in training and in validation."""
    names = history.names()
    curves = []
    for column, name, role in (("train/accuracy", "train", "train"), ("val/accuracy", "val", "val")):
        if column in names:
            curves.append(curve(history, column, name, unit, role))  # type: ignore[arg-type]
    return curves


def grad_norm_curves(history: History, unit: XUnit) -> list[Curve]:
    """The norm of the whole gradient, before clipping."""
    return [curve(history, "grad_norm", "‖g‖", unit, "third")] if "grad_norm" in history.names() else []


def lr_curves(view: RunView, unit: XUnit) -> list[Curve]:
    """The planned schedule as a whole, and on it what the optimizer had so far."""
    curves = []
    planned = view.described.planned_lr
    if planned:
        steps, rates = np.array(planned, np.float64).T
        x = np.asarray(unit.x_of_step(steps), np.float64)
        none = np.zeros(len(rates), np.int64)
        curves.append(Curve("planned", "p", "fourth", x, rates, rates, rates, none))
    if "lr" in view.history.names():
        curves.append(curve(view.history, "lr", "now", unit, "train"))
    return curves
