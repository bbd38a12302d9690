"""Tensor statistics: of one tensor on the CPU without a copy, and the record of ranges that inputs and outputs get."""

import math
from typing import NamedTuple

import numpy as np
import torch

NUMPY_TYPES = (torch.float32, torch.float64)
"""Types of which numpy can take a view; all others are converted first."""


class Ranges(NamedTuple):
    """Of one tensor: min, max, mean and std over its finite values (NaN where there is none), and the others' count."""

    low: float
    high: float
    mean: float
    std: float
    nonfinite: float


RANGE_STATS = ("min", "max", "mean", "std", "nonfinite")
NOTHING = Ranges(math.nan, math.nan, math.nan, math.nan, 0.0)


def host_array(tensor: torch.Tensor) -> np.ndarray:
    """The values of a CPU tensor as a flat array: a view where numpy knows the type and the memory is dense."""
    tensor = tensor.detach()
    if tensor.is_sparse:
        tensor = tensor.coalesce().values()
    if tensor.dtype not in NUMPY_TYPES:
        tensor = tensor.to(torch.float32)
    flat: np.ndarray = tensor.numpy().reshape(-1)
    return flat


def square_sum(values: np.ndarray) -> float:
    """Sum of squares; accumulated in float64 where float32 overflows."""
    total = float(np.dot(values, values))
    if total == math.inf:
        wide = values.astype(np.float64)
        total = float(np.dot(wide, wide))
    return total


def ranges(values: np.ndarray) -> Ranges:
    """Min, max, mean, std (population) and the number of non-finite values of a flat float array."""
    return ranges_and_squares(values)[0]


def ranges_and_squares(values: np.ndarray) -> tuple[Ranges, float]:
    """The ranges, and the sum of squares that they cost anyway."""
    count = values.size
    if count == 0:
        return NOTHING, 0.0
    squares = square_sum(values)
    if not math.isfinite(squares):
        finite = values[np.isfinite(values)]
        if finite.size < count:
            return ranges(finite)._replace(nonfinite=float(count - finite.size)), squares
    mean = float(np.add.reduce(values)) / count
    variance = squares / count - mean * mean
    if (
        not variance > 1e-4 * mean * mean
    ):  # the difference of two nearly equal numbers: take the slow, exact way
        wide = values.astype(np.float64)
        mean = float(wide.mean())
        variance = float(wide.var())
    low, high = float(np.minimum.reduce(values)), float(np.maximum.reduce(values))
    return Ranges(low, high, mean, math.sqrt(variance), 0.0), squares


def tensor_ranges(tensor: torch.Tensor) -> torch.Tensor:
    """The five numbers of `RANGE_STATS` as a float64 tensor [5] on the tensor's own device, without waiting for it."""
    if tensor.device.type == "cpu":
        return torch.tensor(ranges(host_array(tensor)), dtype=torch.float64)
    values = tensor.detach().reshape(-1).to(torch.float32)
    finite = values.isfinite()
    count = finite.sum().clamp(min=1)
    clean = torch.where(finite, values, 0.0)
    mean = clean.sum(dtype=torch.float64) / count
    deviation = torch.where(finite, values - mean, 0.0)
    std = (deviation.square().sum(dtype=torch.float64) / count).sqrt()
    low = torch.where(finite, values, math.inf).amin().double()
    high = torch.where(finite, values, -math.inf).amax().double()
    return torch.stack((low, high, mean, std, (~finite).sum().double()))
