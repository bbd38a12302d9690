"""The check that finds most mistakes: can the user's own training step learn one batch by heart?"""

import math
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sgdb_engine.checks.judgement import (
    PASS,
    Judgement,
    excess_of,
    is_near_zero,
    judge,
)
from sgdb_engine.config import RunConfig
from sgdb_engine.events import CheckStage
from sgdb_engine.session import Engine, Training

if TYPE_CHECKING:
    from collections.abc import Iterator

    import torch

    from sgdb_engine.checks.reasons import Measured
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
        from sgdb_engine.snapshot import restored
        from sgdb_engine.training import description_of
        from sgdb_engine.workload import build

        workload = build(config, base)
        engine.describe(description_of(config, workload, steps=config.check.overfit.steps, notes=HELD))
        with restored(workload):
            engine.checked(OneBatch(config, workload, engine).run())

    return check


HELD = (
    "one batch of the training set, the same tensors in each step, no augmentation",
    "your optimizer, clipping, precision and dropout as they are; the learning rate held at its configured value",
)
"""What is held still and what is not; shown with the result."""


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
        broken, cut = self._wiring(x, y)
        if broken:
            return self._outcome("fail", broken, started)
        self._engine.stage(self._outcome("running", self._course_so_far(), started))
        moved = self._learn(x, y, started)
        judgement = judge(self._losses, self._floor, blind_of(self._config.loss, y))
        if judgement.status == "pass" and not cut:
            return self._outcome("pass", self._described(judgement), started, judgement)
        if cut:
            return self._outcome("fail", f"{cut}; {judgement.reason}", started, judgement)
        return self._explained(judgement, x, y, moved, started)

    def _hold_batch(self) -> "tuple[torch.Tensor, torch.Tensor]":
        x, y = next(iter(self._workload.train))
        return x.detach().clone(), y.detach().clone()

    def _wiring(self, x: "torch.Tensor", y: "torch.Tensor") -> tuple[str, str]:
        """One forward and backward: what is broken beyond training, and what is cut off though the rest may learn."""
        from sgdb_engine.checks.wiring import called_modules, cut_parameters, named, why_nothing_trains

        model, optimizer = self._workload.model, self._workload.optimizer
        optimizer.zero_grad()
        with called_modules(model) as called:
            loss = self._loss(x, y)[0]
        self._losses.append(loss.item())
        broken = why_nothing_trains(model, optimizer, loss)
        if broken:
            return broken, ""
        loss.backward()  # type: ignore[no-untyped-call]
        cut = cut_parameters(model, optimizer, called)
        self._losses.clear()
        optimizer.zero_grad()
        if not cut:
            return "", ""
        verb = "runs but gets" if len(cut) == 1 else "run but get"
        return "", f"{named(cut)} {verb} no gradient: the graph is cut above (detach, no_grad, .data?)"

    def _learn(self, x: "torch.Tensor", y: "torch.Tensor", started: float) -> bool:
        """Trains until near the floor, to the end of the budget or to NaN; returns whether any weight changed."""
        import torch

        before = [p.detach().clone() for p in self._workload.model.parameters()]
        with self._learning_rate_held(), self._engine.observing() as observer:
            while True:
                loss = self._forward(x, y, observer)
                if self._is_over(started):
                    break
                self._update(loss)
                if observer.step == 1:
                    self._grad_norm = observer.latest.get("grad_norm", math.nan)
        after = self._workload.model.parameters()
        return any(not torch.equal(a, b) for a, b in zip(before, after, strict=True))

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
        observer.log(columns | {f"train/{name}": metric(output, y).item() for name, metric in metrics})
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

    def _explained(
        self, judgement: Judgement, x: "torch.Tensor", y: "torch.Tensor", moved: bool, started: float
    ) -> CheckStage:
        from sgdb_engine.checks.reasons import reasons_for

        reasons = reasons_for(self._measured(x, y, moved))
        text = "; ".join([judgement.reason, *reasons])
        return self._outcome("fail" if not moved else judgement.status, text, started, judgement)

    def _measured(self, x: "torch.Tensor", y: "torch.Tensor", moved: bool) -> "Measured":
        import torch

        from sgdb_engine.checks.reasons import Measured
        from sgdb_engine.observe.statistics import Ranges, tensor_ranges

        with torch.no_grad():
            output = self._loss(x, y)[1]
        ranges = [Ranges(*tensor_ranges(tensor).tolist()) for tensor in (x, output, y)]
        return Measured(
            losses=self._losses,
            lr=float(self._workload.optimizer.param_groups[0].get("initial_lr", self._config.optimizer.lr)),
            inputs=ranges[0],
            float_inputs=x.is_floating_point(),
            outputs=ranges[1],
            targets=ranges[2],
            regression=y.is_floating_point(),
            moved=moved,
            clip_norm=self._config.train.clip_norm,
            grad_norm=self._grad_norm,
        )

    def _described(self, judgement: Judgement) -> str:
        return f"{judgement.reason}; {self._state_of_dropout()}"

    def _state_of_dropout(self) -> str:
        from torch.nn.modules.dropout import _DropoutNd

        active = sorted(
            {m.p for m in self._workload.model.modules() if isinstance(m, _DropoutNd) and m.p > 0}
        )
        return (
            f"dropout {', '.join(f'{p:g}' for p in active)} was left on"
            if active
            else "no dropout in the model"
        )

    def _course_so_far(self) -> str:
        budget = f"at most {self._budget.steps} steps or {self._budget.seconds:g} s"
        return f"one batch of {len_of(self._workload)}, {budget}"

    def _outcome(
        self, status: Any, reason: str, started: float, judgement: Judgement | None = None
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


def len_of(workload: "Workload") -> str:
    """How many rows a batch has, in words."""
    sampler: Any = getattr(workload.train, "sampler", None)
    size = getattr(sampler, "batch_size", None)
    return f"{size} examples" if isinstance(size, int) else "the training set"
