"""What the charts of a check draw: one batch learnt by heart, and the sweep of learning rates."""

from collections.abc import Iterable, Mapping

import numpy as np

from sgdb_engine.check_curves import LOSS, NO_INPUT, RATE, RESCUE, YOURS, levels_of, rates_of
from sgdb_engine.events import CheckStage, Finding
from sgdb_engine.recording.history import History
from sgdb_tui.curves import Window
from sgdb_tui.plotting.cells import Role
from sgdb_tui.plotting.series import Curve, curve_from_bins
from sgdb_tui.plotting.x_axis import STEPS, XUnit, by_rising_value, value_label

OVERFIT: tuple[tuple[str, str, Role], ...] = (
    (YOURS, "yours", "train"),
    (RESCUE, "rescue", "val"),
    (NO_INPUT, "no input", "third"),
)
MOST_RATES = 4096
"""Rates that a sweep has at most."""

Lines = tuple[tuple[float, str], ...]
"""(place, name)."""


def overfit_curves(history: History, window: Window) -> list[Curve]:
    """The loss on the batch that is held still: with the user's own step, with a safe one, without inputs."""
    known = history.names()
    return [
        curve_from_bins(
            name,
            history.series(column, window.first, window.last, window.bins),
            STEPS.x_of_step,
            color=role,
        )
        for column, name, role in OVERFIT
        if column in known
    ]


def overfit_levels(stages: Mapping[str, CheckStage]) -> Lines:
    """The floor, and the loss below which the batch counts as learnt."""
    floor, passes = levels_of({name: stage.evidence for name, stage in stages.items()})
    floors = ((floor, "floor"),) if floor else ()
    return (*floors, (passes, f"pass below {passes:.3g}")) if passes is not None else ()


def rate_unit(history: History) -> XUnit:
    """The learning rate along x, in place of the updates of the sweep."""
    bins = history.series(RATE, bins=MOST_RATES)
    steps = (np.asarray(bins.first, np.float64) + np.asarray(bins.last, np.float64)) / 2
    rates = np.asarray(bins.mean, np.float64)
    rising = rates.size > 1 and bool(np.isfinite(rates).all() and rates[0] > 0 and (np.diff(rates) > 0).all())
    return by_rising_value("lr", steps, rates) if rising else STEPS


def rate_curves(history: History, unit: XUnit, window: Window) -> list[Curve]:
    """The loss after the update with each rate."""
    if unit is STEPS or LOSS not in history.names():
        return []
    bins = history.series(LOSS, window.first, window.last, window.bins)
    return [curve_from_bins("loss", bins, unit.x_of_step)]


def rate_places(stages: Mapping[str, CheckStage], findings: Iterable[Finding]) -> Lines:
    """The rate with the lowest loss, the one to try, and the user's own where it is known."""
    known = rates_of({name: stage.evidence for name, stage in stages.items()}, findings)
    return tuple((float(np.log10(rate)), f"{name} {value_label(rate)}") for name, rate in known)
