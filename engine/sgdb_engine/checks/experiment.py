"""What all experiments share: the script's own loop goes on in a child, and they see and steer it at two points.

Before the model is called, and just before an update. What they measure goes to the parent as it comes.
"""

import contextlib
import math
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NoReturn

import torch
from torch import nn

from sgdb_engine.checks.child import Child
from sgdb_engine.config.records import OverfitBudget
from sgdb_engine.findings.facts import LossCall
from sgdb_engine.launch import RateRange
from sgdb_engine.observe.hooks import observe
from sgdb_engine.observe.told import Told
from sgdb_engine.witness.first_step import FirstStep

if TYPE_CHECKING:
    from sgdb_engine.ending import End
    from sgdb_engine.observe.observer import Observer
    from sgdb_engine.session import Engine
    from sgdb_engine.witness.witness import Witness


@dataclass(frozen=True)
class Setting:
    """Where the script stands: just before its first update, the gradients are there."""

    engine: "Engine"
    witness: "Witness"
    first: FirstStep
    model: nn.Module
    parameters: tuple[torch.Tensor, ...]
    """All that can be trained: of the optimizers and of the models that were called."""
    optimizers: tuple[Any, ...]
    loss: float
    """Of the first step."""
    call: LossCall | None
    """The one loss function that makes up this loss; None where there are several, none, or something is added."""
    steps: int = 400
    seconds: float = 20.0
    """What the user's own steps on one batch may take."""
    rates: RateRange = field(default_factory=RateRange)
    """That a sweep goes through, where its user has a say."""


def setting_of(
    engine: "Engine", observer: "Observer", budget: OverfitBudget, rates: RateRange
) -> Setting | None:
    """As the observer sees it at the first safe point; None where no model was seen."""
    witness = observer.witness
    model = witness.root
    if model is None or not witness.first.calls:
        return None
    held = [p for o in witness.optimizers for g in o.param_groups for p in g["params"]]
    parameters = [p for p in dict.fromkeys([*model.parameters(), *held]) if p.requires_grad]
    calls = witness.newest_calls
    loss = observer.loss.value
    value = math.nan if loss is None else float(loss)
    whole = len(calls) == 1 and abs(calls[0].value - value) <= 1e-4 * max(1e-6, abs(value))
    return Setting(
        engine=engine,
        witness=witness,
        first=witness.first,
        model=model,
        parameters=tuple(parameters),
        optimizers=tuple(witness.optimizers),
        loss=value,
        call=calls[0] if whole else None,
        steps=budget.steps,
        seconds=budget.seconds,
        rates=rates,
    )


class Experiment:
    """One of them. A subclass sets `name`, `seconds` and the two points."""

    name = ""
    seconds = 10.0
    probing = False
    """A witness takes its time for the steps."""
    seen_whole = 10**9
    """How many of them it sees."""

    def __init__(self, setting: Setting) -> None:
        self.setting = setting
        self.child: Child
        self.observer: Observer
        self.step = 0
        """Updates seen in the child; the one that the fork was made in is not among them."""
        self._started = time.monotonic()

    def begin(self, child: Child) -> None:
        """In the child, within the script's first `optimizer.step()`."""
        self.child = child
        self._started = time.monotonic()
        stack = contextlib.ExitStack()
        self.observer = stack.enter_context(
            observe(
                self.setting.engine.recorder,
                budget=0.0,
                safe_point=self._at_safe_point,
                told=Told(validated=lambda metrics: None),  # evaluations are told from training
                seen_whole=self.seen_whole,
                probing=self.probing,
            )
        )
        self._stack = stack  # never left: the child ends at once
        self.observer.expect([self.setting.model], list(self.setting.optimizers))
        self.prepare()

    def prepare(self) -> None:
        """Puts in what it needs; over the observer's wrappers."""

    def safe_point(self, loss: float) -> None:
        """The gradients are complete, the weights are about to change. `loss`: of this step; NaN where unknown."""

    def result(self) -> Any:
        """What was measured."""
        raise NotImplementedError

    def is_over(self) -> bool:
        """The time is up."""
        return time.monotonic() - self._started > self.seconds

    def end(self) -> NoReturn:
        """Sends the result, and ends the child."""
        try:
            result = self.result()
        except Exception as error:
            self.child.give_up(f"{type(error).__name__}: {error}")
        self.child.end(result)

    def script_ended(self, end: "End") -> NoReturn:
        """The script came to its end before the experiment did."""
        if end.state == "failed":
            self.child.tell("raised", end.message)
        self.end()

    def _at_safe_point(self, step: int) -> None:
        try:
            self.step = step + 1
            value = self.observer.loss.value
            self.safe_point(math.nan if value is None else float(value))
            if self.is_over():
                self.end()
        except Exception as error:
            self.child.give_up(f"{type(error).__name__}: {error}")


class Weights:
    """Sets the parameters of a model before it is called the next time, whatever the script's optimizer did to them."""

    def __init__(self, model: nn.Module, parameters: tuple[torch.Tensor, ...]) -> None:
        self.parameters = parameters
        self.wanted = [p.detach().clone() for p in parameters]
        """Set before the next call; change these."""
        self._buffers = [(b, b.detach().clone()) for b in model.buffers()]
        self.keeps_buffers = False
        """Running statistics are set back as well."""

    @torch.no_grad()
    def put(self) -> None:
        """Now."""
        for parameter, wanted in zip(self.parameters, self.wanted, strict=True):
            parameter.copy_(wanted)
        if self.keeps_buffers:
            for buffer, kept in self._buffers:
                buffer.copy_(kept)


def without_dropout(model: nn.Module) -> None:
    """Switches it off."""
    for module in model.modules():
        if isinstance(module, nn.modules.dropout._DropoutNd):
            module.p = 0.0
        elif isinstance(module, nn.RNNBase | nn.MultiheadAttention):
            module.dropout = 0.0


def dropout_of(model: nn.Module) -> float:
    """The largest probability in a model."""
    found = [m.p for m in model.modules() if isinstance(m, nn.modules.dropout._DropoutNd)]
    found += [m.dropout for m in model.modules() if isinstance(m, nn.RNNBase | nn.MultiheadAttention)]
    return max(map(float, found), default=0.0)
