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
"""Steps of such a window."""
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
    return (loss - floor) / room if room > 0 else 0.0


def is_near_zero(losses: Sequence[float], floor: float) -> bool:
    """Whether the training may end before its budget does."""
    return len(losses) >= SMOOTHED and _last_excess(losses, floor) < NEAR_ZERO


def judge(losses: Sequence[float], floor: float, blind: float = math.inf) -> Judgement:
    """The verdict on the losses of all steps, the first one taken before any update.

    `floor` is the lowest loss that the batch allows, `blind` what is reached without looking at its inputs.
    """
    start, steps = losses[0], len(losses) - 1
    bad = next((i for i, loss in enumerate(losses) if not math.isfinite(loss)), None)
    if bad is not None:
        return Judgement("fail", f"the loss became {_word(losses[bad])} at step {bad}", math.inf)
    excess = _last_excess(losses, floor)
    end = fmean(losses[-SMOOTHED:])
    course = f"the loss went from {start:.4g} to {end:.2g} in {steps} steps"
    above = f" (the lowest possible here is {floor:.3g})" if floor > 1e-6 else ""
    if excess < NEAR_ZERO:
        return Judgement("pass", f"{course}{above}: near zero, the batch is learnt by heart", excess)
    if excess < PASS:
        return Judgement("pass", f"{course}{above}: {excess:.1%} of what could be learnt is left", excess)
    if is_still_falling(losses):
        return Judgement("inconclusive", f"{course}{above} and is still falling: give it more steps", excess)
    if BLIND * blind <= end <= start:
        return Judgement(
            "fail", f"{course}, no better than a guess that ignores the inputs ({blind:.3g})", excess
        )
    if excess <= INCONCLUSIVE:
        return Judgement("inconclusive", f"{course}{above} and stays there, {excess:.0%} short", excess)
    if end > start:
        return Judgement("fail", f"the loss rose from {start:.4g} to {end:.4g} in {steps} steps", excess)
    return Judgement("fail", f"{course}{above}: one batch cannot be learnt by heart", excess)


def is_still_falling(losses: Sequence[float]) -> bool:
    """Whether the last window lies clearly below the one before it."""
    if len(losses) < 2 * WINDOW:
        return len(losses) > 2 * SMOOTHED and fmean(losses[-SMOOTHED:]) < 0.9 * fmean(losses[:SMOOTHED])
    before, after = median(losses[-2 * WINDOW : -WINDOW]), median(losses[-WINDOW:])
    return after < (1 - STILL_FALLING) * before and before > 0


def _last_excess(losses: Sequence[float], floor: float) -> float:
    return excess_of(fmean(losses[-SMOOTHED:]), losses[0], floor)


def _word(value: float) -> str:
    return "NaN" if math.isnan(value) else "infinite"
