"""What a check has recorded as curves, and what they are to be held against; for the screen and for the report."""

import math
from collections.abc import Iterable, Mapping

from sgdb_engine.events import Finding

YOURS, RESCUE, NO_INPUT = "overfit/overfit", "overfit/rescue", "overfit/zero-input"
"""Columns: the loss of each update on the batch that is held still."""
RATE, LOSS, SMOOTHED = "lr_range/lr", "lr_range/loss", "lr_range/smoothed"
"""Columns: the learning rate of each update of the sweep, the loss behind it, and its moving average."""

Evidence = Mapping[str, object]


def levels_of(stages: Mapping[str, Evidence]) -> tuple[float | None, float | None]:
    """The floor of the loss, and the loss below which the batch counts as learnt; None where it is not known.

    Args:
        stages: name → evidence.
    """
    for name in ("overfit-one-batch", "rescue"):
        evidence = stages.get(name, {})
        floor, start, share = (_number(evidence.get(key)) for key in ("floor", "start", "threshold"))
        if floor is not None and start is not None and share is not None:
            return floor, floor + share * (start - floor)
    return None, None


def rates_of(stages: Mapping[str, Evidence], findings: Iterable[Finding]) -> list[tuple[str, float]]:
    """(name, learning rate): with the lowest loss, the one to try, and the user's own where a finding tells it."""
    evidence = stages.get("lr-range", {})
    given: list[tuple[str, object]] = [
        ("lowest", evidence.get("lowest")),
        ("try", evidence.get("suggestion")),
    ]
    judged = [finding for finding in findings if finding.code in ("lr-high", "lr-low")]
    given += [("yours", finding.evidence.get("lr")) for finding in judged[:1]]
    return [(name, rate) for name, value in given if (rate := _number(value)) is not None and rate > 0]


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else None
