"""The experiment that finds most: can one minibatch be learnt by heart, by the user's step and by a safe one?"""

import math
from statistics import fmean
from typing import Any

import torch

from sgdb_engine.checks.experiment import Experiment, Setting, Weights, dropout_of, without_dropout
from sgdb_engine.checks.floors import floor_of
from sgdb_engine.checks.still import Still
from sgdb_engine.findings.facts import OneBatch
from sgdb_engine.findings.judgement import is_near_zero
from sgdb_engine.witness.first_step import Changed
from sgdb_engine.witness.structure import full_rate

SAFE_LR = 3e-3
BETAS = (0.9, 0.999)
EPSILON = 1e-8


class HeldBatch(Experiment):
    """The script's loop on its first minibatch, over and over."""

    steps = 200

    def __init__(self, setting: Setting) -> None:
        super().__init__(setting)
        self.losses = [setting.loss]
        self.floor = floor_of_batch(setting)
        self.dropout = 0.0

    change: Changed = staticmethod(lambda tensor: tensor)

    def prepare(self) -> None:
        """The batch is held, evaluations and accuracy are seen."""
        self.still = Still(self.setting.first, type(self).change)
        self.dropout = dropout_of(self.setting.model)
        self.still.before_call = self.before_call
        self.still.install()

    def before_call(self) -> None:
        """The model is about to be called."""

    def safe_point(self, loss: float) -> None:
        """One more loss."""
        self.still.next_step()
        self.losses.append(loss)
        self.child.tell("loss", loss)
        done = is_near_zero(self.losses, self.floor or 0.0) or not math.isfinite(loss)
        if len(self.losses) > self.steps or done:
            self.end()
        self.update()

    def update(self) -> None:
        """The weights are about to change."""

    def result(self) -> OneBatch:
        """The curve."""
        call, first = self.setting.call, self.setting.first
        return OneBatch(
            losses=tuple(self.losses),
            floor=self.floor,
            blind=call.blind if call is not None and math.isfinite(call.blind) else math.inf,
            accuracy=self.accuracy(),
            reason=self.why_not_judged(),
            rows=len(first.targets[0]) if first.targets and first.targets[0].ndim else 0,
            dropout=self.dropout,
        )

    def accuracy(self) -> float:
        """Of the newest step."""
        newest = self.observer.witness.newest_calls
        return newest[0].accuracy if newest else math.nan

    def why_not_judged(self) -> str:
        """Empty where the curve can be judged."""
        if self.still.is_still:
            return ""
        first = self.setting.first
        by_hand = first.iterator is None and not first.targets
        why = (
            "the loss is computed by hand from targets that come without a DataLoader"
            if by_hand
            else "the model is called differently from step to step"
        )
        return (
            f"the batch could not be held still: {why}; a function that returns a sgdb.Workload "
            "(module:function) can be checked"
        )


class UserStep(HeldBatch):
    """With the user's own optimizer, clipping and dropout; the learning rate is held at its full value."""

    name = "overfit"

    def __init__(self, setting: Setting) -> None:
        super().__init__(setting)
        self.steps, self.seconds = setting.steps, setting.seconds

    def prepare(self) -> None:
        super().prepare()
        self._rates = [
            (optimizer, [full_rate(optimizer, group) for group in optimizer.param_groups])
            for optimizer in self.setting.optimizers
        ]

    def update(self) -> None:
        for optimizer, rates in self._rates:
            for group, rate in zip(optimizer.param_groups, rates, strict=False):
                if rate is not None:
                    set_rate(group, rate)


class Rescue(HeldBatch):
    """The same model and loss with Adam at 3e-3, without dropout and weight decay: the control experiment."""

    name, seconds, steps = "rescue", 12.0, 600

    def prepare(self) -> None:
        super().prepare()
        self.dropout = 0.0
        without_dropout(self.setting.model)
        self._weights = Weights(self.setting.model, self.setting.parameters)
        self._adam = Adam(self.setting.parameters)
        self.update()  # the gradients of the first step are there
        for parameter in self.setting.parameters:
            parameter.grad = None

    def before_call(self) -> None:
        self._weights.put()

    def update(self) -> None:
        self._weights.wanted = self._adam.step()
        for parameter in self.setting.parameters:
            parameter.grad = None  # whoever does not clear them must not add them up


class ZeroInput(Rescue):
    """The same with all inputs zero: what is learnt without looking."""

    name, seconds, steps = "zero-input", 4.0, 60

    def prepare(self) -> None:
        first = self.setting.first
        first.calls = [(m, zeroed(args), zeroed(kwargs)) for m, args, kwargs in first.calls]
        super().prepare()


def zeroed(value: Any) -> Any:
    """Numbers become 0."""
    from sgdb_engine.witness.first_step import mapped

    return mapped(value, lambda t: torch.zeros_like(t) if t.is_floating_point() else t)


class Adam:
    """Adam in float32, whatever the weights are in (Kingma and Ba 2015); knows no weight decay."""

    def __init__(self, parameters: tuple[torch.Tensor, ...]) -> None:
        self._parameters = parameters
        self._weights = [p.detach().float().clone() for p in parameters]
        self._means = [torch.zeros_like(w) for w in self._weights]
        self._squares = [torch.zeros_like(w) for w in self._weights]
        self._steps = 0

    @torch.no_grad()
    def step(self) -> list[torch.Tensor]:
        """The weights after one more step on the gradients that are there."""
        self._steps += 1
        first, second = BETAS
        for parameter, weight, mean, square in zip(
            self._parameters, self._weights, self._means, self._squares, strict=True
        ):
            if parameter.grad is None:
                continue
            gradient = (
                parameter.grad.to_dense().float() if parameter.grad.is_sparse else parameter.grad.float()
            )
            mean.mul_(first).add_(gradient, alpha=1 - first)
            square.mul_(second).addcmul_(gradient, gradient, value=1 - second)
            size = (square / (1 - second**self._steps)).sqrt_().add_(EPSILON)
            weight.addcdiv_(mean / (1 - first**self._steps), size, value=-SAFE_LR)
        return self._weights


def set_rate(group: dict[str, Any], rate: float) -> None:
    """As a number or as the tensor that it was."""
    if isinstance(group["lr"], torch.Tensor):
        group["lr"].fill_(rate)
    else:
        group["lr"] = rate


def floor_of_batch(setting: Setting) -> float | None:
    """The lowest loss that the first minibatch allows; None where it is not known."""
    call, first = setting.call, setting.first
    if call is None or len(first.targets) != 1 or len(first.calls) != 1:
        return None
    found = setting.witness.first_input
    if found is None:
        return call.floor if math.isfinite(call.floor) else None
    if not math.isfinite(call.floor):
        return None
    twins = floor_of(call.function, found, first.targets[0], summed=call.reduction == "sum")
    return None if twins is None else max(call.floor, twins)


def last(losses: tuple[float, ...]) -> float:
    """Mean of the last five."""
    return fmean(losses[-5:])
