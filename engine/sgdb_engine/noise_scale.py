"""The gradient noise scale, from the batches that are accumulated for one step: at no extra pass.

After McCandlish et al. 2018, "An Empirical Model of Large-Batch Training", appendix A.1: the squared norm of a gradient
over B examples is |G|² + S/B, so that two batch sizes give both. S/|G|² is the batch size at which noise and gradient
are alike: far below it a larger batch takes better steps, far above it hardly any.
"""

import math
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn

from sgdb_engine.observe.statistics import real_values

EVERY = 10
"""Steps between two looks."""
KEPT = 0.9
"""Of the moving averages: one look alone is noise."""


def norm_of(gradients: Iterable[Tensor | None]) -> Tensor:
    """Global 2-norm of those that are there, 0-d on their device."""
    there = [real_values(gradient) for gradient in gradients if gradient is not None]
    if not there:
        return torch.zeros(())
    total: Tensor = torch.linalg.vector_norm(torch.stack(torch._foreach_norm(there)))
    return total


class NoiseScale:
    """Averages over the run what each look gives."""

    def __init__(self) -> None:
        self._signal: Tensor | float = math.nan
        self._noise: Tensor | float = math.nan
        self._looks = 0
        self._first_norm = torch.zeros(())

    def first_batch_seen(self, model: nn.Module, count: int) -> None:
        """Of a step's `count` batches the first one has left its gradient, divided by their number."""
        self._first_norm = norm_of(p.grad for p in model.parameters()) * count

    def step_seen(self, model: nn.Module, sizes: Sequence[int]) -> Tensor | float | None:
        """All batches, of so many examples, have: as `add`; None where they are not of one size."""
        if len(set(sizes)) > 1:
            return None  # each counts the same in the mean
        return self.add(self._first_norm, norm_of(p.grad for p in model.parameters()), sizes[0], sum(sizes))

    def add(self, small_norm: Tensor, big_norm: Tensor, small: int, big: int) -> Tensor | float:
        """Takes in one look; the noise scale in examples so far, NaN while there is more noise than can be told.

        Args:
            small_norm: of the mean gradient over `small` examples.
            big_norm: of that over `big` examples, among them the small ones.
            small: examples.
            big: examples, more than `small`.
        """
        small_square, big_square = small_norm**2, big_norm**2
        signal = (big * big_square - small * small_square) / (big - small)
        noise = (small_square - big_square) / (1 / small - 1 / big)
        self._looks += 1
        share = max(1 - KEPT, 1 / self._looks)  # a plain mean at first
        self._signal = signal if self._looks == 1 else (1 - share) * self._signal + share * signal
        self._noise = noise if self._looks == 1 else (1 - share) * self._noise + share * noise
        scale = torch.as_tensor(self._noise / self._signal)
        return torch.where((scale > 0) & torch.as_tensor(self._signal > 0), scale, math.nan)
