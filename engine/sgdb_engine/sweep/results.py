"""What a sweep comes to: its points in the order of their losses, the best one, and the form for other programs."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import msgspec

from sgdb_engine.sweep.plan import SweepPlan, value_of
from sgdb_engine.sweep.standing import RANKED, PointState, Standing

ORDER: tuple[PointState, ...] = (*RANKED, "diverged", "failed", "interrupted", "queued")


class PointSummary(msgspec.Struct, frozen=True, kw_only=True):
    """One point."""

    point: int
    settings: dict[str, Any]
    state: str
    """queued, running, finished, stopped, diverged, failed or interrupted."""
    loss: float | None
    """What the points are compared by."""
    step: int | None
    """The step of the best validation loss; null where it is the training loss that is compared."""
    steps: int
    seconds: float
    metrics: dict[str, Any]
    """At the end."""
    findings: Sequence[str]
    message: str
    folder: str
    """Of the run; empty where there is none."""


class SweepSummary(msgspec.Struct, frozen=True, kw_only=True):
    """What `--json` writes. Non-finite numbers are the strings NaN, Infinity and -Infinity."""

    schema: Literal[1] = 1
    mode: Literal["sweep"] = "sweep"
    target: str
    folder: str
    status: Literal["finished", "interrupted"]
    compared_by: Literal["val/loss", "train/loss"]
    best: int | None
    """Number of the best point; null where no run has a finite loss."""
    points: Sequence[PointSummary]
    """The best first."""


def compared_by(standings: Sequence[Standing]) -> Literal["val/loss", "train/loss"]:
    """The loss that the points are sorted by."""
    return "val/loss" if any(math.isfinite(s.best_val_loss) for s in standings) else "train/loss"


def compared_loss(standing: Standing, measure: str) -> float:
    """NaN where the run has none: one without a validation is not compared with those that have one."""
    return standing.best_val_loss if measure == "val/loss" else standing.train_loss


def best_first(standings: Sequence[Standing]) -> list[Standing]:
    """Those that can be the best by their loss, then the diverged, the failed, and those that are still to come."""
    measure = compared_by(standings)

    def place(standing: Standing) -> tuple[int, float, int]:
        loss = compared_loss(standing, measure)
        ranked = standing.state in RANKED and math.isfinite(loss)
        return -1 if ranked else ORDER.index(standing.state), loss if ranked else 0.0, standing.point.number

    return sorted(standings, key=place)


def best_of(standings: Sequence[Standing]) -> Standing | None:
    """The one with the lowest finite loss; a run that diverged or failed is none."""
    if not standings:
        return None
    first = best_first(standings)[0]
    loss = compared_loss(first, compared_by(standings))
    return first if first.state in RANKED and math.isfinite(loss) else None


def summary_of(folder: Path, plan: SweepPlan, standings: Sequence[Standing]) -> SweepSummary:
    """The form for other programs."""
    best = best_of(standings)
    measure = compared_by(standings)
    return SweepSummary(
        target=" ".join((plan.target, *plan.arguments)),
        folder=str(folder),
        status="finished" if all(s.is_done for s in standings) else "interrupted",
        compared_by=measure,
        best=best.point.number if best else None,
        points=[_summary(plan, standing, measure) for standing in best_first(standings)],
    )


def _summary(plan: SweepPlan, standing: Standing, measure: str) -> PointSummary:
    loss = compared_loss(standing, measure)
    begun = standing.folder is not None
    return PointSummary(
        point=standing.point.number,
        settings={key: value_of(plan, value) for key, value in standing.point.settings},
        state=standing.state,
        loss=loss if begun and not math.isnan(loss) else None,
        step=standing.best_step if measure == "val/loss" and standing.best_step else None,
        steps=standing.step,
        seconds=round(standing.seconds, 3),
        metrics=dict(standing.metrics),
        findings=standing.findings,
        message=standing.message,
        folder=str(standing.folder or ""),
    )
