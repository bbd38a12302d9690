"""SGD with momentum as an exponential moving average of the gradients."""

from collections.abc import Callable, Iterable
from typing import Any, overload

import torch
from torch import nn
from torch.optim import Optimizer


class EmaMomentum(Optimizer):
    """m ← β · m + (1 − β) · g, θ ← θ − lr · m, beginning with m = 0; g = gradient + weight_decay · θ.

    PyTorch's SGD with momentum=β, dampening=β begins with m = g instead, so that its first step is 1/(1 − β) times as
    long.
    """

    def __init__(
        self, parameters: Iterable[nn.Parameter], lr: float, beta: float, weight_decay: float = 0.0
    ) -> None:
        super().__init__(parameters, {"lr": lr, "beta": beta, "weight_decay": weight_decay})

    @overload
    def step(self, closure: None = None) -> None: ...
    @overload
    def step(self, closure: Callable[[], float]) -> float: ...
    def step(self, closure: Callable[[], float] | None = None) -> float | None:
        """One update; the closure, where there is one, computes the loss and its gradients first."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            self._update(group)
        return loss

    @torch.no_grad()
    def _update(self, group: dict[str, Any]) -> None:
        parameters = [p for p in group["params"] if p.grad is not None]
        if not parameters:
            return
        gradients = [p.grad for p in parameters]
        if group["weight_decay"]:
            gradients = list(torch._foreach_add(gradients, parameters, alpha=group["weight_decay"]))
        for parameter in parameters:
            if not self.state[parameter]:
                self.state[parameter]["average"] = torch.zeros_like(parameter)
        averages = [self.state[p]["average"] for p in parameters]
        torch._foreach_mul_(averages, group["beta"])
        torch._foreach_add_(averages, gradients, alpha=1 - group["beta"])
        torch._foreach_add_(parameters, averages, alpha=-group["lr"])
