"""What a chart draws: curves of buckets and the marks of events."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from sgdb_engine.recording.history import Bins
from sgdb_tui.plotting.cells import Role

Floats = NDArray[np.float64]

MarkKind = Literal["epoch", "validation", "checkpoint", "command", "finding"]


@dataclass(frozen=True)
class Mark:
    """An event on the x axis."""

    step: int
    kind: MarkKind


@dataclass(frozen=True, eq=False)
class Curve:
    """A measured quantity over x, one entry a bucket; x ascends and is finite."""

    name: str
    label: str
    """One letter, drawn at the end of the line, so that curves differ without colour."""
    color: Role
    x: Floats
    """Middle of the bucket in the unit of the x axis, shape [n]."""
    mean: Floats
    """Mean of the finite values, NaN where there are none, shape [n]."""
    low: Floats
    high: Floats
    nonfinite: NDArray[np.int64]
    """How many values of the bucket were NaN or infinite, shape [n]."""
    latest: float | None = None
    """The newest single value, for the legend; None: the newest mean."""

    def index_near(self, x: float) -> int | None:
        """The bucket nearest to x; None for an empty curve."""
        if not self.x.size:
            return None
        right = min(int(np.searchsorted(self.x, x)), self.x.size - 1)
        left = max(right - 1, 0)
        return left if x - self.x[left] <= self.x[right] - x else right


def curve_from_bins(
    name: str,
    bins: Bins,
    x_of_step: Callable[[Floats], Floats],
    *,
    label: str | None = None,
    color: Role = "train",
) -> Curve:
    """A curve of a recorded column; the label is the first letter or digit of the name's last part."""
    middle = (np.asarray(bins.first, np.float64) + np.asarray(bins.last, np.float64)) / 2
    return Curve(
        name=name,
        label=label or next(filter(str.isalnum, name.rpartition("/")[2]), "?"),
        color=color,
        x=np.asarray(x_of_step(middle), np.float64),
        mean=np.asarray(bins.mean, np.float64),
        low=np.asarray(bins.min, np.float64),
        high=np.asarray(bins.max, np.float64),
        nonfinite=np.asarray(bins.nonfinite).astype(np.int64),
        latest=float(bins.last_value[-1]) if len(bins.last_value) else None,
    )
