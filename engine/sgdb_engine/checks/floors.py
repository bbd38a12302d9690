"""The lowest loss that one batch allows: where equal inputs have different targets, no model can tell them apart."""

import hashlib
from collections import defaultdict
from collections.abc import Callable, Iterator

import torch
from torch import Tensor


def floor_of(function: str, inputs: Tensor, target: Tensor, *, summed: bool = False) -> float | None:
    """The lowest loss that one batch allows; None where the function's is not known.

    Classes: the conditional entropy, in nats, of the target given the input; in a text, given the characters before it,
    since a causal model sees no others. Numbers: the spread of the targets of equal inputs.

    Args:
        function: its name in torch.nn.functional.
        inputs: of the model, one row an example.
        target: of the loss.
        summed: the loss is the sum over all targets, not their mean.
    """
    lowest = LOWEST.get(function)
    if lowest is None:
        return None
    if is_text(inputs, target):
        target = target.reshape(inputs.shape)
    if target.ndim == 0 or len(inputs) != len(target):
        return 0.0
    kept = target if target.is_floating_point() else target[target != IGNORED]
    total = sum(map(lowest, _twins(inputs, target)))
    return total if summed else total / max(1, kept.numel())


def is_text(inputs: Tensor, target: Tensor) -> bool:
    """A target for each of the numbers of a row."""
    whole = not inputs.is_floating_point() and not target.is_floating_point()
    return whole and inputs.ndim == 2 and inputs.shape[1] > 1 and inputs.numel() == target.numel()


def _twins(inputs: Tensor, target: Tensor) -> Iterator[Tensor]:
    """The targets of each set of equal inputs that has more than one member: float64 [members, ...]."""
    members: dict[bytes, list[Tensor]] = defaultdict(list)
    text = is_text(inputs, target) and inputs.shape == target.shape
    for row, wanted in zip(inputs.cpu(), target.cpu(), strict=True):
        for key, value in zip(_prefixes(row), wanted, strict=True) if text else ((_key(row), wanted),):
            if text and value == IGNORED:
                continue
            members[key].append(value)
    return (torch.stack(group).double() for group in members.values() if len(group) > 1)


def _key(row: Tensor) -> bytes:
    return hashlib.blake2b(_bytes(row), digest_size=16).digest()


def _prefixes(row: Tensor) -> Iterator[bytes]:
    seen = hashlib.blake2b(digest_size=16)
    for token in row:
        seen.update(_bytes(token))
        yield seen.copy().digest()


def _bytes(values: Tensor) -> bytes:
    """Equal for equal values: −0.0 is 0.0."""
    return (values.double() + 0.0).numpy().tobytes()


def _entropy(classes: Tensor) -> float:
    """Sum of −ln of the share of each target's own class."""
    counts = torch.unique(classes, return_counts=True)[1].double()
    return -float((counts * (counts / counts.sum()).log()).sum())


def _squares(numbers: Tensor) -> float:
    return float((numbers - numbers.mean(0)).square().sum())


def _absolutes(numbers: Tensor) -> float:
    return float((numbers - numbers.median(0).values).abs().sum())


def _smooth_absolutes(numbers: Tensor) -> float:
    """At the number where the slope of the loss, which rises from one end to the other, is 0: by halving."""
    low, high = numbers.amin(0), numbers.amax(0)
    for _ in range(60):
        middle = (low + high) / 2
        rises = (middle - numbers).clamp(-1, 1).sum(0) > 0
        low, high = torch.where(rises, low, middle), torch.where(rises, middle, high)
    return float(torch.nn.functional.smooth_l1_loss(low.expand_as(numbers), numbers, reduction="sum"))


IGNORED = -100
"""PyTorch's number of a target that is left out."""
LOWEST: dict[str, Callable[[Tensor], float]] = {
    "cross_entropy": _entropy,
    "nll_loss": _entropy,
    "binary_cross_entropy": _entropy,
    "binary_cross_entropy_with_logits": _entropy,
    "mse_loss": _squares,
    "l1_loss": _absolutes,
    "smooth_l1_loss": _smooth_absolutes,
}
"""Targets that one output must do for → the lowest sum of their losses."""
