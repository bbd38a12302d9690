"""How much of the gradient each term of a loss makes up."""

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor

from sgdb_engine.noise_scale import norm_of

FIRST_LOOKS = frozenset((0, 1, 2, 5, 10, 20, 50))
"""Steps completed: early on it changes fast."""
EVERY = 100
"""Steps between two looks later on: each costs a backward pass a term."""


def is_due(step: int) -> bool:
    """Whether to look in the update after so many completed steps."""
    return step in FIRST_LOOKS or step % EVERY == 0


def gradient_shares(terms: Mapping[str, Tensor], parameters: Iterable[Tensor]) -> dict[str, Tensor]:
    """‖∇(wᵢ·Lᵢ)‖ / Σⱼ ‖∇(wⱼ·Lⱼ)‖ over all parameters, each 0-d on their device; their `.grad` stay as they are.

    Args:
        terms: term → its weighted loss, with its history, which is still needed afterwards.
        parameters: what is trained.
    """
    trained = [parameter for parameter in parameters if parameter.requires_grad]
    norms = {}
    for name, loss in terms.items():
        gradients = torch.autograd.grad(loss, trained, retain_graph=True, allow_unused=True)
        norms[name] = norm_of(None if each is None else each.float() for each in gradients).to(loss.device)
    total = torch.stack(list(norms.values())).sum()
    return {name: norm / total for name, norm in norms.items()}
