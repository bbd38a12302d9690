"""The title row of a chart: each curve with its value, at the cursor or now; whole fields or none."""

from collections.abc import Sequence

import numpy as np
from rich.cells import cell_len

from sgdb_tui.formatting import number
from sgdb_tui.plotting.cells import Ink, Paper, Run, role_ink
from sgdb_tui.plotting.series import Curve

GAP = 2
"""Blanks behind a field."""
FORMS = ((), ("spread",), ("spread", "hint"), ("spread", "name"), ("spread", "name", "hint"))
"""What is left out, from the richest form to the poorest."""


def legend(
    curves: Sequence[Curve], width: int, *, cursor: float | None, hints: Sequence[str], key: str | None
) -> list[Run]:
    """The fields in the richest form that fits into `width`: whole, then without ranges, hints or names.

    Args: cursor in x units or None for the present; hints are shown first, of which only the last (the place
    of the cursor) stays where room is short; key is the sign before each name, None for the curve's letter.
    """
    shown = [{"hint": Run(f"{hint}  ", Ink.DIM, Paper.SURFACE)} for hint in hints[:-1] if hint]
    shown += [{"place": Run(f"{hint}  ", Ink.DIM, Paper.SURFACE)} for hint in hints[-1:] if hint]
    shown += [_field(curve, cursor, key) for curve in curves]
    for left_out in FORMS:
        forms = [_form(field, left_out) for field in shown]
        if sum(map(_length, forms)) - GAP <= width:
            break
    return _first_that_fit(forms, width)


def _form(field: dict[str, Run], left_out: Sequence[str]) -> list[Run]:
    """What is left of a field; nothing where that would be a sign without a meaning."""
    kept = {part: run for part, run in field.items() if part not in left_out}
    return list(kept.values()) if kept.keys() - {"key", "gap"} else []


def _first_that_fit(fields: Sequence[list[Run]], width: int) -> list[Run]:
    runs: list[Run] = []
    for field in filter(None, fields):
        if _length(field) - GAP <= width:
            runs += field
            width -= _length(field)
    return runs


def _length(field: Sequence[Run]) -> int:
    return sum(cell_len(run.text) for run in field)


def _field(curve: Curve, cursor: float | None, key: str | None) -> dict[str, Run]:
    """The parts of a curve's field, by what they are."""
    ink = role_ink(curve.color)
    parts = {
        "key": Run(f"{key or curve.label} ", ink, Paper.SURFACE),
        "name": Run(f"{curve.name} ", Ink.DIM, Paper.SURFACE),
    }
    if curve.color != "planned" or cursor is not None:
        value, spread = _now(curve) if cursor is None else _at(curve, cursor)
        value_ink = ink if value is None or np.isfinite(value) else Ink.ERROR
        parts["value"] = Run("-" if value is None else number(value, 8), value_ink, Paper.SURFACE)
        parts["spread"] = Run(spread, Ink.DIM, Paper.SURFACE)
    return parts | {"gap": Run(" " * GAP, Ink.DIM, Paper.SURFACE)}


def _now(curve: Curve) -> tuple[float | None, str]:
    if curve.latest is not None:
        return curve.latest, ""
    return (float(curve.mean[-1]), "") if curve.x.size else (None, "")


def _at(curve: Curve, x: float) -> tuple[float | None, str]:
    """Mean of the bucket at x and its range; a bucket with NaN says so."""
    index = curve.index_near(x)
    if index is None:
        return None, ""
    if curve.nonfinite[index]:
        return float("nan"), f" ×{curve.nonfinite[index]}"
    low, high = float(curve.low[index]), float(curve.high[index])
    return float(curve.mean[index]), f" ({number(low, 6)}..{number(high, 6)})" if high > low else ""
