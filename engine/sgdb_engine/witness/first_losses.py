"""The calls of loss functions in the first steps, and what they came to."""

import math
from typing import Any

import msgspec
import torch
from torch import nn

from sgdb_engine.findings.facts import LossCall, Losses
from sgdb_engine.witness.loss_calls import looked_at
from sgdb_engine.witness.structure import layer_of

MOST_CLASSES = 1000


class FirstLosses:
    """Those of the step under way, and of the steps before it."""

    def __init__(self) -> None:
        self._calls: list[LossCall] = []
        """Of the step under way."""
        self._steps: list[list[LossCall]] = []
        self._totals: list[float] = []
        self._targets: dict[int, torch.Tensor] = {}
        """By the number of the call."""
        self._seen_classes: set[int] = set()
        self._seen_targets = 0

    @property
    def newest(self) -> list[LossCall]:
        """Of the newest step."""
        return self._calls or (self._steps[-1] if self._steps else [])

    @property
    def of_classes(self) -> bool:
        """The first call of the step under way compares with class numbers."""
        return bool(self._calls) and self._calls[0].classes

    @property
    def target(self) -> torch.Tensor | None:
        """Of that call."""
        return self._targets.get(0)

    def called(
        self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any], value: Any, place: str | None
    ) -> torch.Tensor | None:
        """A loss function was called with gradients, from this place; returns its target where it counts."""
        call = looked_at(name, args, kwargs, value, place)
        if call is None or not (value.requires_grad or not self._calls):
            return None
        target = kwargs.get("target", args[1] if len(args) > 1 else None)
        self._calls.append(call)
        if not isinstance(target, torch.Tensor):
            return None
        self._targets[len(self._calls) - 1] = target
        return target

    def complete(self, first: torch.Tensor | None, root: nn.Module | None) -> None:
        """The model may have called the loss itself: only now is it known what it was called with."""
        for place, target in self._targets.items():
            call = self._calls[place]
            changes: dict[str, Any] = {"where": layer_of(call.node, root)}
            tokens = first is not None and call.classes and not first.is_floating_point()
            if first is not None and tokens and first.numel() == target.numel():
                same = first.reshape(-1) == target.reshape(-1)
                changes["target_is_input"] = float(same.double().mean())
            self._calls[place] = msgspec.structs.replace(call, **changes)
            self._count_classes(call, target)

    def _count_classes(self, call: LossCall, target: torch.Tensor) -> None:
        self._seen_targets += target.numel()
        if call.classes and len(self._seen_classes) < MOST_CLASSES:
            self._seen_classes |= set(torch.unique(target).tolist())

    def step_ends(self, loss: Any) -> None:
        """What was minimised is this; None where it is not known."""
        self._steps.append(self._calls)
        self._totals.append(math.nan if loss is None else float(loss))

    def begin_step(self) -> None:
        """What was called belongs to no step to come."""
        self._calls = []
        self._targets.clear()

    def facts(self, first: torch.Tensor | None) -> Losses | None:
        """So far; `first`: tensor that the model was called with."""
        steps = [calls for calls in self._steps if calls] or ([self._calls] if self._calls else [])
        if not steps:
            return Losses(totals=tuple(self._totals)) if self._totals else None
        firsts = [calls[0] for calls in steps]
        return Losses(
            calls=tuple(steps[0]),
            totals=tuple(self._totals),
            reported=tuple(sum(call.value for call in calls) if calls else math.nan for calls in self._steps),
            input_kind="" if first is None else "float" if first.is_floating_point() else "integer",
            classes_seen=len(self._seen_classes),
            targets_seen=self._seen_targets,
            always_sums_to_one=all(call.sums_to_one for call in firsts) and len(firsts) >= 3,
            target_low=min(call.target_low for call in firsts),
            target_high=max(call.target_high for call in firsts),
        )
