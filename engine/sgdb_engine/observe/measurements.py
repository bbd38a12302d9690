"""What is measured of a step when the budget allows: inputs, outputs, gradients, weights and how far they move."""

import operator
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch

from sgdb_engine.observe.device_statistics import DeviceStatistics, copies_of
from sgdb_engine.observe.histograms import histogram_columns, histograms
from sgdb_engine.observe.parameters import UpdateStatistics, columns_of, statistics_for
from sgdb_engine.observe.readback import Value, has_values
from sgdb_engine.observe.statistics import (
    Ranges,
    columns_for_ranges,
    device_ranges,
    host_array,
    is_shard,
    on_host,
    ranges,
    share_of,
)
from sgdb_engine.ranks.place import own_place

Parameters = Sequence[torch.Tensor]
NamesOf = Callable[[Parameters], Sequence[str]]
Finisher = Callable[[np.ndarray], np.ndarray]

MOST_KEPT = 2**24
"""Values of a call that are copied, to be measured with the weights: more would crowd a GPU during the backward."""


class UpdateMeasurements:
    """Of one optimizer's parameters, one step at a time: `begin()`, then what is called in the order of a step."""

    def __init__(self, names_of: NamesOf) -> None:
        """`names_of` gives the names under which parameters are reported."""
        self.columns: tuple[str, ...] = ()
        """Of `tensors`, as `<stat>/<tensor>`."""
        self.grad_norm: Value | None = None
        """Global, unscaled, before any clipping; of what this rank holds where parameters are sharded."""
        self.tensors: torch.Tensor | None = None
        """Of this step: numbers for `finisher`."""
        self.finisher: Finisher | None = None
        """Makes of those numbers, when they are on the host, one for each of `columns` and of `along_columns`."""
        self.along_columns: tuple[str, ...] = ()
        """Of inputs and outputs that were measured with the weights."""
        self.tracked: tuple[torch.Tensor, ...] = ()
        """The parameters that are measured: those that can be trained."""
        self._names_of = names_of
        self._names: list[str] = []
        self._ids: frozenset[int] = frozenset()
        self._statistics: UpdateStatistics | None = None
        self._kept = False

    def begin(self) -> None:
        """A new step begins."""
        self.grad_norm = self.tensors = self.finisher = None
        self.along_columns = ()
        self._kept = False

    def read_gradients(self, scale: Value = 1.0) -> None:
        """The gradients are as backward left them, `scale` times too large; only the first call of a step counts."""
        if self.grad_norm is None and self.tracked:
            self._statistics = self._statistics or statistics_for(self.tracked, self._shares())
            self.grad_norm = self._statistics.before_clip(scale)

    @property
    def is_sharded(self) -> bool:
        """Whether ranks hold parts of the parameters: then `grad_norm` is that of this rank's part."""
        return any(map(is_shard, self.tracked))

    def _shares(self) -> list[float]:
        if not self.is_sharded:
            return [1.0] * len(self.tracked)
        return [share_of(parameter, own_place().rank) for parameter in self.tracked]

    def keep_weights(self) -> None:
        """The weights are about to change."""
        if self._statistics is not None and self.grad_norm is not None:
            self._statistics.before_update()
            self._kept = True

    def read_weights(self, calls: "CallRanges | None" = None) -> None:
        """The weights have changed. What is kept of `calls` on their device is measured with them."""
        statistics = self._statistics
        if statistics is None or not self._kept:
            return
        if calls is None or not isinstance(statistics, DeviceStatistics):
            self.tensors, self.finisher = statistics.after_update(), statistics.finish
            return
        along = calls.take_kept(statistics.device)
        self.tensors = statistics.after_update(list(along.values()))
        self.finisher = partial(statistics.finish, along=[copy.numel() for copy in along.values()])
        self.along_columns = tuple(column for place in along for column in columns_for_ranges(place))

    def histograms(self) -> Iterator[tuple[tuple[str, ...], torch.Tensor]]:
        """Columns and values, float32, of the distributions of the parameters, and of the gradients there are."""
        if self.tracked:
            yield histogram_columns("weights", self._names), histograms(self.tracked)
        gradients = {
            name: p.grad for name, p in zip(self._names, self.tracked, strict=True) if p.grad is not None
        }
        if gradients:
            yield histogram_columns("gradients", list(gradients)), histograms(list(gradients.values()))

    def all_in(self, parameters: Parameters) -> bool:
        """Whether these are all the parameters that are followed, perhaps among others."""
        if len(parameters) == len(self.tracked) and all(map(operator.is_, parameters, self.tracked)):
            return True
        return self._ids <= set(map(id, parameters))

    def are(self, parameters: Parameters) -> bool:
        """Whether these are the parameters that are followed, perhaps with frozen ones between them."""
        return len(parameters) == len(self.tracked) or sum(p.requires_grad for p in parameters) == len(
            self.tracked
        )

    def follow(self, parameters: Iterable[torch.Tensor]) -> None:
        """Notices parameters that were added, frozen or thawed; what was read of others does not count."""
        tracked = tuple(parameter for parameter in parameters if parameter.requires_grad)
        if tuple(map(id, tracked)) == tuple(map(id, self.tracked)):
            return
        self.tracked, self._ids = tracked, frozenset(map(id, tracked))
        self._statistics = self.grad_norm = None
        self.rename()

    def rename(self) -> None:
        """Asks for the names again: more is known of the models."""
        self._names = unique(list(self._names_of(self.tracked)))
        self.columns = columns_of(self._names)


def unique(names: Sequence[str]) -> list[str]:
    """Two models may have parameters of the same name: the second one becomes `name~2`."""
    seen: Counter[str] = Counter()
    seen_names = []
    for name in names:
        seen[name] += 1
        seen_names.append(name if seen[name] == 1 else f"{name}~{seen[name]}")
    return seen_names


class CallRanges:
    """What models were given and gave in one step, by model."""

    def __init__(self) -> None:
        self.prefix_of: Callable[[int], str | None] = lambda model: ""
        """What stands before the columns of a model, by its `id`; None where it is not one that is trained."""
        self._of: dict[int, dict[str, Ranges | torch.Tensor]] = {}
        self._kept: dict[int, dict[str, torch.Tensor]] = {}
        """Copies of what is on a device, not measured yet."""

    def begin(self) -> None:
        """A new step begins."""
        self._of, self._kept = {}, {}

    def has(self, model: int) -> bool:
        """Whether a call of this model was measured in this step."""
        return model in self._of

    def read(self, model: int, inputs: Any, output: Any) -> None:
        """A model was called; of several calls the last one that is told counts."""
        found: dict[str, Ranges | torch.Tensor] = {}
        late: dict[str, torch.Tensor] = {}
        room = MOST_KEPT
        for place, value in (("input", inputs), ("output", output)):
            for name, tensor in tensors_in(place, value).items():
                if on_host(tensor):
                    found[name] = ranges(host_array(tensor))
                elif tensor.numel() > room:
                    found[name] = device_ranges(tensor)
                else:
                    late[name] = tensor
                    room -= tensor.numel()
        self._of[model] = found
        self._kept.pop(model, None)
        if late:
            self._kept[model] = dict(zip(late, copies_of(late.values()), strict=True))

    def take_kept(self, device: torch.device) -> dict[str, torch.Tensor]:
        """Gives away what is kept on this device, flat, in float32, by place."""
        taken: dict[str, torch.Tensor] = {}
        for model, places in self._kept.items():
            prefix = self.prefix_of(model)
            for place in [place for place, copy in places.items() if copy.device == device]:
                copy = places.pop(place)
                if prefix is not None:
                    taken[prefix + place] = copy
        return taken

    def measure_kept(self) -> None:
        """What nobody took is measured by itself."""
        kept, self._kept = self._kept, {}
        for model, places in kept.items():
            self._of[model].update((place, device_ranges(copy)) for place, copy in places.items())

    def columns(self) -> dict[str, Value]:
        """Min, max, mean, std and the number of non-finite values of each place that was not taken, by column."""
        self.measure_kept()
        values: dict[str, Value] = {}
        for model, places in self._of.items():
            prefix = self.prefix_of(model)
            if prefix is not None:
                for place, stats in places.items():
                    values.update(zip(columns_for_ranges(prefix + place), stats, strict=True))
        return values


def tensors_in(place: str, value: Any) -> dict[str, torch.Tensor]:
    """The dense real tensors in what a model takes or gives, by column prefix.

    `input`, or `input.<name or index>` where there are several.
    """
    found: dict[str, torch.Tensor] = {}

    def visit(name: str, item: Any) -> None:
        if isinstance(item, torch.Tensor):
            dense = item.layout == torch.strided and not item.is_nested and not item.is_complex()
            if dense and has_values(item):
                found[name] = item
        elif isinstance(item, Mapping):
            for key, inner in item.items():
                visit(f"{name}.{key}", inner)
        elif isinstance(item, (list, tuple)):
            for i, inner in enumerate(item):
                visit(f"{name}.{i}", inner)

    visit(place, value)
    return {place: next(iter(found.values()))} if len(found) == 1 else found
