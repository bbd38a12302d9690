"""Batches of a loader with several workers: whether all of them give the same."""

from typing import Any

import torch

from sgdb_engine.observe.readback import has_values
from sgdb_engine.witness.first_step import digest, mapped

LEAST_WORKERS = 2
LEAST_ROUNDS, ROUNDS, MOST_BATCHES = 2, 4, 64
"""What is looked at: so many rounds of one batch from each worker."""
VALUES = 4096
"""Of each tensor of a batch, that are compared."""


class Workers:
    """Of the first loader that has several."""

    def __init__(self) -> None:
        self.count = 0
        self._data_set = 0
        self._digests: list[bytes] = []

    def fetched(self, iterator: Any, batch: Any) -> None:
        """A batch came from this iterator; the workers of one take turns."""
        count = getattr(iterator, "_num_workers", 0)
        if count < LEAST_WORKERS or self._data_set not in (0, id(iterator._dataset)):
            return
        if len(self._digests) >= min(MOST_BATCHES, ROUNDS * count):
            return
        if iterator._num_yielded == 1 and self.rounds < LEAST_ROUNDS:
            self._digests.clear()
        if iterator._num_yielded != len(self._digests) + 1:
            return  # some were not seen: whose turn it is is not known
        self.count, self._data_set = count, id(iterator._dataset)
        self._digests.append(digest(mapped(batch, _some)))

    @property
    def rounds(self) -> int:
        """That are complete."""
        return len(self._digests) // self.count if self.count else 0

    @property
    def equal(self) -> float:
        """Share of the rounds in which all batches are equal, and unlike those before; 0 where few were seen."""
        each = [self._digests[i * self.count : (i + 1) * self.count] for i in range(self.rounds)]
        same = [
            len(set(batches)) == 1 and (not i or each[i - 1][0] != batches[0])
            for i, batches in enumerate(each)
        ]
        return sum(same) / len(same) if len(same) >= LEAST_ROUNDS else 0.0


def _some(tensor: torch.Tensor) -> torch.Tensor:
    """Values from all over it."""
    if tensor.layout != torch.strided or not has_values(tensor):
        return tensor
    flat = tensor.detach().reshape(-1)
    return flat[:: max(1, flat.numel() // VALUES)]
