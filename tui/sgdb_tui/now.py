"""What the Now, Inputs and Outputs tables say: records of a run in words."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from sgdb_engine.recording.history import History
from sgdb_engine.text import clean
from sgdb_tui.bridge import RunView
from sgdb_tui.columns import by_optimizer, learning_rates, logged, ranges
from sgdb_tui.formatting import count, duration, number, percent, size
from sgdb_tui.plotting.cells import Ink
from sgdb_tui.widgets.readings import Reading

Floats = NDArray[np.float64]

PARTS = 64
"""Into how many parts the past of a reading is cut."""

_NONE = np.empty(0)
_WAITING_FOR_DATA = 0.3
"""Share of the step time spent waiting for data that is worth a colour."""


def now_readings(view: RunView) -> list[Reading]:
    """The present values of a run, the most telling first; what was never measured is left out."""
    history = view.history
    rows = [
        *_of_each(history, "train loss", "train/loss"),
        _measured(history, "val loss", "val/loss"),
        _gap(history),
        _accuracy(history),
        *_of_each(history, "grad norm", "grad_norm"),
        _update_ratio(history),
        *(_measured(history, f"{name} lr".strip(), column) for name, column in learning_rates(history)),
        _rate(view),
        _data_wait(history),
        _measured(history, "memory", "mem/rss", size),
        _measured(history, "cpu", "cpu/percent", _percent_of_100),
        *_gpus(history),
        _best(view),
        *_logged(history),
    ]
    return [row for row in rows if row is not None]


def tensor_readings(history: History, kind: str) -> list[Reading]:
    """What the last batch looked like going in (`kind` "input") or coming out ("output")."""
    rows = []
    for shown, prefix in ranges(history, kind):
        for stat in ("min", "max", "mean", "std"):
            rows.append(_measured(history, f"{shown} {stat}".strip(), f"{prefix}/{stat}"))
        rows.append(_nonfinite(history, f"{shown} NaN/Inf".strip(), f"{prefix}/nonfinite"))
    return [row for row in rows if row is not None]


def _of_each(history: History, name: str, column: str) -> list[Reading | None]:
    """Of each optimizer, where there are several."""
    return [
        _measured(history, f"{owner} {name.removeprefix('train ')}" if owner else name, own)
        for owner, own in by_optimizer(history, column)
    ]


def _measured(
    history: History, name: str, column: str, words: Callable[[float], str] = number
) -> Reading | None:
    point = history.last(column)
    if point is None:
        return None
    tone = Ink.TEXT if np.isfinite(point.value) else Ink.ERROR
    return Reading(name, words(point.value), tone, _past(history, column))


def _past(history: History, column: str) -> Floats:
    return np.asarray(history.series(column, bins=PARTS).mean, np.float64)


def _gap(history: History) -> Reading | None:
    val, train = history.last("val/loss"), history.last("train/loss")
    if val is None or train is None:
        return None
    validated = history.series("val/loss", bins=PARTS)
    trained = history.series("train/loss", bins=PARTS)
    known = np.isfinite(trained.mean)
    if not known.any():
        return None
    past = validated.mean - np.interp(validated.last, trained.last[known], trained.mean[known])
    return Reading("val−train gap", number(float(past[-1])), Ink.TEXT, past) if len(past) else None


def _accuracy(history: History) -> Reading | None:
    for name, column in (("val accuracy", "val/accuracy"), ("accuracy", "train/accuracy")):
        reading = _measured(history, name, column, percent)
        if reading:
            return reading
    return None


def _update_ratio(history: History) -> Reading | None:
    latest = history.latest("update_ratio")
    if latest is None:
        return None
    finite = latest[1][np.isfinite(latest[1])]
    if not len(finite):
        return None
    heat = np.asarray(history.heat("update_ratio", PARTS).values, np.float64)
    past = np.array([_median(heat[:, index]) for index in range(heat.shape[1])])
    return Reading("update/weight", number(float(np.median(finite))), Ink.TEXT, past)


def _median(values: Floats) -> float:
    finite = values[np.isfinite(values)]
    return float(np.median(finite)) if len(finite) else float("nan")


def _rate(view: RunView) -> Reading | None:
    seconds = _past(view.history, "time/step")
    past = np.divide(1.0, seconds, out=np.full_like(seconds, np.nan), where=seconds > 0)
    rate = view.history.step_rate()
    if view.ended or not rate:
        return None
    return Reading("it/s", number(rate), Ink.TEXT, past)


def _data_wait(history: History) -> Reading | None:
    waited, step = history.last("time/data"), history.last("time/step")
    if waited is None or step is None:
        return None
    waits, steps = _past(history, "time/data"), _past(history, "time/step")
    if len(waits) != len(steps) or not len(steps):
        return Reading("data wait", duration(waited.value))
    shares = np.divide(waits, steps, out=np.full_like(steps, np.nan), where=steps > 0)
    recent = _median(shares[-4:])
    tone = Ink.WARNING if recent > _WAITING_FOR_DATA else Ink.TEXT
    return Reading("data wait", percent(recent), tone, shares)


def _percent_of_100(value: float) -> str:
    return percent(value / 100)


def _gpus(history: History) -> list[Reading | None]:
    numbers = sorted({name.split("/")[1] for name in history.names() if name.startswith("gpu/")})
    rows: list[Reading | None] = []
    for n in numbers:
        rows.append(_measured(history, f"gpu {n}", f"gpu/{n}/percent", _percent_of_100))
        rows.append(_measured(history, f"gpu {n} memory", f"gpu/{n}/mem_used", size))
    return rows


def _best(view: RunView) -> Reading | None:
    if view.best is None:
        return None
    name, value = next(iter(view.best.metrics.items()), ("", float("nan")))
    loss = view.best.metrics.get("val/loss", view.best.metrics.get("loss", value))
    return Reading("best val" if name else "best", number(loss), Ink.GOOD, _NONE)


def _logged(history: History) -> list[Reading | None]:
    """Names that the training code logged itself."""
    return [_measured(history, clean(name, 40), name) for name in logged(history)]


def _nonfinite(history: History, name: str, column: str) -> Reading | None:
    point = history.last(column)
    if point is None:
        return None
    tone = Ink.ERROR if point.value > 0 else Ink.GOOD
    return Reading(name, count(point.value), tone, _past(history, column) if point.value else _NONE)
