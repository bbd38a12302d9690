"""How the outputs of the layers of a model are distributed, in one call of it.

The call of modules is replaced while that lasts; nothing is registered on the model.
"""

from collections import Counter
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from sgdb_engine.observe.histograms import histogram_columns, histogram_of, side_by_side
from sgdb_engine.observe.patches import Function, Patches
from sgdb_engine.observe.readback import has_numbers

MOST_LAYERS = 200
MOST_VALUES = 2**16
"""Of an output, that are counted."""
SAYING_NOTHING = (nn.Identity, nn.Flatten, nn.modules.dropout._DropoutNd)
"""Their outputs are those of the layer before, or some of them."""

Run = Callable[..., None]


class Activations:
    """Looks at one call at a time."""

    def __init__(self, run: Run, here: Callable[[], bool]) -> None:
        """`run(function, *arguments)` guards and meters what is ours; `here`: the caller is what is observed."""
        self._run, self._here = run, here
        self._patches = Patches()
        self._names: dict[int, str] = {}
        self._count: Counter[str] = Counter()
        self._found: dict[str, torch.Tensor] = {}

    def begin(self, model: nn.Module) -> None:
        """It is about to be called."""
        self._names = {
            id(module): name
            for name, module in model.named_modules()
            if name and next(module.children(), None) is None and not isinstance(module, SAYING_NOTHING)
        }
        self._count.clear()
        self._found.clear()
        self._patches.replace(nn.Module, "__call__", self._call)

    def end(self) -> None:
        """The call is over, or has raised."""
        self._patches.remove()

    def take(self) -> tuple[tuple[str, ...], torch.Tensor] | None:
        """Columns and values of what was seen since the last time; None where that is nothing."""
        found, self._found = self._found, {}
        return (
            (histogram_columns("activations", list(found)), side_by_side(list(found.values())))
            if found
            else None
        )

    def _call(self, original: Function) -> Function:
        def call(module: nn.Module, *args: Any, **kwargs: Any) -> Any:
            output = original(module, *args, **kwargs)
            name = self._names.get(id(module))
            if name is not None and self._here():
                self._run(self._look, name, output)
            return output

        return call

    def _look(self, name: str, output: Any) -> None:
        if not isinstance(output, torch.Tensor) or not has_numbers(output):
            return
        self._count[name] += 1
        if self._count[name] > 1:
            name = f"{name} ({self._count[name]})"
        if len(self._found) < MOST_LAYERS:
            with torch.no_grad():
                self._found[name] = histogram_of(output.detach(), MOST_VALUES)
