"""NaN and infinity in all training examples, where these are in memory: one batch may miss them."""

from typing import Any

import torch

from sgdb_engine.events import Finding
from sgdb_engine.workload.batches import InMemory

MOST_NAMED = 5
"""Features named in a message."""
ADVICE = "Clean or fill them before training: leave the examples out, or put the mean of the feature there."


def nonfinite_examples(loader: Any) -> Finding | None:
    """What is not finite in the inputs and targets of a loader, by feature (index within one example,
    flattened, from 0); None where all is finite or the examples are not in memory."""
    examples = getattr(loader, "dataset", None)
    if not isinstance(examples, InMemory):
        return None
    found = {"inputs": _by_feature(examples.x), "targets": _by_feature(examples.y)}
    counts = {what: sum(features.values()) for what, features in found.items() if features}
    if not counts:
        return None
    told = [_told(what, found[what]) for what in counts]
    return Finding(
        code="input-nonfinite",
        severity="error",
        step=0,
        message="; ".join(told),
        advice=ADVICE,
        where=tuple(f"{what}, feature {at}" for what in counts for at in list(found[what])[:MOST_NAMED]),
        evidence={**counts},
    )


def _by_feature(values: torch.Tensor) -> dict[int, int]:
    """Feature → how many of its values are not finite, features without any left out."""
    counts = (~values.isfinite()).reshape(len(values), -1).sum(0)
    return {int(at): int(counts[at]) for at in counts.nonzero().flatten()}


def _told(what: str, features: dict[int, int]) -> str:
    total = sum(features.values())
    values, are = ("value", "is") if total == 1 else ("values", "are")
    named = ", ".join(str(at) for at in list(features)[:MOST_NAMED])
    more = f" and {len(features) - MOST_NAMED} more" if len(features) > MOST_NAMED else ""
    word = "feature" if len(features) == 1 else "features"
    return f"{total} {values} of the training {what} {are} NaN or infinite, in {word} {named}{more} (from 0)"
