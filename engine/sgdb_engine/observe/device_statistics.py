"""Per-tensor statistics of an update on a GPU: all tensors packed into rows of 1024 values.

So the launches do not grow with the number of tensors, and nothing here waits for the device.
"""

import math
from collections.abc import Sequence

import torch

from sgdb_engine.observe.statistics import real_values
from sgdb_engine.workload.devices import fits

CHUNK = 1024
"""Values in a row; the last row of each tensor is filled up with zeros."""
BLOCK_ROWS = 2**16
"""Rows that are worked on at once: bounds the memory for what lies between."""
CAUTION = 4
"""The two packed copies are made only where so many times their size would be at most half of what is free."""


class DeviceStatistics:
    """An `UpdateStatistics` that keeps two packed float32 copies of the parameters; sums are in float64.

    Raises:
        MemoryError: the copies would take room that the training may need.
    """

    def __init__(self, parameters: Sequence[torch.Tensor], shares: Sequence[float]) -> None:
        self._parameters = list(parameters)
        self._device = next((p.device for p in parameters if p.device.type != "cpu"), torch.device("cpu"))
        self._shares = torch.tensor(shares, dtype=torch.float64).to(self._device)
        sizes = [real_values(p).numel() for p in self._parameters]
        chunks = [max(1, -(-size // CHUNK)) for size in sizes]
        size_bytes = 2 * 4 * CHUNK * sum(chunks)
        if not fits(CAUTION * size_bytes, self._device):
            raise MemoryError(f"two copies of the weights ({size_bytes / 2**30:.1f} GiB) would crowd the GPU")
        self._now = torch.zeros(sum(chunks), CHUNK, device=self._device, dtype=torch.float32)
        self._before = torch.zeros_like(self._now)
        self._now_views = _views(self._now, chunks, sizes)
        self._before_views = _views(self._before, chunks, sizes)
        numbers = torch.arange(len(sizes), device="cpu")
        self._owner = torch.repeat_interleave(numbers, torch.tensor(chunks, device="cpu")).to(self._device)
        lengths = [
            min(CHUNK, max(0, size - CHUNK * k))
            for size, n in zip(sizes, chunks, strict=True)
            for k in range(n)
        ]
        self._lengths = torch.tensor(lengths, device=self._device)
        self._places = torch.arange(CHUNK, device=self._device)
        self._gradient_squares = self._bad_gradients = torch.zeros(len(sizes), device=self._device)

    def before_clip(self, scale: float | torch.Tensor = 1.0) -> torch.Tensor:
        """Packs the gradients, which are `scale` times too large; returns their global 2-norm as a 0-d tensor."""
        gradients = [p.grad for p in self._parameters]
        if any(gradient is None for gradient in gradients):
            self._now.zero_()
        pairs = zip(self._now_views, gradients, strict=True)
        _pack([(view, gradient.to_dense()) for view, gradient in pairs if gradient is not None])
        blocks = torch.split(self._now, BLOCK_ROWS)
        sums = torch.stack(
            (
                torch.cat([_squares(block) for block in blocks]),
                torch.cat([(~block.isfinite()).sum(1).double() for block in blocks]),
            )
        )
        self._gradient_squares, self._bad_gradients = self._per_tensor(sums)
        if not isinstance(scale, float) or scale != 1.0:
            self._gradient_squares = self._gradient_squares / scale**2
        return (self._gradient_squares * self._shares).sum().sqrt()

    def before_update(self) -> None:
        """Packs the weights as they are before the update."""
        _pack(list(zip(self._before_views, self._parameters, strict=True)))

    def after_update(self) -> torch.Tensor:
        """Float32 [stats × tensors] on the device."""
        _pack(list(zip(self._now_views, self._parameters, strict=True)))
        blocks = zip(
            *(torch.split(t, BLOCK_ROWS) for t in (self._now, self._before, self._lengths)), strict=True
        )
        sums, low, high = (torch.cat(parts, -1) for parts in zip(*map(self._of_rows, blocks), strict=True))
        count, total, inner, weights, moved, bad = self._per_tensor(sums)
        mean = total / count  # 0/0 is NaN where no value is finite
        offset = torch.where(sums[0] > 0, sums[1] / sums[0] - mean[self._owner], 0.0)
        outer = self._per_tensor((sums[0] * offset.square()).unsqueeze(0))[0]
        std = ((inner + outer) / count).sqrt()
        ratio = torch.where(moved == 0, 0.0, (moved / weights).sqrt())
        stats = (
            self._gradient_squares.sqrt(),
            torch.where(count > 0, self._extreme(low, "amin", math.inf), math.nan),
            torch.where(count > 0, self._extreme(high, "amax", -math.inf), math.nan),
            mean,
            std,
            ratio,
            bad + self._bad_gradients,
        )
        return torch.cat([stat.float() for stat in stats])

    def _of_rows(
        self, block: tuple[torch.Tensor, torch.Tensor, torch.Tensor]
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Float64 [6, rows]: count, sum, squares about the mean, squares, squares moved, non-finite; min; max."""
        now, before, lengths = block
        known = now.isfinite()
        finite = known & (self._places < lengths.unsqueeze(1))
        count = finite.sum(1).double()
        near = (
            (torch.where(finite, now, 0.0).sum(1, dtype=torch.float64) / count.clamp(min=1))
            .float()
            .unsqueeze(1)
        )
        rest = torch.where(finite, now - near, 0.0)  # small numbers: few digits are lost in their squares
        rests = rest.sum(1, dtype=torch.float64)
        total = near.squeeze(1).double() * count + rests
        inner = _squares(rest) - rests.square() / count.clamp(min=1)
        bad = (~known).sum(1).double()
        sums = torch.stack((count, total, inner.clamp(min=0), _squares(now), _squares(now - before), bad))
        low, high = torch.where(finite, now, math.inf).amin(1), torch.where(finite, now, -math.inf).amax(1)
        return sums, low, high

    def _per_tensor(self, sums: torch.Tensor) -> torch.Tensor:
        """Float64 [n, rows] → [n, tensors]."""
        total = torch.zeros(len(sums), len(self._parameters), dtype=torch.float64, device=self._device)
        return total.index_add_(1, self._owner, sums)

    def _extreme(self, of_rows: torch.Tensor, reduce: str, start: float) -> torch.Tensor:
        extreme = torch.full((len(self._parameters),), start, device=self._device, dtype=torch.float32)
        return extreme.scatter_reduce_(0, self._owner, of_rows, reduce)


def _squares(rows: torch.Tensor) -> torch.Tensor:
    norms: torch.Tensor = torch.linalg.vector_norm(rows, dim=1, dtype=torch.float64)
    return norms.square()


def _views(buffer: torch.Tensor, chunks: Sequence[int], sizes: Sequence[int]) -> list[torch.Tensor]:
    parts = torch.split(buffer.view(-1), [CHUNK * n for n in chunks])
    return [part[:size] for part, size in zip(parts, sizes, strict=True)]


def _pack(pairs: Sequence[tuple[torch.Tensor, torch.Tensor]]) -> None:
    filled = [(view, real_values(tensor).reshape(-1)) for view, tensor in pairs if tensor.numel()]
    if filled:
        torch._foreach_copy_([view for view, _ in filled], [values for _, values in filled])
