"""The title row of a chart: each curve with its value, at the cursor or now; whole fields or none."""

from collections.abc import Sequence

import numpy as np

from sgdb_tui.formatting import number
from sgdb_tui.plotting.cells import Ink, Paper, Run, role_ink
from sgdb_tui.plotting.series import Curve


def legend(
    curves: Sequence[Curve], width: int, *, cursor: float | None, hints: Sequence[str], key: str | None
) -> list[Run]:
    """Fields that fit into `width`, dropped from the right.

    Args: cursor in x units or None for the present; hints are shown first (log, range, place of the
    cursor); key is the sign before each name, None for the curve's letter.
    """
    fields = [[Run(f"{hint}  ", Ink.DIM, Paper.SURFACE)] for hint in hints if hint]
    fields += [_field(curve, cursor, key) for curve in curves]
    runs: list[Run] = []
    room = width
    for field in fields:
        length = sum(len(run.text) for run in field)
        if length - 2 <= room:  # the two blanks behind a field may be cut
            runs += field
            room -= length
    return runs


def _field(curve: Curve, cursor: float | None, key: str | None) -> list[Run]:
    ink = role_ink(curve.color)
    if curve.color == "planned" and cursor is None:
        return [
            Run(f"{key or curve.label} ", ink, Paper.SURFACE),
            Run(f"{curve.name}  ", Ink.DIM, Paper.SURFACE),
        ]
    value, spread = _now(curve) if cursor is None else _at(curve, cursor)
    value_ink = ink if value is None or np.isfinite(value) else Ink.ERROR
    text = "-" if value is None else number(value, 8)
    return [
        Run(f"{key or curve.label} ", ink, Paper.SURFACE),
        Run(f"{curve.name} ", Ink.DIM, Paper.SURFACE),
        Run(text, value_ink, Paper.SURFACE),
        Run(f"{spread}  ", Ink.DIM, Paper.SURFACE),
    ]


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
