"""Per-tensor statistics of one update: gradients before it, weights after it, and how far they moved."""

import math
from collections.abc import Sequence
from typing import Protocol

import numpy as np
import torch

from sgdb_engine.observe.statistics import host_array, ranges_and_squares, square_sum

TENSOR_STATS = (
    "grad_norm",
    "param_min",
    "param_max",
    "param_mean",
    "param_std",
    "update_ratio",
    "nonfinite",
)
"""`update_ratio` is ‖Δw‖₂ / ‖w‖₂; `nonfinite` counts values of the weights and of their gradient."""


class UpdateStatistics(Protocol):
    """Measures one update of a fixed list of parameters, in two halves around `optimizer.step()`."""

    def before_clip(self) -> float | torch.Tensor:
        """Reads the gradients as backward left them; returns their global 2-norm, a tensor on a device."""
        ...

    def before_update(self) -> None:
        """Keeps the weights, to tell afterwards how far they moved."""
        ...

    def after_update(self) -> torch.Tensor:
        """Float32 [stats × tensors] in the order of `TENSOR_STATS`, on the device of the parameters."""
        ...


def columns_of(names: Sequence[str]) -> tuple[str, ...]:
    """The column names of a row of `after_update`: `<stat>/<tensor>`."""
    return tuple(f"{stat}/{name}" for stat in TENSOR_STATS for name in names)


def statistics_for(parameters: Sequence[torch.Tensor]) -> UpdateStatistics:
    """The cheapest way to measure these parameters where they are."""
    if all(p.device.type == "cpu" for p in parameters):
        return HostStatistics(parameters)
    return DeviceStatistics(parameters)


class HostStatistics:
    """On the CPU: numpy views of each tensor, no copy but that of the weights before the update.

    The cost is Python's, not the arithmetic's: about 10 µs a tensor.
    """

    def __init__(self, parameters: Sequence[torch.Tensor]) -> None:
        self._parameters = list(parameters)
        self._row = np.zeros((len(TENSOR_STATS), len(self._parameters)), dtype=np.float32)
        self._kept: list[np.ndarray] = [np.empty(0, dtype=np.float32)] * len(self._parameters)
        self._bad_gradients = np.zeros(len(self._parameters))

    def before_clip(self) -> float:
        """Reads the gradients as backward left them; returns their global 2-norm."""
        total = 0.0
        norms = self._row[0]
        self._bad_gradients[:] = 0
        for i, parameter in enumerate(self._parameters):
            gradient = parameter.grad
            if gradient is None:
                norms[i] = 0.0
                continue
            values = host_array(gradient)
            squares = square_sum(values)
            if not math.isfinite(squares):
                self._bad_gradients[i] = values.size - np.count_nonzero(np.isfinite(values))
            norms[i] = math.sqrt(squares) if squares >= 0 else math.nan
            total += squares
        return math.sqrt(total) if total >= 0 else math.nan

    def before_update(self) -> None:
        """Copies the weights into buffers that are made once."""
        for i, parameter in enumerate(self._parameters):
            values = host_array(parameter)
            kept = self._kept[i]
            if kept.shape == values.shape and kept.dtype == values.dtype:
                np.copyto(kept, values)
            else:
                self._kept[i] = values.copy()

    def after_update(self) -> torch.Tensor:
        """Float32 [stats × tensors]; a view that the next measurement overwrites."""
        row = self._row
        for i, parameter in enumerate(self._parameters):
            values = host_array(parameter)
            weights, squares = ranges_and_squares(values)
            kept = self._kept[i]
            np.subtract(values, kept, out=kept)
            moved = square_sum(kept)
            row[1, i], row[2, i], row[3, i], row[4, i] = weights[:4]
            row[5, i] = math.sqrt(moved / squares) if squares > 0 else (0.0 if moved == 0 else math.nan)
            row[6, i] = weights.nonfinite + self._bad_gradients[i]
        return torch.from_numpy(row.reshape(-1))


CHUNK = 1024


class DeviceStatistics:
    """On a GPU: all tensors packed into rows of 1024 values, so that the launches do not grow with their number.

    Nothing here waits for the device. The packed buffers cost two float32 copies of the parameters.
    """

    def __init__(self, parameters: Sequence[torch.Tensor]) -> None:
        self._parameters = list(parameters)
        self._device = self._parameters[0].device
        sizes = [p.numel() for p in self._parameters]
        chunks = [max(1, -(-size // CHUNK)) for size in sizes]
        self._flat = torch.zeros(sum(chunks), CHUNK, device=self._device)
        self._before = torch.zeros_like(self._flat)
        self._gradients = torch.zeros_like(self._flat)
        owner = torch.repeat_interleave(torch.arange(len(sizes)), torch.tensor(chunks))
        self._owner = owner.to(self._device)
        offsets = np.concatenate([[0], np.cumsum(chunks)[:-1]]) * CHUNK
        filled = torch.zeros(sum(chunks) * CHUNK, dtype=torch.bool)
        for offset, size in zip(offsets.tolist(), sizes, strict=True):
            filled[offset : offset + size] = True
        self._filled = filled.view(-1, CHUNK).to(self._device)
        self._sizes = torch.tensor(sizes, dtype=torch.float32, device=self._device).clamp(min=1)
        places = list(zip(offsets.tolist(), sizes, strict=True))
        self._flat_views = _views(self._flat, places)
        self._gradient_views = _views(self._gradients, places)

    def before_clip(self) -> torch.Tensor:
        """Packs the gradients; returns their global 2-norm as a 0-d tensor."""
        missing = any(p.grad is None for p in self._parameters)
        if missing:
            self._gradients.zero_()
        present = [
            (view, p.grad.detach().reshape(-1))
            for view, p in zip(self._gradient_views, self._parameters, strict=True)
            if p.grad is not None
        ]
        if present:
            torch._foreach_copy_([view for view, _ in present], [gradient for _, gradient in present])
        self._gradient_squares = self._per_tensor(self._gradients.square().sum(1))
        return self._gradient_squares.sum().sqrt()

    def before_update(self) -> None:
        """Packs the weights as they are before the update."""
        self._pack_weights()
        self._before.copy_(self._flat)

    def after_update(self) -> torch.Tensor:
        """Float32 [stats × tensors] on the device."""
        self._pack_weights()
        finite = self._flat.isfinite() & self._filled
        clean = torch.where(finite, self._flat, 0.0)
        counts = self._per_tensor(finite.sum(1).float())
        mean = self._per_tensor(clean.sum(1)) / counts.clamp(min=1)
        deviation = torch.where(finite, clean - mean[self._owner].unsqueeze(1), 0.0)
        std = (self._per_tensor(deviation.square().sum(1)) / counts.clamp(min=1)).sqrt()
        low = self._extreme(torch.where(finite, self._flat, math.inf).amin(1), "amin", math.inf)
        high = self._extreme(torch.where(finite, self._flat, -math.inf).amax(1), "amax", -math.inf)
        moved = self._per_tensor((self._flat - self._before).square().sum(1))
        weights = self._per_tensor(self._flat.square().sum(1))
        bad_gradients = self._per_tensor((~self._gradients.isfinite()).sum(1).float())
        bad = self._sizes - counts + bad_gradients
        still = torch.where(moved == 0, 0.0, (moved / weights).sqrt())
        return torch.cat((self._gradient_squares.sqrt(), low, high, mean, std, still, bad))

    def _pack_weights(self) -> None:
        torch._foreach_copy_(self._flat_views, [p.detach().reshape(-1) for p in self._parameters])

    def _per_tensor(self, chunk_sums: torch.Tensor) -> torch.Tensor:
        total = torch.zeros(len(self._parameters), device=self._device)
        return total.index_add_(0, self._owner, chunk_sums)

    def _extreme(self, chunk_values: torch.Tensor, reduce: str, start: float) -> torch.Tensor:
        extreme = torch.full((len(self._parameters),), start, device=self._device)
        return extreme.scatter_reduce_(0, self._owner, chunk_values, reduce)


def _views(buffer: torch.Tensor, places: Sequence[tuple[int, int]]) -> list[torch.Tensor]:
    flat = buffer.view(-1)
    return [flat[offset : offset + size] for offset, size in places]
