"""Per-tensor statistics of an update on a GPU: all tensors packed into rows of equal length, reduced row by row.

So the launches do not grow with the number of tensors, and nothing here waits for the device. What the rows mean for
each tensor is put together on the host, when they have arrived there.
"""

import math
from collections.abc import Sequence

import numpy as np
import torch

from sgdb_engine.observe.statistics import real_values
from sgdb_engine.workload.devices import fits

SHORTEST_ROW = 1024
"""Values; the last row of each tensor is filled up."""
MOST_ROWS = 2**15
"""The rows become longer where a model would have more of them: each is nine numbers that go to the host."""
BLOCK_VALUES = 2**26
"""Values that are worked on at once: bounds the memory for what lies between."""
CAUTION = 4
"""The two packed copies are made only where so many times their size would be at most half of what is free."""
OF_ROWS = 9
"""Numbers of a row: norm of the gradient, its non-finite values, norm of the movement, norm of the weights, their
finite values, the sum of these, the norm about their mean, smallest, largest."""


class DeviceStatistics:
    """An `UpdateStatistics` that keeps two packed float32 copies of the parameters; sums are in float64.

    Raises:
        MemoryError: the copies would take room that the training may need.
    """

    def __init__(self, parameters: Sequence[torch.Tensor], shares: Sequence[float]) -> None:
        self._parameters = list(parameters)
        device = next((p.device for p in parameters if p.device.type != "cpu"), torch.device("cpu"))
        sizes = [real_values(p).numel() for p in self._parameters]
        length = row_length(sum(sizes))
        rows = [max(1, -(-size // length)) for size in sizes]
        size_bytes = 2 * 4 * length * sum(rows)
        if not fits(CAUTION * size_bytes, device):
            raise MemoryError(f"two copies of the weights ({size_bytes / 2**30:.1f} GiB) would crowd the GPU")
        self._packed = torch.zeros(2, sum(rows), length, device=device, dtype=torch.float32)
        self._before, self._now = self._packed
        self._before_views = _views(self._before, rows, sizes)
        self._now_views = _views(self._now, rows, sizes)
        self._starts = np.cumsum([0, *rows[:-1]])
        self._filled = np.array(
            [
                min(length, max(0, size - length * k))
                for size, n in zip(sizes, rows, strict=True)
                for k in range(n)
            ]
        )
        places = torch.arange(length, device=device)
        filled = torch.from_numpy(self._filled).to(device)
        self._outside = (places >= filled.unsqueeze(1)).to(torch.int8)
        self._root_shares = torch.from_numpy(np.sqrt(np.repeat(np.asarray(shares, np.float64), rows))).to(
            device
        )
        self._zero = torch.zeros((), device=device, dtype=torch.float32)
        self._of_rows = torch.zeros(OF_ROWS, sum(rows), device=device, dtype=torch.float64)
        step = max(1, BLOCK_VALUES // length)
        self._blocks = [slice(start, start + step) for start in range(0, sum(rows), step)]

    def before_clip(self, scale: float | torch.Tensor = 1.0) -> torch.Tensor:
        """Packs the gradients, which are `scale` times too large; returns their global 2-norm as a 0-d tensor."""
        gradients = [p.grad for p in self._parameters]
        if any(gradient is None for gradient in gradients):
            self._now.zero_()
        pairs = zip(self._now_views, gradients, strict=True)
        _pack([(view, gradient.to_dense()) for view, gradient in pairs if gradient is not None])
        norms, bad = self._of_rows[0], self._of_rows[1]
        for block in self._blocks:
            now = self._now[block]
            torch.linalg.vector_norm(now, dim=1, dtype=torch.float64, out=norms[block])
            torch.sum(
                (now - now).ne(0), 1, dtype=torch.float64, out=bad[block]
            )  # of NaN and infinity it is NaN
        if not isinstance(scale, float) or scale != 1.0:
            norms.div_(scale)
        total: torch.Tensor = torch.linalg.vector_norm(norms * self._root_shares)
        return total

    def before_update(self) -> None:
        """Packs the weights as they are before the update."""
        _pack(list(zip(self._before_views, self._parameters, strict=True)))

    def after_update(self) -> torch.Tensor:
        """Float64 [numbers of a row × rows] on the device, for `finish`; the next measurement overwrites it."""
        _pack(list(zip(self._now_views, self._parameters, strict=True)))
        self._before.sub_(self._now)
        _, _, _, _, count, total, about_mean, low, high = self._of_rows
        for block in self._blocks:
            norms = self._of_rows[2:4, block]
            torch.linalg.vector_norm(self._packed[:, block], dim=2, dtype=torch.float64, out=norms)
            now = self._now[block]
            finite = torch.eq(now - now, self._outside[block])
            torch.sum(finite, 1, dtype=torch.float64, out=count[block])
            torch.sum(torch.where(finite, now, self._zero), 1, dtype=torch.float64, out=total[block])
            mean = torch.empty(len(now), 1, device=now.device, dtype=torch.float32)
            torch.div(total[block].unsqueeze(1), count[block].unsqueeze(1), out=mean)
            known = torch.where(finite, now, mean)  # what is not finite, or fills a row up, lies at the mean
            torch.linalg.vector_norm(known - mean, dim=1, dtype=torch.float64, out=about_mean[block])
            smallest, largest = known.aminmax(dim=1)
            low[block].copy_(smallest)
            high[block].copy_(largest)
        return self._of_rows.view(-1)

    @np.errstate(all="ignore")
    def finish(self, values: np.ndarray) -> np.ndarray:
        """What `after_update` gave, on the host → float32 [stats × tensors]."""
        gradient, bad, moved, weights, count, total, about_mean, low, high = values.reshape(OF_ROWS, -1)
        known = count > 0
        mean_of_row = np.where(known, total / count, 0.0)
        rounded = mean_of_row.astype(
            np.float32
        )  # as the device did: Σ(x - a)² = Σ(x - mean)² + n (mean - a)²
        inner = np.where(known, about_mean**2 - count * (mean_of_row - rounded) ** 2, 0.0).clip(min=0)
        number, moves, sizes = self._sum(count), self._sum(moved**2), self._sum(weights**2)
        mean = self._sum(np.where(known, total, 0.0)) / number  # 0/0 is NaN where no value is finite
        from_mean = mean_of_row - np.repeat(mean, np.diff(self._starts, append=len(count)))
        outer = np.where(known, count * from_mean**2, 0.0)
        stats = (
            np.sqrt(self._sum(gradient**2)),
            np.where(number > 0, np.minimum.reduceat(np.where(known, low, math.inf), self._starts), math.nan),
            np.where(
                number > 0, np.maximum.reduceat(np.where(known, high, -math.inf), self._starts), math.nan
            ),
            mean,
            np.sqrt(self._sum(inner + outer) / number),
            np.where(moves == 0, 0.0, np.sqrt(moves / sizes)),
            self._sum(bad + self._filled - count),
        )
        return np.concatenate(stats).astype(np.float32)

    def _sum(self, of_rows: np.ndarray) -> np.ndarray:
        """Of the rows of each tensor."""
        return np.asarray(np.add.reduceat(of_rows, self._starts))


def row_length(values: int) -> int:
    """A power of two, so that a model of so many values has not many more than `MOST_ROWS` rows."""
    return max(SHORTEST_ROW, 1 << math.ceil(math.log2(max(1, values / MOST_ROWS))))


def _views(buffer: torch.Tensor, rows: Sequence[int], sizes: Sequence[int]) -> list[torch.Tensor]:
    parts = torch.split(buffer.view(-1), [buffer.shape[1] * n for n in rows])
    return [part[:size] for part, size in zip(parts, sizes, strict=True)]


def _pack(pairs: Sequence[tuple[torch.Tensor, torch.Tensor]]) -> None:
    filled = [(view, real_values(tensor).reshape(-1)) for view, tensor in pairs if tensor.numel()]
    if filled:
        torch._foreach_copy_([view for view, _ in filled], [values for _, values in filled])
