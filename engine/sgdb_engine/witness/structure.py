"""What the structure of models and optimizers alone says."""

import math
import weakref
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
import torch
from torch import nn

from sgdb_engine.findings.facts import LayerFacts, OptimizerFacts, Wiring

NORMS = (nn.modules.batchnorm._NormBase, nn.LayerNorm, nn.GroupNorm)
LAYER_OF = {
    "Softmax": (nn.Softmax, nn.Softmax2d),
    "LogSoftmax": (nn.LogSoftmax,),
    "Sigmoid": (nn.Sigmoid,),
    "Relu": (nn.ReLU,),
    "Tanh": (nn.Tanh,),
    "Hardtanh": (nn.Hardtanh, nn.ReLU6),
}


def has_modes(module: nn.Module) -> bool:
    """Whether training and eval mode differ for it."""
    return any(
        isinstance(m, nn.modules.batchnorm._BatchNorm)
        or (isinstance(m, nn.modules.dropout._DropoutNd) and m.p > 0)
        or (isinstance(m, nn.RNNBase | nn.MultiheadAttention) and m.dropout > 0)
        for m in module.modules()
    )


def layers_of(module: nn.Module) -> Iterable[LayerFacts]:
    """BatchNorms that learn their statistics, and dropouts."""
    for name, m in module.named_modules():
        if isinstance(m, nn.SyncBatchNorm):
            continue
        if isinstance(m, nn.modules.batchnorm._BatchNorm) and m.training:
            yield LayerFacts(name=name, kind="norm")
        elif isinstance(m, nn.modules.dropout._DropoutNd) and m.p > 0:
            yield LayerFacts(name=name, kind="dropout", p=m.p)


def starts_with_norm(module: nn.Module) -> bool:
    """Whether the first layer with parameters normalises."""
    first = next((m for m in module.modules() if any(True for _ in m.parameters(recurse=False))), None)
    return isinstance(first, NORMS)


def layer_of(operation: str, model: nn.Module | None) -> str:
    """The name of the last layer of a model that does this operation; '' where there is none."""
    kinds = LAYER_OF.get(operation)
    if kinds is None or model is None:
        return ""
    return next((name for name, m in reversed(list(model.named_modules())) if isinstance(m, kinds)), "")


def full_rate(optimizer: Any, group: dict[str, Any]) -> float | None:
    """The learning rate that a schedule starts from, or warms up to; None where there is none."""
    if "lr" not in group:
        return None
    known = [group.get("max_lr"), group.get("initial_lr")]
    if len(optimizer.param_groups) == 1:
        known.append(optimizer.defaults.get("lr"))
    return max(float(rate) for rate in (group["lr"], *known) if rate is not None)


def optimizer_facts(
    optimizer: Any,
    names_of: Callable[[Sequence[torch.Tensor]], Sequence[str]],
    location: str | None,
    steps: int,
) -> OptimizerFacts:
    """Of one optimizer, as it is now; its learning rate is the one that schedules start from.

    Args:
        optimizer: of PyTorch's kind.
        names_of: the names of parameters.
        location: where it was made.
        steps: how many it has made.
    """
    groups = optimizer.param_groups
    tensors = [p for group in groups for p in group["params"]]
    frozen = [p for p in tensors if not p.requires_grad]
    rates = [rate for group in groups if (rate := full_rate(optimizer, group)) is not None]
    return OptimizerFacts(
        kind=type(optimizer).__name__,
        location=location,
        lr=max(rates, default=math.nan),
        weight_decay=max((float(group.get("weight_decay") or 0.0) for group in groups), default=0.0),
        maximize=any(group.get("maximize") for group in groups),
        tensors=len(tensors),
        frozen=tuple(names_of(frozen)),
        steps=steps,
    )


@dataclass
class Seen:
    """What was counted of calls, backward passes and updates."""

    backwards: int = 0
    leftovers: "weakref.WeakKeyDictionary[Any, tuple[int, int]]" = field(
        default_factory=weakref.WeakKeyDictionary
    )
    """Optimizer → updates since whose predecessor that was looked for, and those without cleared gradients."""
    cleared: "weakref.WeakSet[Any]" = field(default_factory=weakref.WeakSet)
    """Optimizers whose gradients were found cleared at a backward since their last update."""
    eval_updates: int = 0
    without_backward: int = 0
    left_out: int = 0
    """Updates, by a scaler."""
    cut_off: bool = False
    layers: tuple[LayerFacts, ...] = ()
    places: dict[str, str | None] = field(default_factory=dict)
    """Where in the user's code the model, backward and the step are called."""
    reached: dict[torch.Tensor, None] = field(default_factory=dict)
    """Parameters in the graphs of the first losses."""
    made_at: "weakref.WeakKeyDictionary[Any, str | None]" = field(default_factory=weakref.WeakKeyDictionary)
    """Optimizer → where."""
    made: int = 0
    """Optimizers, those included that are gone."""
    stepped: "weakref.WeakKeyDictionary[Any, int]" = field(default_factory=weakref.WeakKeyDictionary)
    """Optimizer → how often."""

    def later(self, wiring: Wiring, val_calls_in_train_mode: int) -> Wiring:
        """The same with what goes on being counted when the first steps are over."""
        return msgspec.structs.replace(
            wiring,
            backwards=self.backwards,
            eval_updates=self.eval_updates,
            left_out_by_scaler=self.left_out,
            val_calls_in_train_mode=val_calls_in_train_mode,
        )


def wiring_of(
    seen: Seen,
    optimizers: Sequence[Any],
    names_of: Callable[[Sequence[torch.Tensor]], Sequence[str]],
    model: nn.Module | None,
    updates: int,
    batch: int,
    val_calls_in_train_mode: int,
    ended: bool,
) -> Wiring:
    """What was seen so far, in names and numbers.

    Args:
        seen: counted.
        optimizers: all that were made.
        names_of: the names of parameters.
        model: called last.
        updates: made so far.
        batch: rows that the model is given.
        val_calls_in_train_mode: calls of evaluations.
        ended: the training is over.
    """
    held = {id(p) for optimizer in optimizers for group in optimizer.param_groups for p in group["params"]}
    judged, leftover = max(seen.leftovers.values(), key=lambda each: each[1], default=(0, 0))
    outside = [p for p in seen.reached if id(p) not in held]
    return Wiring(
        updates=updates,
        backwards=seen.backwards,
        optimizers=tuple(
            optimizer_facts(o, names_of, seen.made_at.get(o), seen.stepped.get(o, 0)) for o in optimizers
        ),
        unoptimized=tuple(names_of(outside)),
        shared=len(seen.reached) - len(outside),
        reached=len(seen.reached),
        leftover=leftover / judged if judged else 0.0,
        judged_steps=judged,
        backward_location=seen.places.get("backward"),
        step_location=seen.places.get("step"),
        call_location=seen.places.get("call"),
        layers=seen.layers,
        batch=batch,
        eval_updates=seen.eval_updates,
        val_calls_in_train_mode=val_calls_in_train_mode,
        steps_without_backward=seen.without_backward,
        left_out_by_scaler=seen.left_out,
        cut_off=seen.cut_off,
        ended=ended,
        made=seen.made,
        model_parameters=len(list(model.parameters())) if model is not None else 0,
        parameters=sum(p.numel() for p in model.parameters() if p.requires_grad) if model is not None else 0,
    )
