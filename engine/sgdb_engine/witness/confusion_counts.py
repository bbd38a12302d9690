"""Which classes are taken for which, counted over the calls of an evaluation."""

import torch

from sgdb_engine.witness.judged import Judged

MOST_CLASSES = 200
"""Of more, only how many are right is counted."""


class ConfusionCounts:
    """Of one head: that of the first loss about classes. The numbers stay on their device."""

    def __init__(self) -> None:
        self.right: torch.Tensor | int = 0
        """Targets that were predicted."""
        self.judged: torch.Tensor | int = 0
        """Targets that count."""
        self.matrix: torch.Tensor | None = None
        """int64 [classes × classes], true by predicted."""
        self._head: int | None = None

    def add(self, call: Judged, head: int) -> None:
        """One call; `head`: which of the losses that follow one call of the model this is."""
        if self._head is None:
            self._head = head
        if head != self._head:
            return
        target, predicted = call.target.reshape(-1), call.predicted.reshape(-1)
        counts = (target >= 0) & (target < call.classes)
        self.right = self.right + ((predicted == target) & counts).sum()
        self.judged = self.judged + counts.sum()
        if call.classes <= MOST_CLASSES:
            self._count(torch.where(counts, target * call.classes + predicted, 0), counts, call.classes)

    def _count(self, places: torch.Tensor, counts: torch.Tensor, classes: int) -> None:
        found = torch.zeros(classes * classes, dtype=torch.int64, device=places.device)
        found.scatter_add_(0, places, counts.long())
        if self.matrix is None:
            self.matrix = found.reshape(classes, classes)
        elif len(self.matrix) == classes:
            self.matrix = self.matrix + found.reshape(classes, classes)
