"""Whether a curve of losses on one held batch has reached its floor. Numbers in, a verdict out; knows no tensor."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, median

from sgdb_engine.events import CheckStatus

NEAR_ZERO = 0.01
"""Excess at which the training need not go on."""
PASS = 0.1
INCONCLUSIVE = 0.5
"""Bounds of the excess (L − floor)/(L₀ − floor) for a pass and for "perhaps"."""
BLIND = 0.9
"""Share of the loss of a blind guess above which nothing was learnt from the inputs."""
STILL_FALLING = 0.03
"""Relative fall of the median over a window that counts as progress."""
WINDOW = 40
"""Steps of such a window. With fewer than two of them there is no verdict but on what is plain."""
SMOOTHED = 5
"""Losses that are averaged: with dropout each draws its own mask."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """What the curve says."""

    status: CheckStatus
    reason: str
    excess: float


def excess_of(loss: float, start: float, floor: float) -> float:
    """How much of what could be learnt is left: 1 at the start, 0 at the floor."""
    room = start - floor
    if not math.isfinite(loss):
        return math.inf
    if room <= 0:
        return 0.0 if loss <= floor else math.inf
    return (loss - floor) / room


def is_near_zero(losses: Sequence[float], floor: float) -> bool:
    """Whether the training may end before its budget does."""
    return len(losses) >= SMOOTHED and _last_excess(losses, floor) < NEAR_ZERO


def judge(losses: Sequence[float], floor: float, blind: float = math.inf) -> Judgement:
    """The verdict on the losses of all steps, the first one taken before any update.

    `floor` is the lowest loss that the batch allows, `blind` what is reached without looking at its inputs.
    """
    bad = next((i for i, loss in enumerate(losses) if not math.isfinite(loss)), None)
    if bad is not None:
        return Judgement("fail", _not_finite(losses, bad), math.inf)
    start, end = losses[0], fmean(losses[-SMOOTHED:])
    excess = _last_excess(losses, floor)
    status, words = _verdict(losses, floor, blind, excess)
    steps = len(losses) - 1
    lowest = f" (the lowest possible here is {floor:.3g})" if floor > 1e-6 else ""
    course = f"the loss went from {start:.4g} to {end:.3g} in {steps} step{'' if steps == 1 else 's'}{lowest}"
    return Judgement(status, course + words, excess)


def _verdict(losses: Sequence[float], floor: float, blind: float, excess: float) -> tuple[CheckStatus, str]:
    """The status, and how the sentence on the course of the loss goes on."""
    start, end = losses[0], fmean(losses[-SMOOTHED:])
    if floor > 1e-6 and floor > BLIND * blind:
        return (
            "fail",
            ": the inputs do not tell the targets apart, most of the batch's inputs are equal to each other",
        )
    if excess < NEAR_ZERO:
        return "pass", ": near zero, the batch is learnt by heart"
    if excess < PASS:
        return "pass", f": {excess:.1%} of what could be learnt is left"
    if max(start, end) - floor < PASS * (blind - floor) < math.inf:
        return (
            "pass",
            f": the model knew this batch already, a guess that ignores the inputs would give {blind:.3g}",
        )
    if end > 2 * start - floor:
        return "fail", ": it rises"
    if len(losses) <= 2 * WINDOW:
        return "inconclusive", ": too few steps for a verdict, give check.overfit more steps or seconds"
    if end <= start and is_still_falling(losses):
        return "inconclusive", " and is still falling: give check.overfit more steps or seconds"
    if BLIND * blind <= end <= start:
        return "fail", f": no better than a guess that ignores the inputs, which gives {blind:.3g}"
    if excess <= INCONCLUSIVE:
        return "inconclusive", f" and stays there: {excess:.0%} of what could be learnt is left"
    if end > start:
        return "fail", ": it rises"
    return "fail", f": one batch cannot be learnt by heart, {excess:.0%} of what could be learnt is left"


def is_still_falling(losses: Sequence[float]) -> bool:
    """Whether the last window lies clearly below the one before it."""
    if len(losses) < 2 * WINDOW:
        return False
    before, after = median(losses[-2 * WINDOW : -WINDOW]), median(losses[-WINDOW:])
    return after < (1 - STILL_FALLING) * before and before > 0


def _last_excess(losses: Sequence[float], floor: float) -> float:
    return excess_of(fmean(losses[-SMOOTHED:]), losses[0], floor)


def _not_finite(losses: Sequence[float], bad: int) -> str:
    word = "NaN" if math.isnan(losses[bad]) else "infinite"
    if bad == 0:
        return f"the loss is {word} before the first update"
    return f"the loss became {word} at step {bad}"
