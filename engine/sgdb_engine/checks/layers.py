"""What the layers and activations of a model give, seen through hooks; for a child process, which may register some."""

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import nn

from sgdb_engine.events import ValueRange
from sgdb_engine.findings.facts import LayerSignal
from sgdb_engine.observe.patches import Patches
from sgdb_engine.observe.statistics import tensor_ranges

WATCHED_FORWARDS = 20
"""Over which a unit that never fires is called dead."""
TANH_END = 0.99
SIGMOID_END = 0.0067
"""Distance from 0 or 1 that |z| > 5 leaves."""
FUNCTIONS = {
    "relu": ((torch.nn.functional, "relu"), (torch, "relu")),
    "tanh": ((torch, "tanh"), (torch.nn.functional, "tanh")),
    "sigmoid": ((torch, "sigmoid"), (torch.nn.functional, "sigmoid")),
}
KINDS = {nn.ReLU: "relu", nn.ReLU6: "relu", nn.Tanh: "tanh", nn.Sigmoid: "sigmoid"}
WEIGHTED = (nn.Linear, nn.modules.conv._ConvNd, nn.RNNBase, nn.Bilinear)
NORMS = (nn.modules.batchnorm._NormBase, nn.LayerNorm, nn.GroupNorm)
GATED = (nn.RNNBase, nn.RNNCellBase, nn.MultiheadAttention)


class Watched:
    """One place."""

    def __init__(self, name: str, kind: str, order: int) -> None:
        self.name, self.kind, self.order = name, kind, order
        self.std = float("nan")
        self.range: ValueRange | None = None
        """Of its first output."""
        self.saturated = 0.0
        self.alive: torch.Tensor | None = None
        """Of each unit, whether it ever gave anything but 0."""

    def look(self, output: torch.Tensor, first: bool) -> None:
        """At one output."""
        values = output.detach()
        if first:
            low, high, mean, std, nonfinite = tensor_ranges(values).tolist()
            self.range = ValueRange("activation", self.name, low, high, mean, std, int(nonfinite))
            self.std = float(values.float().std(unbiased=False)) if values.numel() > 1 else 0.0
            if self.kind == "tanh":
                self.saturated = float((values.abs() > TANH_END).double().mean())
            elif self.kind == "sigmoid":
                self.saturated = float(((values < SIGMOID_END) | (values > 1 - SIGMOID_END)).double().mean())
        if self.kind == "relu" and values.ndim >= 2:
            unit = 1 if values.ndim == 4 else values.ndim - 1
            fires = (values != 0).movedim(unit, 0).reshape(values.shape[unit], -1).any(1)
            same = self.alive is not None and self.alive.shape == fires.shape
            self.alive = self.alive | fires if same and self.alive is not None else fires


class Layers:
    """All places of a model, in the order of their first call."""

    def __init__(self, model: nn.Module) -> None:
        self._places: dict[str, Watched] = {}
        self._stack: list[tuple[str, nn.Module]] = []
        self._calls: dict[str, int] = {}
        self.forwards = 0
        self.normalised = any(isinstance(module, NORMS) for module in model.modules())
        self._handles: list[Any] = []
        for name, module in model.named_modules():
            if type(module) in KINDS:
                self._handles.append(module.register_forward_pre_hook(self._begin_of_kind))
            if not list(module.children()) or type(module) in KINDS:
                self._handles.append(module.register_forward_hook(self._leaf(name)))
            elif module is not model:
                self._handles.append(module.register_forward_pre_hook(self._enter(name)))
        self._names = {id(m): n for n, m in model.named_modules()}
        self._handles.append(model.register_forward_pre_hook(self._begin))
        self._patches = Patches()
        for kind, places in FUNCTIONS.items():
            for owner, function in places:
                if hasattr(owner, function):
                    self._patches.replace(owner, function, self._function(kind))
        self._inside = 0
        self._owner = ""

    def stop(self) -> None:
        """No more is looked at."""
        for handle in self._handles:
            handle.remove()
        self._patches.remove()

    def _begin(self, module: nn.Module, args: Any) -> None:
        self.forwards += 1
        self._calls.clear()
        self._owner = ""

    def _begin_of_kind(self, module: nn.Module, args: Any) -> None:
        """The function that it calls is the layer itself."""
        self._inside += 1

    def _enter(self, name: str) -> Callable[..., None]:
        def enter(module: nn.Module, args: Any) -> None:
            self._owner = name

        return enter

    def _leaf(self, name: str) -> Callable[..., None]:
        def see(module: nn.Module, args: Any, output: Any) -> None:
            if type(module) in KINDS:
                self._inside -= 1
            kind = KINDS.get(type(module), "weights" if isinstance(module, WEIGHTED) else "")
            value = output[0] if isinstance(output, tuple) and output else output
            if kind and isinstance(value, torch.Tensor) and not isinstance(module, GATED):
                self._look(name, kind, value)

        return see

    def _function(self, kind: str) -> Callable[[Any], Any]:
        def wrap(original: Any) -> Any:
            def call(*args: Any, **kwargs: Any) -> Any:
                self._inside += 1
                try:
                    output = original(*args, **kwargs)
                finally:
                    self._inside -= 1
                if (
                    not self._inside
                    and isinstance(output, torch.Tensor)
                    and output.requires_grad | (self.forwards == 1)
                ):
                    name = f"{self._owner}.{kind}" if self._owner else kind
                    count = self._calls[name] = self._calls.get(name, 0) + 1
                    self._look(name if count == 1 else f"{name} ({count})", kind, output)
                return output

            return call

        return wrap

    def _look(self, name: str, kind: str, output: torch.Tensor) -> None:
        if not output.is_floating_point():
            return
        if name not in self._places:
            self._places[name] = Watched(name, kind, len(self._places))
        if self.forwards <= WATCHED_FORWARDS:
            self._places[name].look(output, self.forwards == 1)

    def ranges(self) -> Iterator[ValueRange]:
        """Of the first output of each place."""
        for place in sorted(self._places.values(), key=lambda place: place.order):
            if place.range is not None:
                yield place.range

    def signals(self) -> tuple[tuple[LayerSignal, ...], float]:
        """Of each place, and how much larger the last layer's output is than the first one's."""
        places = sorted(self._places.values(), key=lambda place: place.order)
        weighted = [place for place in places if place.kind == "weights"]
        last = max((place.order for place in weighted), default=-1)
        found = tuple(
            LayerSignal(
                name=place.name,
                kind=place.kind,
                std=place.std,
                dead=0.0 if place.alive is None else 1 - float(place.alive.double().mean()),
                saturated=place.saturated,
                is_last=place.order > last,
            )
            for place in places
        )
        spreads = [place.std for place in weighted if place.std > 0]
        growth = spreads[-1] / spreads[0] if len(spreads) > 1 and not self.normalised else 1.0
        return found, growth
