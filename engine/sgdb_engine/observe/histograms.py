"""How the values of tensors are distributed."""

import math
from collections.abc import Sequence

import numpy as np
import torch

from sgdb_engine.observe.statistics import host_array, on_host, real_values
from sgdb_engine.recording.payloads import HISTOGRAM_BINS, HistogramKind, histogram_stats

MOST_VALUES = 1_000_000
"""Of a larger tensor every k-th value is counted, so that about so many are."""


def histogram_columns(kind: HistogramKind, names: Sequence[str]) -> tuple[str, ...]:
    """`hist_00/<tensor>` …, bin by bin, then `hist_low/<tensor>` …, `hist_high/<tensor>` …"""
    return tuple(f"{stat}/{name}" for stat in histogram_stats(kind) for name in names)


def histograms(tensors: Sequence[torch.Tensor]) -> torch.Tensor:
    """The share of each tensor's finite values in equally wide bins from its smallest to its largest one, and these.

    Float32 [(bins + 2) × tensors], on the device of the tensors, without waiting for it.
    """
    return side_by_side([histogram_of(tensor) for tensor in tensors])


def side_by_side(of_tensors: Sequence[torch.Tensor]) -> torch.Tensor:
    """What `histogram_of` gave for each, as `histograms` has it."""
    return torch.stack(list(of_tensors), dim=1).reshape(-1)


def histogram_of(tensor: torch.Tensor, most_values: int = MOST_VALUES) -> torch.Tensor:
    """Float32 [bins + 2] of one tensor, of which about `most_values` are counted."""
    return _host(tensor, most_values) if on_host(tensor) else _device(real_values(tensor), most_values)


def _host(tensor: torch.Tensor, most_values: int = MOST_VALUES) -> torch.Tensor:
    values = host_array(tensor)
    values = values[:: math.ceil(values.size / most_values) or 1]
    finite = values[np.isfinite(values)] if not np.isfinite(values).all() else values
    if not finite.size:
        return torch.zeros(HISTOGRAM_BINS + 2, device="cpu")
    low, high = float(finite.min()), float(finite.max())
    scale = HISTOGRAM_BINS / (high - low) if high > low else 0.0
    places = np.minimum((finite.astype(np.float64) - low) * scale, HISTOGRAM_BINS - 1).astype(np.int64)
    shares = np.bincount(places, minlength=HISTOGRAM_BINS) / finite.size
    return torch.from_numpy(np.append(shares, (low, high)).astype(np.float32))


def _device(tensor: torch.Tensor, most_values: int = MOST_VALUES) -> torch.Tensor:
    values = tensor.reshape(-1)[:: math.ceil(tensor.numel() / most_values) or 1].float()
    if not values.numel():
        return torch.zeros(HISTOGRAM_BINS + 2, device=tensor.device)
    finite = values.isfinite()
    low = torch.where(finite, values, math.inf).amin()
    high = torch.where(finite, values, -math.inf).amax()
    width = torch.where(high > low, high - low, 1.0)
    clean = torch.where(finite, values, low)
    places = ((clean - low).nan_to_num(0.0) / width * HISTOGRAM_BINS).clamp(0, HISTOGRAM_BINS - 1).long()
    counts = torch.zeros(HISTOGRAM_BINS, device=tensor.device)
    counts.scatter_add_(0, places, finite.float())
    ends = torch.stack((low, high)).nan_to_num(posinf=0.0, neginf=0.0)
    return torch.cat((counts / finite.sum().clamp(min=1), ends))
