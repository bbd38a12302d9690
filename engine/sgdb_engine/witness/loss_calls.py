"""One call of a loss function of PyTorch's, looked at: what it was given, and what a model that knows nothing gets."""

import inspect
import math
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

import torch
from torch.nn import functional as F

from sgdb_engine.findings.facts import LossCall
from sgdb_engine.witness.graph import operation_of

OF_CLASSES = ("cross_entropy", "nll_loss")
OF_BITS = ("binary_cross_entropy", "binary_cross_entropy_with_logits")
OF_NUMBERS = ("mse_loss", "l1_loss", "smooth_l1_loss", "huber_loss")
TINY = 1e-12


class Call:
    """The arguments of a call by name, whichever way they were given."""

    def __init__(self, name: str, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        self.name = name
        bound = _signature(name).bind(*args, **kwargs)
        bound.apply_defaults()
        self.arguments: dict[str, Any] = bound.arguments
        self.input: torch.Tensor = self.arguments["input"].detach()
        self.target: torch.Tensor = self.arguments["target"].detach()

    @property
    def is_about_classes(self) -> bool:
        """Whether the targets are class numbers."""
        return (
            self.name in OF_CLASSES
            and not self.target.is_floating_point()
            and self.input.ndim == self.target.ndim + 1
        ) or (self.name in OF_CLASSES and self.input.ndim == 1 and self.target.ndim == 0)

    @property
    def kept(self) -> torch.Tensor:
        """The targets that are not left out."""
        if self.is_about_classes:
            return self.target[self.target != self.arguments["ignore_index"]]
        return self.target

    @property
    def smoothing(self) -> float:
        """Label smoothing."""
        return float(self.arguments.get("label_smoothing") or 0.0)

    @property
    def weighted(self) -> bool:
        """By class, example or sign."""
        return any(self.arguments.get(key) is not None for key in ("weight", "pos_weight"))

    @property
    def class_dim(self) -> int:
        """Where the scores of the classes stand."""
        return 1 if self.input.ndim > 1 else 0


@lru_cache(maxsize=64)
def _signature(name: str) -> inspect.Signature:
    return inspect.signature(inspect.unwrap(getattr(F, name)))


def takes_input_and_target(name: str) -> bool:
    """Whether it is a loss of one input against one target."""
    return {"input", "target"} <= set(_signature(name).parameters)


@torch.no_grad()
def looked_at(
    name: str, args: tuple[Any, ...], kwargs: Mapping[str, Any], value: torch.Tensor, location: str | None
) -> LossCall | None:
    """What there is to say of a call; None where its arguments are not tensors. Reads them: waits for a device.

    Args:
        name: of the function.
        args: as it was called.
        kwargs: as it was called.
        value: what it returned.
        location: file:line of the call.
    """
    if not takes_input_and_target(name):
        return LossCall(function=name, value=float(value.detach().float().mean()), location=location)
    call = Call(name, args, kwargs)
    if not call.input.numel() or not call.target.numel():
        return None
    low, high = (float(v) for v in torch.aminmax(call.input.float()))
    kept = call.kept if call.kept.numel() else call.target
    numbers = kept.double()
    return LossCall(
        function=name,
        value=float(value.detach().float().mean()),
        location=location,
        reduction=str(call.arguments.get("reduction", "mean")),
        input_shape=tuple(call.input.shape),
        target_shape=tuple(call.target.shape),
        node=operation_of(args[0] if args else kwargs["input"]),
        low=low,
        high=high,
        sums_to_one=_sums_to_one(call, low, high),
        normaliser=_normaliser(call),
        logit_std=float(call.input.float().std(unbiased=False)),
        classes=call.is_about_classes,
        target_low=float(numbers.min()),
        target_high=float(numbers.max()),
        target_mean=float(numbers.mean()),
        target_std=float(numbers.std(unbiased=False)),
        ignored=1.0 - call.kept.numel() / call.target.numel(),
        outputs=call.input.shape[call.class_dim] if name in OF_CLASSES and call.input.ndim else 0,
        baseline=baseline_of(call),
        blind=blind_of(call),
        floor=floor_of(call),
        accuracy=accuracy_of(call),
        is_plain=not call.weighted and not call.smoothing,
    )


def _sums_to_one(call: Call, low: float, high: float) -> bool:
    if call.name not in OF_CLASSES or not (low >= 0 and high <= 1 + 1e-6) or call.input.ndim < 2:
        return False
    sums = call.input.float().sum(call.class_dim)
    return bool(((sums - 1).abs() < 1e-3).all())


def _normaliser(call: Call) -> float:
    if call.name != "nll_loss" or call.input.ndim < 2:
        return 0.0
    return float(torch.logsumexp(call.input.float(), call.class_dim).abs().max())


def _reduced(call: Call, each: float, count: int) -> float:
    """`each`: the mean over `count` elements."""
    return each * count if call.arguments.get("reduction", "mean") == "sum" else each


def baseline_of(call: Call) -> float:
    """The loss of a model that has learnt nothing; NaN where none is known.

    Classes: ln C, since PyTorch's mean is by weight; the loss of probable or smoothed ones is not. Yes or no: ln 2 by
    sign weights. Numbers: that of an output of 0, E[y²] for the squared error.
    """
    if call.name in OF_CLASSES:
        outputs = call.input.shape[call.class_dim] if call.input.ndim else 0
        by_weight = call.is_about_classes and not call.smoothing and call.arguments["reduction"] == "mean"
        if not outputs or (call.weighted and not by_weight):
            return math.nan
        return _reduced(
            call, math.log(outputs), call.kept.numel() // (1 if call.is_about_classes else outputs)
        )
    if call.name in OF_BITS:
        if call.arguments.get("weight") is not None:
            return math.nan
        weight = call.arguments.get("pos_weight")
        each = 1 - call.target.double() + call.target.double() * (1.0 if weight is None else weight.double())
        return _reduced(call, math.log(2) * float(each.mean()), call.target.numel())
    if call.name in OF_NUMBERS:
        return float(_plain(call, torch.zeros_like(call.target)))
    return math.nan


def blind_of(call: Call) -> float:
    """The loss of the best constant guess: class frequencies, or the mean; NaN where none is known."""
    if call.weighted or call.smoothing:
        return math.nan
    if call.is_about_classes and call.kept.numel():
        counts = torch.unique(call.kept, return_counts=True)[1].double()
        shares = counts / counts.sum()
        return _reduced(call, -float((shares * shares.log()).sum()), call.kept.numel())
    if call.name in OF_BITS:
        p = call.target.double().mean(0).clamp(TINY, 1 - TINY)
        return _reduced(call, float(-(p * p.log() + (1 - p) * (1 - p).log()).mean()), call.target.numel())
    if call.name in OF_NUMBERS:
        wanted = call.target.float()
        guess = wanted.median(0).values if call.name == "l1_loss" and wanted.ndim else wanted.mean(0)
        return float(_plain(call, guess.expand_as(wanted)))
    return math.nan


def _plain(call: Call, guess: torch.Tensor) -> torch.Tensor:
    options: dict[str, Any] = {"reduction": "sum" if call.arguments.get("reduction") == "sum" else "mean"}
    for key in ("beta", "delta"):
        if key in call.arguments:
            options[key] = call.arguments[key]
    return _UNWRAPPED[call.name](guess.float(), call.target.float(), **options)


_UNWRAPPED: dict[str, Callable[..., torch.Tensor]] = {
    name: inspect.unwrap(getattr(F, name)) for name in OF_NUMBERS
}
"""Nobody is to see that they are called from here."""


def floor_of(call: Call) -> float:
    """The lowest loss that the targets alone allow: the entropy of smoothed or probable ones, else 0; NaN: unknown."""
    if call.weighted and (call.smoothing or call.target.is_floating_point()) and _is_between(call):
        return math.nan
    if call.is_about_classes and call.smoothing:
        classes, e = call.input.shape[call.class_dim], call.smoothing
        right, other = 1 - e + e / classes, e / classes
        each = -right * math.log(right) - (classes - 1) * other * math.log(other)
        return _reduced(call, each, call.kept.numel())
    if call.name == "cross_entropy" and call.target.is_floating_point():
        p = call.target.double()
        p = ((1 - call.smoothing) * p + call.smoothing / p.shape[call.class_dim]).clamp(min=TINY)
        rows = max(1, call.target.numel() // call.target.shape[call.class_dim])
        return _reduced(call, float(-(p * p.log()).sum()) / rows, rows)
    if call.name in OF_BITS:
        p = call.target.double().clamp(TINY, 1 - TINY)
        return _reduced(call, float(-(p * p.log() + (1 - p) * (1 - p).log()).mean()), call.target.numel())
    return 0.0


def _is_between(call: Call) -> bool:
    """Whether the targets are not certain."""
    target = call.target
    return bool(call.smoothing) or bool(((target > TINY) & (target < 1 - TINY)).any())


def accuracy_of(call: Call) -> float:
    """Share of targets that the input has right; NaN where that means nothing."""
    if call.is_about_classes:
        right = call.input.argmax(call.class_dim) == call.target
        kept = call.target != call.arguments["ignore_index"]
        return float(right[kept].double().mean()) if bool(kept.any()) else math.nan
    if call.name in OF_BITS and call.input.shape == call.target.shape:
        middle = 0.0 if call.name.endswith("logits") else 0.5
        return float(((call.input > middle) == (call.target > 0.5)).double().mean())
    return math.nan
