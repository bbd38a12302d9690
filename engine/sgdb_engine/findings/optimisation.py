"""What one minibatch and a sweep of the learning rate say of the optimizer, the model and the data.

The pair of the user's step and a safe one on the same batch: where the first fails and the second passes, it is the
optimizer; where both fail, model, loss or target.
"""

import math
from itertools import pairwise
from statistics import fmean

from sgdb_engine.events import Finding
from sgdb_engine.findings.facts import Facts, OneBatch
from sgdb_engine.findings.judgement import BLIND, WINDOW, excess_of, is_still_falling
from sgdb_engine.findings.making import finding

PASSED = 0.1
"""Excess over the floor."""
ABOVE_LOWEST = 3.0
"""Times the rate at which a sweep's loss was lowest."""
BELOW_LOWEST = 2e4
TINY_UPDATES = 2e-6
UNLEARNT, RISING_STEPS, RISES = 0.4, 0.10, 1.02
NOISY_DROPOUT = 0.5
DECAY_SHARE = 0.6
UPHILL = 0.05
UNRELATED_Z, UNRELATED_CORRELATION, UNRELATED_LOSS = 4.0, 1.5, 0.9
SHORT = 20
LITTLE_SIGNAL = 0.05
WAITING, LONG_STEP_S = 0.5, 5e-3


def excess(one: OneBatch) -> float:
    """What is left of what could be learnt, 0..1."""
    return excess_of(fmean(one.losses[-5:]), one.losses[0], one.floor or 0.0)


def has_passed(one: OneBatch | None) -> bool:
    """The batch was learnt by heart."""
    if one is None or one.reason or len(one.losses) < 2:
        return False
    if (one.floor or 0.0) > BLIND * one.blind:
        return False  # the inputs do not tell the targets apart
    return excess(one) < PASSED or one.accuracy == 1.0


def has_failed(one: OneBatch | None) -> bool:
    """It was tried long enough, and not learnt."""
    return one is not None and not one.reason and len(one.losses) > SHORT and not has_passed(one)


def lr_high(facts: Facts) -> Finding | None:
    """A sweep diverges below it, or one batch is not learnt with it although a safe step learns it."""
    w, sweep, user = facts.wiring, facts.lr_range, facts.user
    if w is None or len(w.optimizers) != 1:
        return None
    lr = w.optimizers[0].lr
    start = facts.course.highest_lr if facts.course is not None else math.nan
    lr = max(lr, start) if math.isfinite(start) else lr
    reasons = []
    if sweep is not None and sweep.lowest is not None:
        if sweep.diverged is not None and lr > sweep.diverged:
            reasons.append(f"the sweep of learning rates diverged at {sweep.diverged:.2g}")
        elif lr > ABOVE_LOWEST * sweep.lowest:
            reasons.append(f"in a sweep the loss was lowest at {sweep.lowest:.2g}")
    if has_failed(user) and has_passed(facts.rescue) and user is not None and user.dropout < NOISY_DROPOUT:
        rising = sum(after > RISES * before for before, after in pairwise(user.losses)) / (
            len(user.losses) - 1
        )
        if not excess(user) <= UNLEARNT and rising > RISING_STEPS:
            reasons.append("one batch is not learnt with it, the loss jumps; Adam at 3e-3 learns it")
    if not reasons:
        return None
    hint = f" Try {sweep.suggestion:.1g}." if sweep is not None and sweep.suggestion is not None else ""
    return finding(
        "lr-high",
        f"The learning rate {lr:.3g} is too high: {'; '.join(reasons)}.{hint}",
        location=w.optimizers[0].location,
        evidence={"lr": lr, **_sweep(facts)},
    )


def _sweep(facts: Facts) -> dict[str, float | int | str]:
    sweep = facts.lr_range
    if sweep is None:
        return {}
    known = {"lowest": sweep.lowest, "diverged": sweep.diverged, "suggestion": sweep.suggestion}
    return {name: value for name, value in known.items() if value is not None}


def lr_low(facts: Facts) -> Finding | None:
    """Nothing moves."""
    w, sweep, signals = facts.wiring, facts.lr_range, facts.signals
    if w is None or len(w.optimizers) != 1 or not has_failed(facts.user) or not has_passed(facts.rescue):
        return None
    lr = w.optimizers[0].lr
    if signals is None or not signals.update_ratio < TINY_UPDATES:
        return None
    if sweep is not None and sweep.lowest is not None and not lr < sweep.lowest / BELOW_LOWEST:
        return None
    hint = f" Try {sweep.suggestion:.1g}." if sweep is not None and sweep.suggestion is not None else ""
    return finding(
        "lr-low",
        f"The learning rate {lr:.3g} is too low: an update moves weights by {signals.update_ratio:.1g} of their size "
        f"and one batch is not learnt; Adam at 3e-3 learns it.{hint}",
        location=w.optimizers[0].location,
        evidence={"lr": lr, "update_ratio": signals.update_ratio, "threshold": TINY_UPDATES, **_sweep(facts)},
    )


def sign_flipped(facts: Facts) -> Finding | None:
    """The first step goes up the gradient of a loss that can be brought to 0."""
    s, w, rescue = facts.signals, facts.wiring, facts.rescue
    if s is None or w is None or len(w.optimizers) != 1 or not s.ascent > UPHILL or not has_passed(rescue):
        return None
    if rescue is None or min(rescue.losses) < 0:
        return None
    return finding(
        "sign-flipped",
        f"The step goes up the gradient of the loss that backward() is called on (cosine {s.ascent:.2f}); a step down "
        "learns the batch.",
        location=w.optimizers[0].location,
        evidence={"cosine": s.ascent, "threshold": UPHILL},
    )


def weight_decay_high(facts: Facts) -> Finding | None:
    """Most of each update is decay."""
    s, w = facts.signals, facts.wiring
    if s is None or w is None or not s.decay_share > DECAY_SHARE:
        return None
    decay = max((o.weight_decay for o in w.optimizers), default=0.0)
    return finding(
        "weight-decay-high",
        f"{s.decay_share:.0%} of each update is weight decay ({decay:g}).",
        location=w.optimizers[0].location if w.optimizers else None,
        evidence={"share": s.decay_share, "threshold": DECAY_SHARE, "weight_decay": decay},
    )


def cannot_overfit(facts: Facts) -> Finding | None:
    """Not even a safe optimizer learns one batch by heart."""
    rescue = facts.rescue
    if rescue is None or rescue.floor is None or not has_failed(rescue) or facts.wiring is None:
        return None
    if has_passed(facts.user):
        return None
    losses = rescue.losses
    if len(losses) <= 2 * WINDOW or not all(map(math.isfinite, losses)) or is_still_falling(losses):
        return None
    calls = facts.losses.calls if facts.losses is not None else ()
    targets = math.prod(calls[0].target_shape) if calls else rescue.rows
    if facts.wiring.parameters < targets or (
        calls and calls[0].target_is_input == 0 and _rebuilds_input(facts)
    ):
        return None
    return finding(
        "cannot-overfit",
        f"One batch of {rescue.rows} rows is not learnt by heart, not even by Adam at 3e-3 without dropout and weight "
        f"decay: the loss went from {losses[0]:.3g} to {fmean(losses[-5:]):.3g} in {len(losses) - 1} steps "
        f"and stays there.",
        location=facts.wiring.call_location,
        evidence={"excess": excess(rescue), "threshold": PASSED, "steps": len(losses) - 1},
    )


def _rebuilds_input(facts: Facts) -> bool:
    """An autoencoder with a bottleneck cannot give back everything: a third of the start is asked for."""
    calls = facts.losses.calls if facts.losses is not None else ()
    call = calls[0]
    numbers = call.function in ("mse_loss", "l1_loss", "smooth_l1_loss", "huber_loss", "binary_cross_entropy")
    wide = math.prod(call.target_shape) > 8 * max(1, call.target_shape[0]) if call.target_shape else False
    return numbers and wide and facts.rescue is not None and excess(facts.rescue) < 0.3


def labels_unrelated(facts: Facts) -> Finding | None:
    """One batch can be learnt by heart, and nothing that holds beyond it."""
    d, c = facts.data, facts.course
    if d is None or d.neighbour_z is None or d.correlation_excess is None or not has_passed(facts.rescue):
        return None
    if d.neighbour_z >= UNRELATED_Z or d.correlation_excess >= UNRELATED_CORRELATION or not d.prior > 0:
        return None
    reached = [e.loss for e in c.evaluations if math.isfinite(e.loss)] if c is not None else []
    if not reached or min(reached) <= UNRELATED_LOSS * d.prior:
        return None
    return finding(
        "labels-unrelated",
        f"No link between inputs and targets is found: the best validation loss is {min(reached):.3g}, a guess that "
        f"ignores the input has {d.prior:.3g}; nearest neighbours and correlations tell no more than chance.",
        severity="warning",
        evidence={
            "neighbour_z": d.neighbour_z,
            "correlation_excess": d.correlation_excess,
            "best": min(reached),
        },
    )


def batch_too_small(facts: Facts) -> Finding | None:
    """Next to nothing of a gradient is signal."""
    n = facts.noise
    if n is None or n.cosine is None or not n.cosine < LITTLE_SIGNAL or not facts.wiring:
        return None
    return finding(
        "batch-too-small",
        f"{max(0.0, n.cosine):.1%} of a gradient is signal, the rest depends on which {facts.wiring.batch} rows.",
        evidence={"cosine": n.cosine, "threshold": LITTLE_SIGNAL},
    )


def input_bound(facts: Facts) -> Finding | None:
    """The training waits for its data."""
    p = facts.pace
    if p is None or not p.step_s >= LONG_STEP_S or not p.data_share > WAITING:
        return None
    return finding(
        "input-bound",
        f"{p.data_share:.0%} of the time is waiting for batches.",
        evidence={"share": p.data_share, "threshold": WAITING},
    )


RULES = (
    sign_flipped,
    weight_decay_high,
    lr_high,
    lr_low,
    cannot_overfit,
    labels_unrelated,
    batch_too_small,
    input_bound,
)
