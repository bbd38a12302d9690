"""Evaluations as they come: loss, accuracy, which classes are recognised."""

import math
from typing import Any

import torch

from sgdb_engine.findings.facts import Evaluation
from sgdb_engine.witness.loss_calls import OF_CLASSES, Call, takes_input_and_target

MOST_CLASSES = 200


class Evaluations:
    """Those that are over, and the one under way."""

    def __init__(self) -> None:
        self.over: list[Evaluation] = []
        self._begin()

    def _begin(self) -> None:
        self._loss = 0.0
        self._rows = self._right = self._judged = 0
        self._confusion: torch.Tensor | None = None

    @torch.no_grad()
    def add(self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any], loss: float, rows: int) -> None:
        """A loss was computed: `loss` is its mean over `rows`."""
        self._loss += loss * rows
        self._rows += rows
        if takes_input_and_target(name):
            call = Call(name, args, kwargs)
            if call.input.is_cpu:
                self._compare(call)

    def _compare(self, call: Call) -> None:
        if call.is_about_classes:
            classes = call.input.shape[call.class_dim]
            predicted, target = call.input.argmax(call.class_dim).reshape(-1), call.target.reshape(-1)
            kept = target != call.arguments["ignore_index"]
            predicted, target = predicted[kept], target[kept]
        elif (
            call.name not in OF_CLASSES
            and call.name.startswith("binary")
            and call.input.shape == call.target.shape
        ):
            classes, middle = 2, 0.0 if call.name.endswith("logits") else 0.5
            predicted, target = (
                (call.input > middle).reshape(-1).long(),
                (call.target > 0.5).reshape(-1).long(),
            )
        else:
            return
        self._right += int((predicted == target).sum())
        self._judged += target.numel()
        if classes <= MOST_CLASSES and (not target.numel() or int(target.max()) < classes):
            counts = torch.bincount(target * classes + predicted, minlength=classes * classes)
            whole = counts.reshape(classes, classes)
            if self._confusion is None:
                self._confusion = whole
            elif self._confusion.shape == whole.shape:  # not that of another head
                self._confusion = self._confusion + whole

    def end(self, step: int, train_loss: float) -> bool:
        """It is over; whether there was one. `train_loss`: mean since the one before."""
        if not self._rows:
            return False
        majority, predicted, recall = self._classes()
        self.over.append(
            Evaluation(
                step=step,
                loss=self._loss / self._rows,
                rows=self._judged or self._rows,
                accuracy=self._right / self._judged if self._judged else math.nan,
                train_loss=train_loss,
                majority=majority,
                predicted=predicted,
                lowest_recall=recall,
            )
        )
        self._begin()
        return True

    def _classes(self) -> tuple[float, int, float]:
        if self._confusion is None or not int(self._confusion.sum()):
            return 0.0, 0, 1.0
        of_class = self._confusion.sum(1)
        there = of_class > 0
        recalls = self._confusion.diagonal()[there] / of_class[there]
        predicted = int((self._confusion.sum(0) > 0).sum())
        return float(of_class.max() / of_class.sum()), predicted, float(recalls.min())
