"""The lowest loss that one batch allows: where equal inputs have different targets, no model can tell them apart."""

import hashlib
from collections import defaultdict
from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from sgdb_engine.config.records import LossTerm


def floor_of(terms: tuple[LossTerm, ...], inputs: Tensor, target: Tensor) -> float:
    """The weighted sum of the floors of a config's losses on one batch.

    Classes: the conditional entropy, in nats, of the target given the input; in a text, given the characters before it,
    since a causal model sees no others. Numbers: the spread of the targets of equal inputs.
    """
    twins = list(_twins(inputs, target))
    return sum(term.weight * sum(map(LOWEST[term.name], twins)) / target.numel() for term in terms)


def blind_of(terms: tuple[LossTerm, ...], target: Tensor) -> float:
    """What a model reaches on this batch without looking at its input: always the class frequencies, or the mean."""
    targets = (target if target.is_floating_point() else target.flatten()).cpu().double()
    return sum(term.weight * LOWEST[term.name](targets) / target.numel() for term in terms)


def _twins(inputs: Tensor, target: Tensor) -> Iterator[Tensor]:
    """The targets of each set of equal inputs that has more than one member: float64 [members, ...]."""
    members: dict[bytes, list[Tensor]] = defaultdict(list)
    is_text = not inputs.is_floating_point() and inputs.ndim == 2 and inputs.shape == target.shape
    for row, wanted in zip(inputs.cpu(), target.cpu(), strict=True):
        for key, value in zip(_prefixes(row), wanted, strict=True) if is_text else ((_key(row), wanted),):
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


LOWEST: dict[str, Callable[[Tensor], float]] = {
    "cross_entropy": _entropy,
    "binary_cross_entropy": _entropy,
    "mse": _squares,
    "l1": _absolutes,
    "smooth_l1": _smooth_absolutes,
}
"""Targets that one output must do for → the lowest sum of their losses."""
