"""How the values of each parameter are distributed; costly, so measured every few seconds only."""

import math
from collections.abc import Sequence

import numpy as np
import torch

from sgdb_engine.observe.statistics import host_array
from sgdb_engine.recording.payloads import HISTOGRAM_BINS, HISTOGRAM_STATS

MOST_VALUES = 1_000_000
"""Of a larger tensor every k-th value is counted, so that about so many are."""
PERIOD_S = 2.0
"""Between two histograms of all parameters, at the least."""
SHARE = 0.2
"""What they may cost beside the other measurements, as a part of the budget."""


class HistogramPace:
    """When it is time for them: they are too costly for the budget of the other measurements."""

    def __init__(self, budget_share: float) -> None:
        self._share = SHARE * budget_share
        self._next_at = 0.0

    def due(self, now: float) -> bool:
        """Whether they may be taken."""
        return now >= self._next_at

    def taken(self, now: float, cost_s: float) -> None:
        """They were, at this cost."""
        self._next_at = now + max(PERIOD_S, cost_s / self._share if self._share else math.inf)


def histogram_columns(names: Sequence[str]) -> tuple[str, ...]:
    """`hist_00/<tensor>` …, bin by bin."""
    return tuple(f"{stat}/{name}" for stat in HISTOGRAM_STATS for name in names)


def histograms(parameters: Sequence[torch.Tensor]) -> torch.Tensor:
    """The share of each tensor's finite values in equally wide bins from its smallest to its largest one.

    Float32 [bins × tensors], on the device of the parameters, without waiting for it.
    """
    rows = [_host(p) if p.device.type == "cpu" else _device(p.detach()) for p in parameters]
    return torch.stack(rows, dim=1).reshape(-1)


def _host(parameter: torch.Tensor) -> torch.Tensor:
    values = host_array(parameter)
    values = values[:: math.ceil(values.size / MOST_VALUES) or 1]
    finite = values[np.isfinite(values)] if not np.isfinite(values).all() else values
    if not finite.size:
        return torch.zeros(HISTOGRAM_BINS, device="cpu")
    low, high = float(finite.min()), float(finite.max())
    scale = HISTOGRAM_BINS / (high - low) if high > low else 0.0
    places = np.minimum((finite.astype(np.float64) - low) * scale, HISTOGRAM_BINS - 1).astype(np.int64)
    counts = np.bincount(places, minlength=HISTOGRAM_BINS)
    return torch.from_numpy((counts / finite.size).astype(np.float32))


def _device(parameter: torch.Tensor) -> torch.Tensor:
    values = parameter.reshape(-1)[:: math.ceil(parameter.numel() / MOST_VALUES) or 1].float()
    if not values.numel():
        return torch.zeros(HISTOGRAM_BINS, device=parameter.device)
    finite = values.isfinite()
    low = torch.where(finite, values, math.inf).amin()
    high = torch.where(finite, values, -math.inf).amax()
    width = torch.where(high > low, high - low, 1.0)
    clean = torch.where(finite, values, low)
    places = ((clean - low).nan_to_num(0.0) / width * HISTOGRAM_BINS).clamp(0, HISTOGRAM_BINS - 1).long()
    counts = torch.zeros(HISTOGRAM_BINS, device=parameter.device)
    counts.scatter_add_(0, places, finite.float())
    return counts / finite.sum().clamp(min=1)
