"""What half precision does to weights and gradients in the first steps: updates and gradients that become 0."""

from collections.abc import Iterable
from typing import Any

import torch
from torch import nn

from sgdb_engine.observe.landing import Landing
from sgdb_engine.observe.statistics import local_part
from sgdb_engine.observe.trainee import parameters_of
from sgdb_engine.witness.structure import full_rate

UPDATES, LEAST_UPDATES = 20, 10
"""After which weights are compared with what they were; at the end of a run fewer are enough."""
VALUES = 4096
"""Of each tensor, that are compared."""
WARM = 0.5
"""Share of the full learning rate: while it warms up, updates are small on purpose."""
COMPENSATED = ("kahan", "compensat", "master", "shift")
"""Names in the state of an optimizer that keeps what rounding loses."""
NEARLY = 0.5
"""Share of the values that are not 0, below the smallest normal float16."""
SMALLEST = torch.finfo(torch.float16).smallest_normal
HALVES = (torch.float16, torch.bfloat16)


class LostUpdates:
    """Weights of 16 bits: which of them stay as they are, update after update, although they have a gradient."""

    def __init__(self) -> None:
        self.kind = ""
        """Of the weights; '' while none are followed."""
        self._kept: list[tuple[torch.Tensor, torch.Tensor, torch.Tensor]] = []
        """Parameter, its first values at the start, and whether they have had a gradient."""
        self._optimizer = 0
        self._without: set[int] = set()
        """Optimizers that have none, or that make up for it."""
        self._updates = 0
        self._share: Landing | None = None

    def before_update(self, optimizer: Any) -> None:
        """Its gradients are complete."""
        if self._share is not None or id(optimizer) in self._without:
            return
        if self._kept and id(optimizer) != self._optimizer:
            return
        if not self._kept:
            self._begin(optimizer)
        elif self._updates == 1 and any(
            _is_compensated(optimizer.state.get(p, {})) for p, _, _ in self._kept
        ):
            self._kept, self._updates = [], 0  # its state is made in its first step
            self._without.add(id(optimizer))
        elif self._updates == UPDATES:
            self._share, self._kept = self._measure(), []
        self._updates += bool(self._kept)
        for parameter, _, wanted in self._kept:
            if parameter.grad is not None and parameter.grad.layout == torch.strided:
                wanted |= _some(parameter.grad) != 0

    def _begin(self, optimizer: Any) -> None:
        halves = [p for p in parameters_of(optimizer) if p.dtype in HALVES and p.requires_grad and p.numel()]
        if not halves:
            self._without.add(id(optimizer))
            return
        wanted = [p for p in _trained_in_full(optimizer) if p.dtype in HALVES and p.grad is not None]
        if not wanted:
            return
        self.kind = str(wanted[0].dtype).removeprefix("torch.")
        self._optimizer = id(optimizer)
        self._kept = [(p, _some(p).clone(), torch.zeros_like(_some(p), dtype=torch.bool)) for p in wanted]

    def _measure(self) -> Landing:
        lost = [((_some(p) == before) & wanted).sum() for p, before, wanted in self._kept]
        had = [wanted.sum() for _, _, wanted in self._kept]
        return Landing([torch.stack(lost).sum() / torch.stack(had).sum()])  # NaN where none had a gradient

    @property
    def share(self) -> float:
        """Of the weights with a gradient, that so many updates left as they were."""
        if self._share is None and self._updates > LEAST_UPDATES and self._kept[0][0].is_cpu:
            return self._measure().value
        return self._share.value if self._share is not None and self._share.is_here else 0.0


def _trained_in_full(optimizer: Any) -> Iterable[torch.Tensor]:
    """Parameters whose learning rate is not that of the beginning of a warm-up."""
    for group in optimizer.param_groups:
        full = full_rate(optimizer, group)
        if full is not None and float(group["lr"]) >= WARM * full > 0:
            yield from (p for p in group["params"] if p.requires_grad and p.numel())


def _is_compensated(state: Any) -> bool:
    return any(word in str(key).lower() for key in state for word in COMPENSATED)


def _some(tensor: torch.Tensor) -> torch.Tensor:
    return local_part(tensor).detach().flatten()[:VALUES]


class HalfGradients:
    """Gradients that are computed in float16: how many are 0, and how many nearly."""

    def __init__(self) -> None:
        self._are_computed = False
        """In float16."""
        self._shares: list[float] = []
        """Of each update: those that are 0, where most others are nearly."""

    @property
    def underflown(self) -> float:
        """The smallest of these shares."""
        return min(self._shares, default=0.0)

    def before_call(self, model: nn.Module) -> None:
        """It is about to be called with gradients."""
        parameter = next(model.parameters(), None)
        if parameter is not None and not self._are_computed:
            self._are_computed = parameter.dtype is torch.float16 or _casts(parameter.device.type)

    def before_update(self, optimizer: Any, models: Iterable[nn.Module]) -> None:
        """Its gradients are complete; tables of embeddings, of which few rows are used, are left out."""
        if not self._are_computed:
            return
        tables = {id(m.weight) for model in models for m in model.modules() if isinstance(m, nn.Embedding)}
        zero = tiny = whole = tensors = 0
        for parameter in parameters_of(optimizer):
            gradient = parameter.grad
            if gradient is None or gradient.layout != torch.strided or id(parameter) in tables:
                continue
            if gradient.ndim >= 2:
                counts = _counts(local_part(gradient).detach().flatten(1))
                zero, tiny, whole = zero + counts[0], tiny + counts[1], whole + counts[2]
                tensors += 1
        if tensors:
            share, nearly = (zero / whole, tiny / max(1, whole - zero)) if whole else (1.0, 1.0)
            self._shares.append(share if nearly > NEARLY else 0.0)


def _casts(device: str) -> bool:
    """Whether autocast computes in float16 there."""
    if not torch.amp.is_autocast_available(device) or not torch.is_autocast_enabled(device):
        return False
    return torch.get_autocast_dtype(device) is torch.float16


def _counts(gradient: torch.Tensor) -> tuple[int, int, int]:
    """Zeros, values below the smallest normal float16 that are not 0, and all, where row and column are not all 0.

    Rows that are 0 altogether are of units that did not fire, columns of inputs that are 0.
    """
    size = gradient.float().abs()
    size = size[size.amax(1) > 0]
    size = size[:, size.amax(0) > 0] if size.numel() else size
    zeros = int((size == 0).sum())
    return zeros, int((size < SMALLEST).sum()) - zeros, size.numel()
