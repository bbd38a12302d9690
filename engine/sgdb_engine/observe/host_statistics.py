"""Per-tensor statistics of an update on the CPU: numpy views of each tensor.

The cost is Python's, not the arithmetic's: about 10 µs a tensor.
"""

import math
from collections.abc import Sequence

import numpy as np
import torch

from sgdb_engine.observe.statistics import host_array, ranges_and_squares, square_sum


class HostStatistics:
    """An `UpdateStatistics` that copies nothing but the weights before the update."""

    def __init__(self, parameters: Sequence[torch.Tensor], num_stats: int, shares: Sequence[float]) -> None:
        """`shares`: of each parameter's square in the global one."""
        self._parameters = list(parameters)
        self._shares = list(shares)
        self._row = np.zeros((num_stats, len(self._parameters)), dtype=np.float32)
        self._kept: list[np.ndarray] = [np.empty(0, dtype=np.float32)] * len(self._parameters)
        self._bad_gradients = np.zeros(len(self._parameters))

    @np.errstate(all="ignore")
    def before_clip(self, scale: float | torch.Tensor = 1.0) -> float:
        """Reads the gradients as backward left them, `scale` times too large; returns their global 2-norm."""
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
            norms[i] = math.sqrt(squares)
            total += squares * self._shares[i]
        if scale != 1.0:
            norms /= float(scale)
        return math.sqrt(total) / float(scale)

    def before_update(self) -> None:
        """Copies the weights into buffers that are made once."""
        for i, parameter in enumerate(self._parameters):
            values = host_array(parameter)
            kept = self._kept[i]
            if kept.shape == values.shape and kept.dtype == values.dtype:
                np.copyto(kept, values)
            else:
                self._kept[i] = values.copy()

    @np.errstate(all="ignore")
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
            row[5, i] = math.sqrt(moved / squares if squares else moved * math.inf) if moved else 0.0
            row[6, i] = weights.nonfinite + self._bad_gradients[i]
        return torch.from_numpy(row.reshape(-1))

    def finish(self, values: np.ndarray) -> np.ndarray:
        """What `after_update` gave, copied."""
        return values.astype(np.float32)
