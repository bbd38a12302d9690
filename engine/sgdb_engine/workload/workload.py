"""What a training run is made of."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from sgdb_engine.errors import TargetError


@dataclass(frozen=True, kw_only=True)
class Workload:
    """Model, optimizer, batches and what is minimised: `loss(output, target)` on batches (input, target), or
    `step(model, batch)`, which gives the loss itself. Exactly one of the two.

    Raises TargetError where that is not so.
    """

    model: nn.Module
    optimizer: Optimizer
    loss: Callable[[Any, Any], Tensor] | None = None
    step: Callable[[nn.Module, Any], Tensor] | None = None
    train: Iterable[Any]
    val: Iterable[Any] | None = None
    schedule: LRScheduler | None = None
    """Stepped once after each optimizer step."""
    epochs: int | None = None
    """Passes over the batches; None: until it is stopped. Of a config, the config says."""
    metrics: Mapping[str, Callable[[Any, Any], Tensor]] = field(default_factory=dict)
    """Name → metric(output, target), a mean over the batch."""

    def __post_init__(self) -> None:
        if (self.loss is None) == (self.step is None):
            raise TargetError("a Workload needs either loss= or step=, and not both")
        if self.epochs is not None and self.epochs < 1:
            raise TargetError(
                f"a Workload's epochs = {self.epochs}: at least 1, or None to train until it is stopped"
            )
