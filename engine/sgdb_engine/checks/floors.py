"""The lowest loss that one batch allows: where equal inputs have different targets, no model can tell them apart."""

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterator

import torch
from torch import Tensor

from sgdb_engine.config.records import LossTerm


def floor_of(terms: tuple[LossTerm, ...], inputs: Tensor, target: Tensor) -> float:
    """The weighted sum of the floors of a config's losses on one batch.

    Classes: the conditional entropy, in nats, of the target given the input; in a text, given the characters before it,
    since a causal model sees no others. Numbers: the spread of the targets of equal inputs.
    """
    return sum(term.weight * FLOORS[term.name](list(_groups(inputs, target))) for term in terms)


def blind_of(terms: tuple[LossTerm, ...], target: Tensor) -> float:
    """What a model reaches on this batch without looking at its input: always the class frequencies, or the mean."""
    targets = target.flatten() if not target.is_floating_point() else target
    return sum(term.weight * FLOORS[term.name]([targets.cpu().double()]) for term in terms)


def _groups(inputs: Tensor, target: Tensor) -> Iterator[Tensor]:
    """The targets of each set of equal inputs, one after the other."""
    members: dict[Hashable, list[Tensor]] = defaultdict(list)
    is_text = not inputs.is_floating_point() and inputs.ndim == 2 and inputs.shape == target.shape
    for row, wanted in zip(inputs.cpu(), target.cpu(), strict=True):
        if is_text:
            for place in range(len(row)):
                members[row[: place + 1].numpy().tobytes()].append(wanted[place])
        else:
            members[row.numpy().tobytes()].append(wanted)
    for group in members.values():
        yield torch.stack(group).double()


def _entropy(groups: list[Tensor]) -> float:
    """Mean over all targets of −ln of the share that their own class has in their group."""
    total, count = 0.0, 0
    for group in groups:
        shares = torch.unique(group, return_counts=True)[1].double() / len(group)
        total -= float((shares * shares.log()).sum()) * len(group)
        count += len(group)
    return total / count


def _spread(
    distance: Callable[[Tensor], Tensor], centre: Callable[[Tensor], Tensor]
) -> Callable[[list[Tensor]], float]:
    def mean_distance(groups: list[Tensor]) -> float:
        distances = [distance(group - centre(group)) for group in groups]
        return float(torch.cat([d.reshape(-1) for d in distances]).mean())

    return mean_distance


def _mean(group: Tensor) -> Tensor:
    return group.mean(0)


def _median(group: Tensor) -> Tensor:
    return group.median(0).values


FLOORS: dict[str, Callable[[list[Tensor]], float]] = {
    "cross_entropy": _entropy,
    "binary_cross_entropy": _entropy,
    "mse": _spread(torch.square, _mean),
    "l1": _spread(torch.abs, _median),
    "smooth_l1": _spread(lambda d: torch.where(d.abs() < 1, 0.5 * d * d, d.abs() - 0.5), _median),
}
