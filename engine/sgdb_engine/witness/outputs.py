"""How much the outputs of a model differ from row to row: without any call of our own."""

from typing import Any

import torch

from sgdb_engine.findings.facts import Dependencies
from sgdb_engine.observe.measurements import tensors_in

LATER = 15
"""Steps after which it is looked again: an output that begins constant may learn to depend on its input."""

MOST = 32
"""Values in each dimension that are compared: the output of a language model is large."""


class Outputs:
    """Of the first calls, where the rows of the input differ."""

    def __init__(self) -> None:
        self._first: float | None = None
        self._later: float | None = None

    def look(self, given: torch.Tensor | None, output: Any, step: int) -> None:
        """The model was given this first tensor, after so many updates, and gave this."""
        if given is None or len(given) < 2 or not bool((given[:MOST] != given[:1]).any()):
            return
        change = _largest_change(output, len(given))
        if change is None:
            return
        self._first = change if self._first is None else self._first
        if step >= LATER:
            self._later = change if self._later is None else max(change, self._later)

    @property
    def dependencies(self) -> Dependencies | None:
        """What these calls say of them; None where they say nothing."""
        if self._first is None:
            return None
        return Dependencies(other_input=self._first, other_input_later=self._later)


def _largest_change(output: Any, rows: int) -> float | None:
    """Largest difference to the first row, by the largest value; None where it says nothing."""
    each = [t for t in tensors_in("output", output).values() if t.ndim and t.shape[0] == rows]
    if not each or not each[0].is_floating_point() or each[0].shape[1:] == (rows,):
        return None  # a square may be every row against every other
    values = each[0].detach()[(slice(MOST),) * each[0].ndim].float()
    size = float(values.abs().max()) if values.numel() else 0.0
    if not 0 < size < float("inf"):
        return None
    return float((values - values[:1]).abs().max()) / size
