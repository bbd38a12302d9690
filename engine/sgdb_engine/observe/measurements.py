"""What is measured of a step when the budget allows: inputs, outputs, gradients, weights and how far they move."""

import operator
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch

from sgdb_engine.observe.histograms import histogram_columns, histograms
from sgdb_engine.observe.parameters import UpdateStatistics, columns_of, statistics_for
from sgdb_engine.observe.statistics import Ranges, device_ranges, host_array, ranges


class Measurements:
    """Of one step at a time: `begin()`, then what is called in the order of a step."""

    def __init__(self) -> None:
        self.columns: tuple[str, ...] = ()
        """Of `tensors`, as `<stat>/<tensor>`."""
        self.ranges: dict[str, Ranges | torch.Tensor] = {}
        """Of inputs and outputs by place; a float64 tensor [5] where they are on a device."""
        self.grad_norm: float | torch.Tensor | None = None
        self.tensors: torch.Tensor | None = None
        """Float32 [stats × tensors]."""
        self._names: dict[int, str] = {}
        self._optimizer: torch.optim.Optimizer | None = None
        self._tracked: tuple[torch.Tensor, ...] = ()
        self._tracked_names: list[str] = []
        self._ids: frozenset[int] = frozenset()
        self._statistics: UpdateStatistics | None = None
        self._kept = False

    def begin(self) -> None:
        """A new step begins."""
        self.ranges = {}
        self.grad_norm = self.tensors = None
        self._kept = False

    def name_parameters(self, model: torch.nn.Module) -> None:
        """The names under which the parameters of a model are reported."""
        for name, parameter in model.named_parameters():
            self._names.setdefault(id(parameter), name.replace("_orig_mod.", ""))
        self._tracked = ()

    def read_ranges(self, inputs: Any, output: Any) -> None:
        """The model was called."""
        for place, value in (("input", inputs), ("output", output)):
            for name, tensor in tensors_in(place, value).items():
                on_host = tensor.device.type == "cpu"
                self.ranges[name] = ranges(host_array(tensor)) if on_host else device_ranges(tensor)

    def before_clip(self, clipped: Iterable[torch.Tensor]) -> None:
        """The gradients are as backward left them. Before the first update these parameters are all that is known."""
        if self._optimizer is None:
            self._follow(clipped)
        self._read_gradients()

    def _read_gradients(self) -> None:
        if self._statistics is not None and self.grad_norm is None:
            self.grad_norm = self._statistics.before_clip()

    def before_update(self, optimizer: torch.optim.Optimizer, clipped: bool) -> None:
        """The weights are about to change. Only the first optimizer is followed."""
        self._optimizer = self._optimizer or optimizer
        if optimizer is not self._optimizer:
            self.grad_norm = None
            return
        self._follow(parameter for group in optimizer.param_groups for parameter in group["params"])
        if not clipped:
            self._read_gradients()
        if self._statistics is not None and self.grad_norm is not None:
            self._statistics.before_update()
            self._kept = True

    def after_update(self) -> None:
        """The weights have changed."""
        if self._statistics is not None and self._kept:
            self.tensors = self._statistics.after_update()

    def histograms(self) -> tuple[tuple[str, ...], torch.Tensor | None]:
        """Columns and values, float32, of the distribution of each parameter; nothing where none is followed."""
        if not self._tracked:
            return (), None
        return histogram_columns(self._tracked_names), histograms(self._tracked)

    def all_in(self, parameters: Sequence[torch.Tensor]) -> bool:
        """Whether these are all the parameters that are followed, perhaps among others."""
        if len(parameters) == len(self._tracked) and all(map(operator.is_, parameters, self._tracked)):
            return True
        return self._ids <= set(map(id, parameters))

    def _follow(self, parameters: Iterable[torch.Tensor]) -> None:
        """Notices parameters that were added, frozen or thawed; what was read of others does not count."""
        tracked = tuple(parameter for parameter in parameters if parameter.requires_grad)
        if tuple(map(id, tracked)) == tuple(map(id, self._tracked)):
            return
        self._tracked, self._ids = tracked, frozenset(map(id, tracked))
        self._tracked_names = unique([self._names.get(id(p), f"param.{i}") for i, p in enumerate(tracked)])
        self.columns = columns_of(self._tracked_names)
        self._statistics = self.grad_norm = None
        self._statistics = statistics_for(tracked) if tracked else None


def unique(names: Sequence[str]) -> list[str]:
    """Two models may have parameters of the same name: the second one becomes `name~2`."""
    seen: Counter[str] = Counter()
    seen_names = []
    for name in names:
        seen[name] += 1
        seen_names.append(name if seen[name] == 1 else f"{name}~{seen[name]}")
    return seen_names


def tensors_in(place: str, value: Any) -> dict[str, torch.Tensor]:
    """The dense real tensors in what a model takes or gives, by column prefix.

    `input`, or `input.<name or index>` where there are several.
    """
    found: dict[str, torch.Tensor] = {}

    def visit(name: str, item: Any) -> None:
        if isinstance(item, torch.Tensor):
            if item.layout == torch.strided and not item.is_nested and not item.is_complex():
                found[name] = item
        elif isinstance(item, Mapping):
            for key, inner in item.items():
                visit(f"{name}.{key}", inner)
        elif isinstance(item, (list, tuple)):
            for i, inner in enumerate(item):
                visit(f"{name}.{i}", inner)

    visit(place, value)
    return {place: next(iter(found.values()))} if len(found) == 1 else found
