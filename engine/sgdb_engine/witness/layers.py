"""What the layers and activations of a model give in a call that is looked at.

Functions of PyTorch are replaced while the call lasts; nothing is registered on the model.
"""

import itertools
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from sgdb_engine.events import ValueRange
from sgdb_engine.findings.facts import LayerSignal
from sgdb_engine.observe.patches import Function, Patches
from sgdb_engine.observe.readback import has_numbers
from sgdb_engine.witness.watched import WINDOW_CALLS, Watched

Place = tuple[Any, str]
Run = Callable[..., None]
"""`run(function, *arguments)`, by whoever guards and meters what is ours."""

FUNCTIONS: dict[str, tuple[Place, ...]] = {
    "relu": (
        *((torch.nn.functional, name) for name in ("relu", "relu_", "relu6")),
        *((owner, name) for owner in (torch, torch.Tensor) for name in ("relu", "relu_")),
    ),
    "tanh": (
        (torch.nn.functional, "tanh"),
        *((owner, name) for owner in (torch, torch.Tensor) for name in ("tanh", "tanh_")),
    ),
    "sigmoid": (
        (torch.nn.functional, "sigmoid"),
        *((owner, name) for owner in (torch, torch.Tensor) for name in ("sigmoid", "sigmoid_")),
    ),
}
"""Kind of activation → where it can be called."""
OF_ITS_OWN = (nn.ReLU, nn.ReLU6, nn.Tanh, nn.Sigmoid)
"""Modules that are nothing but the function: their name is that of the place."""
WEIGHTED = (nn.Linear, nn.modules.conv._ConvNd, nn.Bilinear)
NORMS = (nn.modules.batchnorm._NormBase, nn.LayerNorm, nn.GroupNorm)

is_compiling = torch.compiler.is_compiling
this_thread = threading.get_ident


def run_directly(function: Callable[..., None], *arguments: Any) -> None:
    """For a process of ours, where nothing need be guarded or metered."""
    function(*arguments)


def something_is_compiled() -> bool:
    """Whether torch.compile was used: what it compiles must not see functions that are replaced for a while."""
    frames = sys.modules.get("torch._dynamo.eval_frame")
    return frames is not None and any(frames.cached_backends.values())  # None stands for what is not compiled


class Layers:
    """All places of a model, in the order of their first call."""

    def __init__(self, model: nn.Module, *, with_ranges: bool = False) -> None:
        """`with_ranges`: the ranges of the first outputs are wanted, too."""
        self.calls = 0
        """Of the model, that were looked at."""
        self._with_ranges = with_ranges
        self._places: dict[str, Watched] = {}
        self._names = {id(module): name for name, module in model.named_modules()}
        self._has_norm = any(isinstance(module, NORMS) for module in model.modules())
        self._order = itertools.count()
        self._weighted: dict[str, int] = {}
        """Module with weight matrices of its own → when it was first entered."""
        self._used: set[Place] = set()
        """Through which ReLUs were called."""
        self._patches = Patches()
        self._stack: list[nn.Module] = []
        """Modules that are being called, the innermost last."""
        self._count: dict[str, int] = {}
        self._run: Run = run_directly
        self._thread = this_thread()
        self._inside = False
        self._without_gradients = False
        self._spatial = 0
        """Dimensions behind that of the units, as the newest layer with weights left them."""

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Looks at the call of the model that is made within, gradients or not."""
        self.begin(run_directly)
        self._without_gradients = True
        try:
            yield
        finally:
            self._without_gradients = False
            self.end()

    def begin(self, run: Run) -> None:
        """The model is about to be called."""
        self.calls += 1
        self._run, self._thread = run, this_thread()
        self._stack.clear()
        self._count.clear()
        self._spatial = 0
        self._patches.replace(nn.Module, "__call__", self._call)
        for kind, places in FUNCTIONS.items():
            for place in places:
                if self._wants(kind, place) and hasattr(*place):
                    self._patches.replace(*place, self._function(kind, place))

    def _wants(self, kind: str, place: Place) -> bool:
        """All at first; later only whether the units of known places still fire."""
        return self.calls <= WINDOW_CALLS or (kind == "relu" and place in self._used)

    def end(self) -> None:
        """The call is over, or has raised."""
        self._patches.remove()

    def _call(self, original: Function) -> Function:
        def call(module: nn.Module, *args: Any, **kwargs: Any) -> Any:
            name = self._names.get(id(module))
            if name is None or self._thread != this_thread() or is_compiling():
                return original(module, *args, **kwargs)
            self._stack.append(module)
            try:
                self._run(self._enter, module, name)
                output = original(module, *args, **kwargs)
            finally:
                self._stack.pop()
            if self.calls == 1 and isinstance(module, WEIGHTED):
                self._run(self._look, name, "weights", output)
            return output

        return call

    def _enter(self, module: nn.Module, name: str) -> None:
        if name in self._weighted or any(p.ndim > 1 for p in module.parameters(recurse=False)):
            self._weighted.setdefault(name, next(self._order))
            self._spatial = len(module.kernel_size) if isinstance(module, nn.modules.conv._ConvNd) else 0

    def _function(self, kind: str, place: Place) -> Callable[[Function], Function]:
        def wrap(original: Function) -> Function:
            def call(*args: Any, **kwargs: Any) -> Any:
                if self._inside or self._thread != this_thread() or is_compiling():
                    return original(*args, **kwargs)
                self._inside = True
                try:
                    output = original(*args, **kwargs)
                finally:
                    self._inside = False
                self._run(self._see, kind, place, output)
                return output

            return call

        return wrap

    def _see(self, kind: str, place: Place, output: Any) -> None:
        """An activation gave this; one without a gradient is of a part that does not learn."""
        if not isinstance(output, torch.Tensor) or not (output.requires_grad or self._without_gradients):
            return
        if kind == "relu":
            self._used.add(place)
        owner = self._stack[-1] if self._stack else None
        name = "" if owner is None else self._names[id(owner)]
        self._look(name if isinstance(owner, OF_ITS_OWN) else f"{name}.{kind}".lstrip("."), kind, output)

    def _look(self, name: str, kind: str, output: Any) -> None:
        if not isinstance(output, torch.Tensor) or not has_numbers(output):
            return
        count = self._count[name] = self._count.get(name, 0) + 1
        if count > 1:
            name = f"{name} ({count})"
        if name not in self._places:
            self._places[name] = Watched(name, kind, next(self._order), with_range=self._with_ranges)
        self._places[name].look(output, self._spatial)

    # -- what was seen ----------------------------------------------------------------------------------

    @property
    def fires(self) -> bool:
        """There are ReLUs in it."""
        return bool(self._used)

    def end_window(self) -> bool:
        """Begins another window for each place whose own is full; whether there is one."""
        return sum(place.end_window() for place in self._places.values()) > 0

    def ranges(self) -> Iterator[ValueRange]:
        """Of the first output of each place."""
        return (place.range for place in self._places.values() if place.range is not None)

    def signals(self, prefix: str = "") -> Iterator[LayerSignal]:
        """Of each place; `prefix` stands before its name."""
        last = max(self._weighted.values(), default=-1)
        return (place.signal(prefix, is_last=place.order > last) for place in self._places.values())

    def growth(self) -> float:
        """How much larger the spread of the last layer's output is than the first one's."""
        spreads = [place.std for place in self._places.values() if place.kind == "weights" and place.std > 0]
        return spreads[-1] / spreads[0] if len(spreads) > 1 and not self._has_norm else 1.0
