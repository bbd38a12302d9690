"""Calls of a model without gradients: evaluations, and in which mode they are made."""

import weakref

import torch
from torch import nn

from sgdb_engine.witness.examples import Examples
from sgdb_engine.witness.structure import has_modes

RARELY = 2
"""An evaluation comes after so many updates at least; calls within each step are none."""
EVALUATION_CALLS = 64
"""Calls whose examples are kept."""


class WithoutGradients:
    """Of models that are trained, between two steps."""

    def __init__(self) -> None:
        self.examples = Examples()
        """Of evaluations."""
        self.in_train_mode = 0
        """Calls of an evaluation in training mode, where that makes a difference."""
        self.last_step = 0
        """Updates before the newest evaluation; 0: there was none."""
        self._in_a_row = self._between = self._kept = 0
        self._modes: weakref.WeakKeyDictionary[nn.Module, bool] = weakref.WeakKeyDictionary()

    def training_goes_on(self) -> None:
        """A model was called with gradients."""
        self._in_a_row = 0

    def called(self, module: nn.Module, first: torch.Tensor | None, step: int, *, on_host: bool) -> None:
        """A model was called.

        Args:
            module: called.
            first: the first tensor that it was given.
            step: updates made so far.
            on_host: its values can be read without waiting.
        """
        self._in_a_row += 1
        if self._in_a_row == 1:
            self._between = step - self.last_step
        self.last_step = step
        if module.training and self._between >= RARELY and self.has_modes(module):
            self.in_train_mode += 1
        if first is not None and on_host and self._kept < EVALUATION_CALLS and not self.examples.is_full:
            self._kept += 1
            self.examples.add(first, None, False)

    def has_modes(self, module: nn.Module) -> bool:
        """Whether training and eval mode differ for it."""
        if module not in self._modes:
            self._modes[module] = has_modes(module)
        return self._modes[module]
