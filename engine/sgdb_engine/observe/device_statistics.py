"""Statistics of tensors on a GPU: all of them packed into rows of equal length, reduced row by row.

So the launches do not grow with the number of tensors, and nothing here waits for the device. What the rows mean for
each tensor is put together on the host, when they have arrived there.

A reduction that changes the type casts all it reads first, in a launch of its own: hence one cast to float64 for all.
"""

import math
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import torch

from sgdb_engine.observe.statistics import real_values
from sgdb_engine.workload.devices import fits

SHORTEST_ROW = 1024
"""Values; the last row of each tensor is filled up."""
MOST_ROWS = 2**15
"""The rows become longer where a model would have more of them: each is eight numbers that go to the host."""
BLOCK_VALUES = 2**26
"""Values that are worked on at once: bounds the memory for what lies between, 24 bytes for each."""
CAUTION = 4
"""The two packed copies are made only where so many times their size would be at most half of what is free."""
OF_ROWS = 8
"""Numbers of a row: norm of the gradient, its non-finite values; values that are not finite or only fill the row up;
sum and norm of the finite ones, norm of their movement, the smallest of them, the smallest of their negatives."""

Copies = Sequence[tuple[torch.Tensor, torch.Tensor]]
"""To, from; flat."""


class DeviceStatistics:
    """An `UpdateStatistics` that keeps two packed float32 copies of the parameters; sums are in float64.

    It measures other tensors along with the weights, in the same rows.

    Raises:
        MemoryError: the copies would take room that the training may need.
    """

    def __init__(self, parameters: Sequence[torch.Tensor], shares: Sequence[float]) -> None:
        self._parameters = list(parameters)
        self.device = next((p.device for p in parameters if p.device.type != "cpu"), torch.device("cpu"))
        """Of all tensors that are measured together."""
        self._sizes = [real_values(p).numel() for p in self._parameters]
        self._along: list[int] = []
        """Sizes of what else there is room for."""
        self._length = row_length(sum(self._sizes))
        rows = rows_of(self._sizes, self._length)
        size_bytes = 2 * 4 * self._length * int(rows.sum())
        if not fits(CAUTION * size_bytes, self.device):
            raise MemoryError(f"two copies of the weights ({size_bytes / 2**30:.1f} GiB) would crowd the GPU")
        self._before = torch.zeros(int(rows.sum()), self._length, device=self.device, dtype=torch.float32)
        self._before_views = _views(self._before, self._sizes)
        self._root_shares: torch.Tensor | None = None
        if any(share != 1.0 for share in shares):
            of_rows = np.sqrt(np.repeat(np.asarray(shares, np.float64), rows))
            self._root_shares = torch.from_numpy(of_rows).to(self.device)
        self._signs = torch.linspace(1, -1, 2, device=self.device, dtype=torch.float64).view(2, 1, 1)
        self._of_rows = torch.empty(OF_ROWS, 0, device=self.device, dtype=torch.float64)
        self._make_room()

    def _make_room(self) -> None:
        """For the weights and what is measured along; NaN fills the rows up."""
        sizes = [*self._sizes, *self._along]
        rows = int(rows_of(sizes, self._length).sum())
        self._now = torch.full((rows, self._length), math.nan, device=self.device, dtype=torch.float32)
        self._now_views = _views(self._now, sizes)
        of_gradients = self._of_rows[:2, : len(self._before)]
        self._of_rows = of_gradients.new_zeros(OF_ROWS, rows)
        self._of_rows[:2, : of_gradients.shape[1]] = of_gradients

    def before_clip(self, scale: float | torch.Tensor = 1.0) -> torch.Tensor:
        """Packs the gradients, which are `scale` times too large; returns their global 2-norm as a 0-d tensor."""
        gradients = [p.grad for p in self._parameters]
        if any(gradient is None for gradient in gradients):
            self._before.zero_()
        pairs = zip(self._before_views, gradients, strict=True)
        pack([(view, flat_values(gradient.to_dense())) for view, gradient in pairs if gradient is not None])
        norms, bad = self._of_rows[:2, : len(self._before)]
        for block in self._blocks(len(self._before)):
            wide = self._before[block].double()
            torch.linalg.vector_norm(wide, dim=1, out=norms[block])
            _count_nonfinite(wide, out=bad[block])
        if not isinstance(scale, float) or scale != 1.0:
            norms.div_(scale)
        weighted = norms if self._root_shares is None else norms * self._root_shares
        total: torch.Tensor = torch.linalg.vector_norm(weighted)
        return total

    def before_update(self) -> None:
        """Packs the weights as they are before the update."""
        pack(zip(self._before_views, map(flat_values, self._parameters), strict=True))

    def after_update(self, along: Sequence[torch.Tensor] = ()) -> torch.Tensor:
        """Float64 [numbers of a row × rows] on the device, for `finish`; the next measurement overwrites it.

        `along`: flat tensors that are measured, too.
        """
        sizes = [tensor.numel() for tensor in along]
        if sizes != self._along:
            self._along = sizes
            self._make_room()
        pack(zip(self._now_views, [*map(flat_values, self._parameters), *along], strict=True))
        for block in self._blocks(len(self._now)):
            self._reduce(self._before[block], self._now[block], self._of_rows[2:, block])
        return self._of_rows.view(-1)

    def _reduce(self, before: torch.Tensor, now: torch.Tensor, out: torch.Tensor) -> None:
        """The rows of a block; those of `before` are fewer where the last ones are none of the weights."""
        bad, total, norms, smallest = out[0], out[1], out[2:4], out[4:]
        both = torch.empty(2, *now.shape, device=now.device, dtype=torch.float64)
        torch.mul(now, self._signs, out=both)  # the values and their negatives
        _count_nonfinite(both[0], out=bad)
        both.nan_to_num_(nan=math.inf, posinf=math.inf, neginf=math.inf)
        torch.amin(both, 2, out=smallest)
        values = both[0].nan_to_num_(posinf=0.0)
        torch.sum(values, 1, out=total)
        torch.sub(values[: len(before)], before, out=both[1, : len(before)])
        torch.linalg.vector_norm(both, dim=2, out=norms)

    def _blocks(self, rows: int) -> Iterator[slice]:
        step = max(1, BLOCK_VALUES // self._length)
        return (slice(start, min(start + step, rows)) for start in range(0, rows, step))

    @np.errstate(all="ignore")
    def finish(self, values: np.ndarray, along: Sequence[int] = ()) -> np.ndarray:
        """What `after_update` gave, on the host → float64 [stats × tensors], and behind it [tensors × ranges].

        The latter are those of the tensors of the sizes `along`.
        """
        sizes, tensors = np.array([*self._sizes, *along]), len(self._sizes)
        rows = rows_of(sizes, self._length)
        starts = np.cumsum(rows) - rows
        gradient, bad_gradient, bad, total, norm, moved, low, negative = values.reshape(OF_ROWS, -1)
        ranges = _ranges(sizes, rows, self._length - bad, total, norm, low, -negative)
        moves, squares = (np.add.reduceat(norms**2, starts)[:tensors] for norms in (moved, norm))
        ratio = np.where(moves == 0, 0.0, np.sqrt(moves / squares))
        ratio[ranges[4, :tensors] > 0] = math.nan
        norms = np.sqrt(np.add.reduceat(gradient**2, starts))[:tensors]
        nonfinite = ranges[4, :tensors] + np.add.reduceat(bad_gradient, starts)[:tensors]
        return np.concatenate(
            [norms, ranges[:4, :tensors].reshape(-1), ratio, nonfinite, ranges[:, tensors:].T.reshape(-1)]
        )


def _ranges(
    sizes: np.ndarray,
    rows: np.ndarray,
    count: np.ndarray,
    total: np.ndarray,
    norm: np.ndarray,
    low: np.ndarray,
    high: np.ndarray,
) -> np.ndarray:
    """Of the numbers of all rows: those of `RANGE_STATS` for each tensor [ranges × tensors]."""
    starts = np.cumsum(rows) - rows
    number = np.add.reduceat(count, starts)
    mean = np.add.reduceat(total, starts) / number
    mean_of_row = np.where(count > 0, total / count, 0.0)
    within = (norm**2 - count * mean_of_row**2).clip(min=0)
    between = count * (mean_of_row - np.repeat(mean, rows)) ** 2
    low, high = np.minimum.reduceat(low, starts), np.maximum.reduceat(high, starts)
    # what rounding adds to the spread of nearly equal values cannot be more than half of their range
    std = np.minimum(np.sqrt(np.add.reduceat(within + between, starts) / number), (high - low) / 2)
    ranges = np.stack([low, high, mean, std, sizes - number])
    ranges[:4, number == 0] = math.nan
    return ranges


def row_length(values: int) -> int:
    """A power of two, so that a model of so many values has not many more than `MOST_ROWS` rows."""
    return max(SHORTEST_ROW, 1 << math.ceil(math.log2(max(1, values / MOST_ROWS))))


def rows_of(sizes: Sequence[int] | np.ndarray, length: int) -> np.ndarray:
    """How many rows each tensor takes; an empty one has one, too."""
    return np.maximum(1, -(-np.asarray(sizes, np.int64) // length))


def flat_values(tensor: torch.Tensor) -> torch.Tensor:
    """Its real values in the order of its memory: not copied where that is dense, as in `channels_last`."""
    values = real_values(tensor)
    if not values.is_contiguous():
        values = values.permute(sorted(range(values.dim()), key=values.stride, reverse=True))
    return values.reshape(-1)


def copies_of(tensors: Iterable[torch.Tensor]) -> list[torch.Tensor]:
    """Flat float32 copies of their values."""
    flat = [flat_values(tensor) for tensor in tensors]
    copies = [torch.empty(each.shape, device=each.device, dtype=torch.float32) for each in flat]
    pack(zip(copies, flat, strict=True))
    return copies


def pack(pairs: Iterable[tuple[torch.Tensor, torch.Tensor]]) -> None:
    """Copies all tensors of one type together: those of several are copied one by one, on a GPU."""
    of_types: dict[torch.dtype, tuple[list[torch.Tensor], list[torch.Tensor]]] = {}
    for room, values in pairs:
        if values.numel():
            rooms, sources = of_types.setdefault(values.dtype, ([], []))
            rooms.append(room)
            sources.append(values)
    for rooms, sources in of_types.values():
        torch._foreach_copy_(rooms, sources)


def _count_nonfinite(values: torch.Tensor, out: torch.Tensor) -> None:
    """By row: what differs from itself, as NaN and infinity do."""
    torch.linalg.vector_norm(values - values, 0, dim=1, out=out)


def _views(buffer: torch.Tensor, sizes: Sequence[int]) -> list[torch.Tensor]:
    """Flat ones for tensors of these sizes."""
    length = buffer.shape[1]
    parts = torch.split(buffer.view(-1), [length * int(n) for n in rows_of(sizes, length)])
    return [part[:size] for part, size in zip(parts, sizes, strict=True)]
