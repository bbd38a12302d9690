"""Why one batch could not be learnt: what was measured beside the curve, in words a beginner understands."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import fmean

from sgdb_engine.observe.statistics import Ranges

LARGE_INPUT_RMS = 10.0
"""Root mean square of float inputs that are called unscaled: 124…226 in faulty set-ups, at most 1 in sound ones."""
BLOW_UP = 1.3
"""Five-step mean of the losses, relative to the start: 1.33 and more where the rate is too high, at most 1.26 else."""
RISING_STEPS = 0.1
"""Share of steps with a rising loss above which the learning rate is suspected."""


@dataclass(frozen=True, slots=True)
class Measured:
    """What the check knows besides the curve."""

    losses: Sequence[float]
    lr: float
    inputs: Ranges
    float_inputs: bool
    outputs: Ranges
    targets: Ranges
    regression: bool
    moved: bool
    """Whether any weight changed."""
    clip_norm: float | None
    grad_norm: float
    """Global gradient norm of the first step, before clipping."""


def not_moved(m: Measured) -> str:
    """The weights are where they were."""
    if m.moved:
        return ""
    if m.lr == 0:
        return "the learning rate is 0, so the weights never change: set optimizer.lr, 1e-3 is a good start for adam"
    if m.grad_norm == 0:
        return "all gradients are exactly 0, so the weights never change: dead units or a constant output?"
    return f"the weights did not change in any step (lr {m.lr:g}): each update is lost in rounding, try a larger one"


def unscaled_inputs(m: Measured) -> str:
    """Inputs like raw pixels."""
    rms = math.hypot(m.inputs.mean, m.inputs.std)
    if not m.float_inputs or not rms > LARGE_INPUT_RMS:
        return ""
    return (
        f"the inputs range from {m.inputs.low:.4g} to {m.inputs.high:.4g} (root mean square {rms:.3g}): "
        "bring them near 0 ± 1, with data.normalise = true or by dividing by their largest value"
    )


def one_sided_output(m: Measured) -> str:
    """An output that cannot reach the targets."""
    if not m.regression or m.outputs.low < 0 or m.targets.low >= 0:
        return ""
    return (
        f"the outputs are never below {m.outputs.low:.3g}, but targets go down to {m.targets.low:.3g}: "
        "is there a ReLU, sigmoid or softmax behind the last layer?"
    )


def learning_rate_too_high(m: Measured) -> str:
    """The loss blew up, or jumps up and down."""
    if not went_up(m.losses):
        return ""
    return f"the learning rate {m.lr:g} is probably too high for this batch: try {m.lr / 10:g}"


def went_up(losses: Sequence[float]) -> bool:
    """Whether the loss ever was clearly above its start, or not finite, or rose in many steps."""
    if not all(math.isfinite(loss) for loss in losses):
        return True
    means = [fmean(losses[i : i + 5]) for i in range(max(1, len(losses) - 4))]
    rises = sum(after > 1.02 * before for before, after in pairwise(losses))
    return max(means) > BLOW_UP * losses[0] or rises > RISING_STEPS * len(losses)


def clipped_away(m: Measured) -> str:
    """Clipping that leaves next to nothing of each gradient; median coefficient below 0.02 in faulty set-ups."""
    if m.clip_norm is None or not m.grad_norm * 0.02 > m.clip_norm:
        return ""
    return (
        f"train.clip_norm = {m.clip_norm:g} cuts gradients of norm {m.grad_norm:.3g} down to almost nothing"
    )


def learning_rate_too_low(m: Measured) -> str:
    """A smooth curve that hardly moves."""
    first, last = m.losses[0], m.losses[-1]
    if went_up(m.losses) or not 0.9 * first <= last <= first:
        return ""
    return f"the loss falls, but hardly: the learning rate {m.lr:g} may be too low, try {m.lr * 10:g}"


REASONS: tuple[Callable[[Measured], str], ...] = (
    not_moved,
    one_sided_output,
    unscaled_inputs,
    clipped_away,
    learning_rate_too_high,
    learning_rate_too_low,
)
"""In the order of trust: what is exact stands before what is guessed from a curve."""


def reasons_for(measured: Measured) -> list[str]:
    """What probably keeps the batch from being learnt, the most probable first."""
    return [reason for look in REASONS if (reason := look(measured))]
