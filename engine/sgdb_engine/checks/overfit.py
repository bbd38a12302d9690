"""The check that finds most mistakes: can the user's own training step learn one batch by heart?"""

import math
import os
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sgdb_engine.checks.judgement import (
    PASS,
    Judgement,
    excess_of,
    is_near_zero,
    judge,
)
from sgdb_engine.config import RunConfig
from sgdb_engine.events import CheckStage, CheckStatus
from sgdb_engine.session import Engine, Training

if TYPE_CHECKING:
    from collections.abc import Iterator

    import torch

    from sgdb_engine.observe.observer import Observer
    from sgdb_engine.workload import Workload

NAME = "overfit-one-batch"


def check_of(config: RunConfig, base: Path) -> Training:
    """The check of what a config describes, as something the engine can run.

    Args:
        config: checked.
        base: the folder against which its paths and modules are resolved.
    """

    def check(engine: Engine) -> None:
        from sgdb_engine.snapshot import random_state_kept, restored
        from sgdb_engine.training import description_of
        from sgdb_engine.workload import build

        with random_state_kept(), no_compiled_modules():
            engine.doing = "building the data and the model"
            workload = build(config, base)
            engine.describe(description_of(config, workload, steps=config.check.overfit.steps, notes=HELD))
            with restored(workload):
                engine.checked(OneBatch(config, workload, engine).run())

    return check


@contextmanager
def no_compiled_modules() -> "Iterator[None]":
    """Keeps Python, here and in workers, from writing __pycache__ beside the user's modules."""
    flag, variable = sys.dont_write_bytecode, os.environ.get("PYTHONDONTWRITEBYTECODE")
    sys.dont_write_bytecode, os.environ["PYTHONDONTWRITEBYTECODE"] = True, "1"
    try:
        yield
    finally:
        sys.dont_write_bytecode = flag
        if variable is None:
            del os.environ["PYTHONDONTWRITEBYTECODE"]
        else:
            os.environ["PYTHONDONTWRITEBYTECODE"] = variable


HELD = (
    "one batch of the training set, the same tensors in each step, no augmentation",
    "your optimizer, clipping, precision and dropout as they are; the learning rate held at its configured value",
)
"""What is held still and what is not; shown with the result."""


@dataclass(frozen=True, slots=True)
class Wiring:
    """What is seen before the first update."""

    nothing_trains: str
    """Why no update can change anything; empty where one can."""
    broken: list[str]
    """What makes the check fail, however well the rest learns."""


class OneBatch:
    """Trains on one batch, held still, until its loss is at the floor or the budget is spent.

    The weights are changed: run it inside `snapshot.restored`.
    """

    def __init__(self, config: RunConfig, workload: "Workload", engine: Engine) -> None:
        self._config = config
        self._workload = workload
        self._engine = engine
        self._budget = config.check.overfit
        self._losses: list[float] = []
        self._floor = 0.0
        self._grad_norm = math.nan

    def run(self) -> CheckStage:
        """The outcome, as an event."""
        from sgdb_engine.checks.floors import blind_of, floor_of

        started = time.monotonic()
        x, y = self._hold_batch()
        self._floor = floor_of(self._config.loss, x, y)
        self._workload.model.train()
        missing = self._missing()
        wiring = self._wiring(x, y)
        if wiring.nothing_trains:
            return self._outcome("fail", wiring.nothing_trains, started)
        moved = self._learn(x, y, started)
        judgement = judge(self._losses, self._floor, blind_of(self._config.loss, y))
        status = "fail" if missing or wiring.broken or not moved else judgement.status
        sentences = [*missing, *wiring.broken, judgement.reason]
        if judgement.status != "pass":
            sentences += self._reasons(x, y, moved)
        return self._outcome(status, "; ".join([*sentences, *self._dropout_left_on()]), started, judgement)

    def _hold_batch(self) -> "tuple[torch.Tensor, torch.Tensor]":
        x, y = next(iter(self._workload.train))
        return x.detach().clone(), y.detach().clone()

    def _missing(self) -> list[str]:
        """What is not finite in the training examples, told as a finding too."""
        from sgdb_engine.checks.missing import nonfinite_examples

        finding = nonfinite_examples(self._workload.train)
        if finding is None:
            return []
        self._engine.found(finding)
        return [f"{finding.message}: clean or fill them"]

    def _wiring(self, x: "torch.Tensor", y: "torch.Tensor") -> "Wiring":
        """One forward and backward: what no training can mend."""
        from sgdb_engine.checks import wiring

        model, optimizer = self._workload.model, self._workload.optimizer
        optimizer.zero_grad()
        with wiring.UsedParameters(model) as used:
            loss, output = self._loss(x, y)
        nothing_trains = wiring.why_nothing_trains(model, optimizer, loss)
        if nothing_trains:
            self._losses.append(loss.item())
            return Wiring(nothing_trains, [])
        loss.backward()  # type: ignore[no-untyped-call]
        broken = [
            wiring.why_cut(wiring.cut_parameters(model, optimizer, used.names)),
            wiring.unreachable_targets(output, y, [term.name for term in self._config.loss]),
        ]
        optimizer.zero_grad()
        return Wiring("", [sentence for sentence in broken if sentence])

    def _learn(self, x: "torch.Tensor", y: "torch.Tensor", started: float) -> bool:
        """Trains until near the floor, to the end of the budget or to NaN.

        Returns whether any weight changed; true where no update was made.
        """
        import torch

        before = [p.detach().clone() for p in self._workload.model.parameters()]
        with self._learning_rate_held(), self._engine.observing() as observer:
            while True:
                loss = self._forward(x, y, observer)
                if len(self._losses) == 1:  # the first loss is what the goal is measured from
                    self._engine.stage(self._outcome("running", self._course_so_far(len(x)), started))
                if self._is_over(started):
                    break
                self._update(loss)
                if observer.step == 1:
                    self._grad_norm = observer.rows.latest.get("grad_norm", math.nan)
        after = self._workload.model.parameters()
        tried = len(self._losses) > 1
        return not tried or any(not torch.equal(a, b) for a, b in zip(before, after, strict=True))

    def _is_over(self, started: float) -> bool:
        return (
            len(self._losses) > self._budget.steps
            or time.monotonic() - started >= self._budget.seconds
            or not math.isfinite(self._losses[-1])
            or is_near_zero(self._losses, self._floor)
        )

    def _forward(self, x: "torch.Tensor", y: "torch.Tensor", observer: "Observer") -> "torch.Tensor":
        """The loss of the batch as the weights are now; noted, with what is shown beside it."""
        loss, output = self._loss(x, y)
        value = loss.item()
        self._losses.append(value)
        columns = {"check/excess": excess_of(value, self._losses[0], self._floor)}
        metrics = self._workload.metrics.items()
        observer.logged.add(columns | {f"train/{name}": metric(output, y).item() for name, metric in metrics})
        return loss

    def _update(self, loss: "torch.Tensor") -> None:
        """The user's step, but for the batch."""
        import torch

        workload, clip_norm = self._workload, self._config.train.clip_norm
        loss.backward()  # type: ignore[no-untyped-call]
        if clip_norm is not None:
            torch.nn.utils.clip_grad_norm_(workload.model.parameters(), clip_norm)
        workload.optimizer.step()
        workload.optimizer.zero_grad()

    def _loss(self, x: "torch.Tensor", y: "torch.Tensor") -> "tuple[torch.Tensor, torch.Tensor]":
        from sgdb_engine.loop import autocast

        assert self._workload.loss is not None
        with autocast(self._workload, self._config.train):
            output = self._workload.model(x)
            return self._workload.loss(output, y), output

    @contextmanager
    def _learning_rate_held(self) -> "Iterator[None]":
        """A warm-up or a decay made for a whole run would say nothing about so few steps."""
        groups = self._workload.optimizer.param_groups
        kept = [group["lr"] for group in groups]
        for group in groups:
            group["lr"] = group.get("initial_lr", group["lr"])
        try:
            yield
        finally:
            for group, lr in zip(groups, kept, strict=True):
                group["lr"] = lr

    # -- words ------------------------------------------------------------------------------------------

    def _reasons(self, x: "torch.Tensor", y: "torch.Tensor", moved: bool) -> list[str]:
        from sgdb_engine.checks.reasons import Measured, reasons_for
        from sgdb_engine.observe.statistics import Ranges, tensor_ranges

        inputs, targets = (Ranges(*tensor_ranges(tensor).tolist()) for tensor in (x, y))
        optimizer = self._workload.optimizer.param_groups[0]
        return reasons_for(
            Measured(
                losses=self._losses,
                optimizer=self._config.optimizer.name,
                lr=float(optimizer.get("initial_lr", optimizer["lr"])),
                inputs=inputs,
                float_inputs=x.is_floating_point(),
                targets=targets,
                regression=y.is_floating_point(),
                moved=moved,
                clip_norm=self._config.train.clip_norm,
                grad_norm=self._grad_norm,
                dropout=max(self._dropouts(), default=0.0),
            )
        )

    def _dropout_left_on(self) -> list[str]:
        active = self._dropouts()
        return [f"dropout {', '.join(f'{p:g}' for p in active)} was left on"] if active else []

    def _dropouts(self) -> list[float]:
        """The probabilities of dropout in the model, each once."""
        from torch import nn
        from torch.nn.modules.dropout import _DropoutNd

        modules = list(self._workload.model.modules())
        found = {m.p for m in modules if isinstance(m, _DropoutNd)}
        found |= {m.dropout for m in modules if isinstance(m, nn.RNNBase | nn.MultiheadAttention)}
        return sorted(p for p in found if p > 0)

    def _course_so_far(self, rows: int) -> str:
        return (
            f"one batch of {rows} examples, at most {self._budget.steps} steps or {self._budget.seconds:g} s"
        )

    def _outcome(
        self, status: CheckStatus, reason: str, started: float, judgement: Judgement | None = None
    ) -> CheckStage:
        evidence: dict[str, float | int | str] = {
            "floor": self._floor,
            "threshold": PASS,
            "steps": max(0, len(self._losses) - 1),
        }
        if self._losses:
            evidence |= {"start": self._losses[0], "end": self._losses[-1]}
        if judgement is not None:
            evidence["excess"] = judgement.excess
        return CheckStage(
            step=max(0, len(self._losses) - 1),
            name=NAME,
            status=status,
            reason=reason,
            seconds=round(time.monotonic() - started, 3),
            evidence=evidence,
        )
