"""Statistics of one tensor: min, max, mean, std and what is not finite."""

import math
from typing import NamedTuple

import numpy as np
import torch

NUMPY_TYPES = (torch.float32, torch.float64)
"""Types of which numpy can take a view; all others are converted first."""
NARROW_SPREAD = 0.01
"""Below this share of mean², a variance is not E[x²] − mean²: too few digits of float32 would be left."""


class Ranges(NamedTuple):
    """Of one tensor: min, max, mean and std over its finite values (NaN where there is none), and the others' count."""

    low: float
    high: float
    mean: float
    std: float
    nonfinite: float


RANGE_STATS = ("min", "max", "mean", "std", "nonfinite")
NOTHING = Ranges(math.nan, math.nan, math.nan, math.nan, 0.0)


def columns_for_ranges(place: str) -> tuple[str, ...]:
    """`input` → `input/min` … `input/nonfinite`."""
    return tuple(f"{place}/{stat}" for stat in RANGE_STATS)


def real_values(tensor: torch.Tensor) -> torch.Tensor:
    """The values a tensor stores in this process, without its history.

    Those of a sparse one, both parts of complex numbers, and of a sharded one (DTensor) the part that is here.
    """
    tensor = local_part(tensor).detach()
    if tensor.is_sparse:
        tensor = tensor.coalesce().values()
    elif tensor.layout != torch.strided:
        tensor = tensor.to_dense()
    return torch.view_as_real(tensor.resolve_conj()) if tensor.is_complex() else tensor


def local_part(tensor: torch.Tensor) -> torch.Tensor:
    """The shard of a DTensor that this rank holds; any other tensor as it is."""
    to_local = getattr(tensor, "to_local", None)
    return tensor if to_local is None else to_local()


def is_shard(parameter: torch.Tensor) -> bool:
    """Whether other ranks hold other parts of it: FSDP2's, and the flat ones of the first FSDP."""
    return hasattr(parameter, "placements") or _is_flat(parameter)


def _is_flat(parameter: torch.Tensor) -> bool:
    return getattr(parameter, "_is_flat_param", False) or hasattr(parameter, "_fsdp_flattened")


def share_of(tensor: torch.Tensor, rank: int) -> float:
    """By what a tensor's local square is multiplied so that the sum over all ranks counts each value once.

    Replicated values are held by several ranks, those of ordinary tensors by all; what waits to be summed over ranks
    (a partial placement) cannot be counted from here.
    """
    placements = getattr(tensor, "placements", None)
    if _is_flat(tensor):
        return 1.0
    if placements is None:
        return 1.0 if rank == 0 else 0.0
    if any(placement.is_partial() for placement in placements):
        return 0.0
    mesh = tensor.device_mesh  # type: ignore[attr-defined]
    held_by = [mesh.size(i) for i, placement in enumerate(placements) if placement.is_replicate()]
    return 1.0 / float(math.prod(held_by))


def on_host(tensor: torch.Tensor) -> bool:
    """Whether its values can be read without waiting for a device."""
    return tensor.device.type == "cpu"


def host_array(tensor: torch.Tensor) -> np.ndarray:
    """The values of a CPU tensor as a flat array: a view where numpy knows the type and the memory is dense."""
    values = real_values(tensor)
    if values.dtype not in NUMPY_TYPES:
        values = values.to(torch.float32 if values.is_floating_point() else torch.float64)
    flat: np.ndarray = values.numpy().reshape(-1)
    return flat


def square_sum(values: np.ndarray) -> float:
    """Sum of squares; accumulated in float64 where float32 overflows."""
    total = float(np.dot(values, values))
    if total == math.inf:
        wide = values.astype(np.float64)
        total = float(np.dot(wide, wide))
    return total


@np.errstate(all="ignore")
def ranges(values: np.ndarray) -> Ranges:
    """Min, max, mean, std (population) and the number of non-finite values of a flat float array."""
    return ranges_and_squares(values)[0]


def ranges_and_squares(values: np.ndarray) -> tuple[Ranges, float]:
    """The ranges, and the sum of squares that they cost anyway; numpy's warnings are the caller's to silence."""
    count = values.size
    if count == 0:
        return NOTHING, 0.0
    squares = square_sum(values)
    if not math.isfinite(squares):
        finite = values[np.isfinite(values)]
        if finite.size < count:
            return ranges_and_squares(finite)[0]._replace(nonfinite=float(count - finite.size)), squares
    mean = float(np.add.reduce(values)) / count
    variance = squares / count - mean * mean
    if not variance > NARROW_SPREAD * mean * mean:
        wide = values.astype(np.float64)
        mean, variance = float(wide.mean()), float(wide.var())
    low, high = float(np.minimum.reduce(values)), float(np.maximum.reduce(values))
    return Ranges(low, high, mean, math.sqrt(variance), 0.0), squares


def tensor_ranges(tensor: torch.Tensor) -> torch.Tensor:
    """The five numbers of `RANGE_STATS` as a float64 tensor [5] on the tensor's own device, without waiting for it."""
    if on_host(tensor):
        return torch.tensor(ranges(host_array(tensor)), dtype=torch.float64, device="cpu")
    return device_ranges(tensor)


def device_ranges(tensor: torch.Tensor) -> torch.Tensor:
    """As `tensor_ranges`, by PyTorch alone."""
    values = real_values(tensor).reshape(-1)
    values = values.to(torch.float32 if values.is_floating_point() else torch.float64)
    if values.numel() == 0:
        return torch.tensor(NOTHING, dtype=torch.float64, device=values.device)
    finite = values.isfinite()
    count = finite.sum()  # where none is finite 0/0 gives NaN below
    mean = torch.where(finite, values, 0.0).sum(dtype=torch.float64) / count
    deviation = torch.linalg.vector_norm(torch.where(finite, values - mean, 0.0), dtype=torch.float64)
    std = deviation / count.sqrt()
    low = torch.where(count > 0, torch.where(finite, values, math.inf).amin(), math.nan).double()
    high = torch.where(count > 0, torch.where(finite, values, -math.inf).amax(), math.nan).double()
    return torch.stack((low, high, mean, std, (~finite).sum().double()))
