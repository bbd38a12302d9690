"""Evaluations as they come: loss, accuracy, which classes are recognised."""

import math
from typing import Any

import torch

from sgdb_engine.findings.facts import Evaluation
from sgdb_engine.witness.confusion_counts import ConfusionCounts
from sgdb_engine.witness.judged import judged
from sgdb_engine.witness.loss_calls import Call, takes_input_and_target


class Evaluations:
    """Those that are over, and the one under way."""

    def __init__(self) -> None:
        self.over: list[Evaluation] = []
        self._begin()

    def _begin(self) -> None:
        self._loss = 0.0
        self._rows = 0
        self.counts = ConfusionCounts()

    @torch.no_grad()
    def add(
        self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any], loss: Any, rows: int, head: int = 0
    ) -> None:
        """A loss was computed.

        Args:
            name: of the function.
            args: as it was called.
            kwargs: as it was called.
            loss: its mean over `rows`, a float; one of a device, which comes late, does not count.
            rows: examples.
            head: which of the losses that follow one call of the model this is.
        """
        if isinstance(loss, float):
            self._loss += loss * rows
            self._rows += rows
        found = judged(Call(name, args, kwargs)) if takes_input_and_target(name) else None
        if found is not None:
            self.counts.add(found, head)

    def end(self, step: int, train_loss: float) -> bool:
        """It is over; whether there was one. `train_loss`: mean since the one before."""
        if not self._rows:
            self._begin()
            return False
        majority, predicted, recall = self._classes()
        number = int(self.counts.judged)
        self.over.append(
            Evaluation(
                step=step,
                loss=self._loss / self._rows,
                rows=number or self._rows,
                accuracy=int(self.counts.right) / number if number else math.nan,
                train_loss=train_loss,
                majority=majority,
                predicted=predicted,
                lowest_recall=recall,
            )
        )
        self._begin()
        return True

    def _classes(self) -> tuple[float, int, float]:
        matrix = self.counts.matrix
        if matrix is None or not int(matrix.sum()):
            return 0.0, 0, 1.0
        of_class = matrix.sum(1)
        there = of_class > 0
        recalls = matrix.diagonal()[there] / of_class[there]
        predicted = int((matrix.sum(0) > 0).sum())
        return float(of_class.max() / of_class.sum()), predicted, float(recalls.min())
