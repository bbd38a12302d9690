"""What a range test of the learning rate draws: the moving average of the loss over the rate, and the rates to use."""

import numpy as np

from sgdb_engine.check_curves import LOSS, RATE, SMOOTHED
from sgdb_engine.events import RatesSwept
from sgdb_engine.recording.history import History
from sgdb_tui.check_curves import MOST_RATES, Lines
from sgdb_tui.plotting.printed import printed
from sgdb_tui.plotting.series import Curve, Floats
from sgdb_tui.plotting.x_axis import STEPS, XUnit, by_rising_value, value_label

ROOM_ABOVE = 1.25
"""Times the loss of the beginning: higher the line is cut off, or the divergence would press all else flat."""
AT_THE_BEGINNING = 10
"""Of so many rates one is too small to change anything."""
HEIGHT = 14


def recorded_sweep(history: History) -> tuple[Floats, Floats, Floats]:
    """Rates, the losses behind them and their moving average, as far as they are recorded."""
    columns = (history.series(column, bins=MOST_RATES).mean for column in (RATE, LOSS, SMOOTHED))
    rates, losses, smoothed = (np.asarray(column, np.float64) for column in columns)
    num = min(rates.size, losses.size, smoothed.size)
    return rates[:num], losses[:num], smoothed[:num]


def swept_unit(rates: Floats) -> XUnit:
    """The rate along x."""
    if rates.size < 2 or not (rates[0] > 0 and (np.diff(rates) > 0).all()):
        return STEPS
    return by_rising_value("lr", np.arange(1, rates.size + 1, dtype=np.float64), rates)


def swept_curve(rates: Floats, losses: Floats, smoothed: Floats) -> Curve:
    """The moving average as a line, the losses themselves as a band around it; all of shape [n]."""
    x = swept_unit(rates).x_of_step(np.arange(1, rates.size + 1, dtype=np.float64))
    top = _top(smoothed)
    finite = np.isfinite(losses) & np.isfinite(smoothed)
    line, single = np.minimum(smoothed, top), np.minimum(losses, top)
    return Curve(
        name="loss, smoothed",
        label="l",
        color="train",
        x=x,
        mean=np.where(finite, line, np.nan),
        low=np.where(finite, np.minimum(line, single), np.nan),
        high=np.where(finite, np.maximum(line, single), np.nan),
        nonfinite=(~finite).astype(np.int64),
        latest=float(smoothed[-1]) if smoothed.size else None,
    )


def swept_places(swept: RatesSwept) -> Lines:
    """The rates to use, the one with the lowest loss, and the one where it diverges."""
    named = [(suggestion.rule, suggestion.value) for suggestion in swept.suggestions]
    named += [("lowest", swept.lowest)] if swept.lowest else []
    named += [("diverged", swept.diverged)] if swept.diverged else []
    return tuple((float(np.log10(rate)), f"{name} {value_label(rate)}") for name, rate in named)


def printed_sweep(swept: RatesSwept, width: int, *, unicode: bool) -> list[str]:
    """The curve as lines of text."""
    columns = (swept.rates, swept.losses, swept.smoothed)
    rates, losses, smoothed = (np.array(column, np.float64) for column in columns)
    if rates.size < 2 or not np.isfinite(smoothed).any():
        return []
    curve = swept_curve(rates, losses, smoothed)
    places = swept_places(swept)
    return printed([curve], swept_unit(rates), width=width, height=HEIGHT, unicode=unicode, places=places)


def _top(smoothed: Floats) -> float:
    begin = smoothed[: max(1, smoothed.size // AT_THE_BEGINNING)]
    begin = begin[np.isfinite(begin)]
    return ROOM_ABOVE * float(begin.max()) if begin.size and begin.max() > 0 else np.inf
