"""Why one batch could not be learnt: what was measured beside the curve, in words a beginner understands."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import fmean

from sgdb_engine.observe.statistics import Ranges

LARGE_RMS = 10.0
"""Root mean square of numbers that are called unscaled: 124…226 in faulty set-ups, at most 1 in sound ones."""
BLOW_UP = 1.3
"""Five-step mean of the losses, relative to the start: 1.33 and more where the rate is too high, at most 1.26 else."""
RISING_STEPS = 0.1
"""Share of steps with a rising loss above which the learning rate is suspected."""
NOISY_DROPOUT = 0.5
"""Dropout from which the loss jumps up and down at any learning rate."""
HIGH_DROPOUT = 0.8
USUAL_ADAM_LR = 1e-3


@dataclass(frozen=True, slots=True)
class Measured:
    """What the check knows besides the curve."""

    losses: Sequence[float]
    optimizer: str
    lr: float
    inputs: Ranges
    float_inputs: bool
    targets: Ranges
    regression: bool
    moved: bool
    """Whether any weight changed; true where no update was tried."""
    clip_norm: float | None
    grad_norm: float
    """Global gradient norm of the first step, before clipping."""
    dropout: float
    """The largest probability in the model."""


def not_finite(m: Measured) -> str:
    """Missing values in the data."""
    for what, ranges in (("inputs", m.inputs), ("targets", m.targets)):
        if ranges.nonfinite:
            return (
                f"{ranges.nonfinite:.0f} values of the batch's {what} are NaN or infinite: clean or fill them"
            )
    return ""


def not_moved(m: Measured) -> str:
    """The weights are where they were."""
    if m.moved:
        return ""
    if m.lr == 0:
        return (
            "the learning rate is 0, so the weights never change: set optimizer.lr; "
            "1e-3 is a good start for adam and adamw, 0.1 for sgd"
        )
    if m.grad_norm == 0:
        return "all gradients are exactly 0, so the weights never change: dead units, or an output that is constant?"
    return f"the weights did not change in any step: at a learning rate of {m.lr:g} each update is lost in rounding"


def unscaled_inputs(m: Measured) -> str:
    """Inputs like raw pixels."""
    if not m.float_inputs or not _rms(m.inputs) > LARGE_RMS:
        return ""
    return (
        f"the inputs range from {m.inputs.low:.4g} to {m.inputs.high:.4g}, far from the usual 0 ± 1: "
        "set data.normalise = true, or divide them by their largest value"
    )


def unscaled_targets(m: Measured) -> str:
    """Targets that the output has to climb to."""
    if not m.regression or not _rms(m.targets) > LARGE_RMS:
        return ""
    return (
        f"the targets range from {m.targets.low:.4g} to {m.targets.high:.4g}, a long way for the last layer: "
        "set data.normalise = true, or bring them near 0 ± 1"
    )


def learning_rate_too_high(m: Measured) -> str:
    """The loss blew up, or jumps up and down."""
    if not went_up(m.losses, noisy=m.dropout >= NOISY_DROPOUT):
        return ""
    if m.optimizer.startswith("adam") and m.lr > 10 * USUAL_ADAM_LR:
        return f"the learning rate {m.lr:g} is probably too high: {USUAL_ADAM_LR:g} is a good start for {m.optimizer}"
    return f"the learning rate {m.lr:g} is probably too high for this batch: try {m.lr / 10:g}"


def went_up(losses: Sequence[float], *, noisy: bool = False) -> bool:
    """Whether the loss was ever clearly above its start, or no longer finite, or (not where `noisy`) often rose."""
    if not math.isfinite(losses[0]):
        return False
    if not all(math.isfinite(loss) for loss in losses):
        return True
    means = [fmean(losses[i : i + 5]) for i in range(max(1, len(losses) - 4))]
    if max(means) > BLOW_UP * losses[0]:
        return True
    rises = sum(after > 1.02 * before for before, after in pairwise(losses))
    return not noisy and rises > RISING_STEPS * len(losses)


def clipped_away(m: Measured) -> str:
    """Clipping that leaves next to nothing of each gradient; median coefficient below 0.02 in faulty set-ups."""
    if m.clip_norm is None or m.optimizer != "sgd" or not m.grad_norm * 0.02 > m.clip_norm:
        return ""
    return (
        f"train.clip_norm = {m.clip_norm:g} cuts gradients of norm {m.grad_norm:.3g} down to almost nothing: "
        "raise it, or leave it out"
    )


def learning_rate_too_low(m: Measured) -> str:
    """A smooth curve that hardly moves."""
    first, last = m.losses[0], m.losses[-1]
    if not m.moved or not 0.5 * first <= last < first or went_up(m.losses):
        return ""
    return f"the loss falls, but slowly: the learning rate {m.lr:g} may be too low, try {m.lr * 10:g}"


def dropout_too_high(m: Measured) -> str:
    """So few units are left that no two steps train the same network."""
    if m.dropout < HIGH_DROPOUT:
        return ""
    return f"dropout {m.dropout:g} leaves only {1 - m.dropout:.0%} of the units in each step: 0.1 to 0.5 is usual"


def _rms(ranges: Ranges) -> float:
    return math.hypot(ranges.mean, ranges.std)


REASONS: tuple[Callable[[Measured], str], ...] = (
    not_finite,
    not_moved,
    unscaled_inputs,
    unscaled_targets,
    clipped_away,
    dropout_too_high,
    learning_rate_too_high,
    learning_rate_too_low,
)
"""In the order of trust: what is exact stands before what is guessed from a curve."""


def reasons_for(measured: Measured) -> list[str]:
    """What probably keeps the batch from being learnt, the most probable first."""
    return [reason for look in REASONS if (reason := look(measured))]
