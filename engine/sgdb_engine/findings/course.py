"""What shows only as a run goes on."""

import math
from statistics import fmean, linear_regression

from sgdb_engine.events import Finding
from sgdb_engine.findings.facts import Course, Evaluation, Facts
from sgdb_engine.findings.making import finding

BLOW_UP = 1.3
EARLY_STEPS = 10
FEW_ROWS = 8
COLLAPSED, STILL_HIGH = 1e-3, 0.7
COLLAPSED_STEPS = 50
EPOCHS = 6
RISE, RISE_OF_START, TRAIN_FALL = 1.15, 0.10, 0.9
LAST = 3
BETTER = 0.02
ACCURACY_DROP = 0.06
MAJORITY, RECALL, MAJORITY_EPOCHS = 0.8, 0.1, 3
SHRUNK = 0.1
TINY_CLIP = 0.02
MINDS_SIZE = ("SGD", "ASGD")
"""Optimizers whose step is as large as the gradient; all others divide its size out."""
VAL_TIMES = 5.0
FLAT_EPOCHS, FLAT_PART, FLAT_LEAST = 10, 0.3, 4
FLAT, ALIKE, STILL_UNLEARNT, RATE_LEFT = 0.01, 0.1, 0.5, 0.01


def lr_high(facts: Facts) -> Finding | None:
    """The loss jumps up at once."""
    c = facts.course
    if c is None or c.steps < EARLY_STEPS or not c.early_peak > BLOW_UP:
        return None
    if facts.wiring is not None and 0 < facts.wiring.batch < FEW_ROWS:
        return None  # the first loss says too little of where it starts
    if not (c.early_median > BLOW_UP or c.early_peak > c.early_median + c.early_noise):
        return None  # losses that differ so much from batch to batch reach that by chance
    if c.early_peak * c.start <= BLOW_UP * _blind_loss(facts):
        return None  # the first batch was easier than most
    return finding(
        "lr-high",
        f"The loss rose to {c.early_peak:.3g} times its start within the first steps, at a learning rate of "
        f"{c.highest_lr:.3g}.",
        step=min(c.steps, 80),
        evidence={"peak": c.early_peak, "threshold": BLOW_UP, "lr": c.highest_lr},
    )


def _blind_loss(facts: Facts) -> float:
    """The loss of a guess that ignores the input, over all targets that were seen; 0 where it is not known."""
    losses, d = facts.losses, facts.data
    call = losses.calls[0] if losses is not None and len(losses.calls) == 1 else None
    if call is None or d is None or call.reduction != "mean" or not d.prior > 0:
        return 0.0
    return d.prior if call.function in ("mse_loss", "cross_entropy") and call.is_plain else 0.0


def lr_collapsed(facts: Facts) -> Finding | None:
    """The learning rate is gone before anything was learnt."""
    c = facts.course
    if c is None or c.steps < COLLAPSED_STEPS or not c.lr < COLLAPSED * c.highest_lr:
        return None
    if not c.recent > STILL_HIGH * c.start:
        return None
    return finding(
        "lr-collapsed",
        f"The learning rate fell from {c.highest_lr:.3g} to {c.lr:.3g} within {c.steps} steps; the loss is still "
        f"{c.recent / c.start:.0%} of its start.",
        step=c.steps,
        evidence={"lr": c.lr, "highest_lr": c.highest_lr, "threshold": COLLAPSED},
    )


def loss_spike(facts: Facts) -> Finding | None:
    """One step's loss jumps far above those around it."""
    c, w = facts.course, facts.wiring
    if c is None or not c.spike_step or (w is not None and 0 < w.batch < FEW_ROWS):
        return None
    before = sum(each.step < c.spike_step for each in c.evaluations)  # one follows each epoch, as a rule
    return finding(
        "loss-spike",
        f"The loss jumped to {c.spike:.3g} at step {c.spike_step}, {c.spike / max(c.spike_median, 1e-12):.0f} times "
        "the median of the 50 steps before.",
        step=c.spike_step,
        where=[f"epoch {before + 1}"] if c.evaluations else [],
        evidence={"loss": c.spike, "median": c.spike_median},
    )


def _best(evaluations: tuple[Evaluation, ...]) -> int:
    return min(range(len(evaluations)), key=lambda i: evaluations[i].loss)


def _has_overfitted(c: Course) -> bool:
    e = [each for each in c.evaluations if math.isfinite(each.loss)]
    if len(e) < EPOCHS or len(e) != len(c.evaluations):
        return False
    best = e[_best(c.evaluations)]
    last, train = fmean(each.loss for each in e[-LAST:]), e[-1].train_loss
    recognised = fmean(each.accuracy for each in e[-LAST:])
    if recognised > best.accuracy + BETTER:
        return False  # surer of itself where it errs, but it errs less
    if not (best.loss > 0 and c.start > 0):
        return False  # shares mean nothing of a loss that may be negative
    return (
        last > RISE * best.loss
        and last - best.loss > RISE_OF_START * max(c.start, e[0].loss)
        and train < TRAIN_FALL * best.train_loss
    )


def overfit(facts: Facts) -> Finding | None:
    """Validation gets worse while training gets better."""
    c = facts.course
    if c is None or not _has_overfitted(c):
        return None
    k = _best(c.evaluations)
    best, last = c.evaluations[k], c.evaluations[-1]
    return finding(
        "overfit",
        f"Overfitting since evaluation {k + 1} of {len(c.evaluations)} (step {best.step}): validation rose from "
        f"{best.loss:.3g} to {last.loss:.3g} while the training loss fell from {best.train_loss:.3g} to "
        f"{last.train_loss:.3g}.",
        step=best.step,
        evidence={"best": best.loss, "last": last.loss, "rise_of_start": (last.loss - best.loss) / c.start},
    )


def label_noise(facts: Facts) -> Finding | None:
    """Validation accuracy falls again while the training goes on learning."""
    c = facts.course
    if c is None or not _has_overfitted(c) or not all(math.isfinite(e.accuracy) for e in c.evaluations):
        return None
    peak = max(c.evaluations, key=lambda e: e.accuracy)
    last = fmean(e.accuracy for e in c.evaluations[-LAST:])
    error = math.sqrt(peak.accuracy * (1 - peak.accuracy) / max(1, peak.rows))
    if peak.accuracy - last <= max(ACCURACY_DROP, 2 * error) or peak.accuracy <= peak.majority + 2 * error:
        return None
    return finding(
        "label-noise",
        f"Validation accuracy peaked at {peak.accuracy:.1%} (step {peak.step}) and fell to {last:.1%} while the "
        "training loss kept falling: labels are being learnt by heart that do not generalise.",
        step=peak.step,
        evidence={"peak": peak.accuracy, "last": last, "threshold": max(ACCURACY_DROP, 2 * error)},
    )


def underfit(facts: Facts) -> Finding | None:
    """Training and validation stand still together, far from the end."""
    c, prior = facts.course, _blind_loss(facts)
    if c is None or len(c.evaluations) < FLAT_EPOCHS or not prior > 0 or not c.lr > RATE_LEFT * c.highest_lr:
        return None
    last = c.evaluations[-max(FLAT_LEAST, round(FLAT_PART * len(c.evaluations))) :]
    if not all(each.loss > 0 and each.train_loss > 0 for each in last):
        return None
    train, val = fmean(each.train_loss for each in last), fmean(each.loss for each in last)
    slope = linear_regression(range(len(last)), [math.log(each.train_loss) for each in last]).slope
    if not (abs(slope) < FLAT and abs(val - train) <= ALIKE * train and train > STILL_UNLEARNT * prior):
        return None
    return finding(
        "underfit",
        f"No progress over the last {len(last)} evaluations: training stays at {train:.3g}, validation at {val:.3g}; "
        f"a guess that ignores the input has {prior:.3g}.",
        step=last[0].step,
        evidence={"slope": slope, "threshold": FLAT, "training": train, "validation": val, "prior": prior},
    )


def majority_only(facts: Facts) -> Finding | None:
    """One class is predicted whatever the input."""
    c = facts.course
    if c is None or len(c.evaluations) < MAJORITY_EPOCHS:
        return None
    last = c.evaluations[-1]
    if last.majority <= MAJORITY or last.predicted != 1 or last.lowest_recall >= RECALL:
        return None
    return finding(
        "majority-only",
        f"Only one class is predicted; it makes up {last.majority:.0%} of the validation rows.",
        step=last.step,
        evidence={"majority": last.majority, "lowest_recall": last.lowest_recall},
    )


def weight_decay_high(facts: Facts) -> Finding | None:
    """The weights are pulled to zero."""
    c, w = facts.course, facts.wiring
    if c is None or w is None or not c.weight_ratio < SHRUNK:
        return None
    decay = max((o.weight_decay for o in w.optimizers), default=0.0)
    if not decay > 0:
        return None
    return finding(
        "weight-decay-high",
        f"The weights shrank to {c.weight_ratio:.2%} of their first norm; weight decay is {decay:g}.",
        step=c.steps,
        location=w.optimizers[0].location,
        evidence={"ratio": c.weight_ratio, "threshold": SHRUNK, "weight_decay": decay},
    )


def clip_too_low(facts: Facts) -> Finding | None:
    """Next to nothing is left of each gradient; Adam does not mind the size."""
    c, w = facts.course, facts.wiring
    if c is None or w is None or not c.clip_coef < TINY_CLIP or c.steps < EARLY_STEPS:
        return None
    if any(o.kind not in MINDS_SIZE for o in w.optimizers):
        return None
    return finding(
        "clip-too-low",
        f"Clipping leaves {c.clip_coef:.2%} of the gradients (median over the last steps).",
        step=c.steps,
        evidence={"clip_coef": c.clip_coef, "threshold": TINY_CLIP},
    )


def val_preproc(facts: Facts) -> Finding | None:
    """The validation loss is out of all proportion from the first evaluation on."""
    c, d = facts.course, facts.data
    if c is None or len(c.evaluations) < 2 or d is None or d.val_std_factor is None or d.val_std_factor < 2:
        return None
    first, last = c.evaluations[0], c.evaluations[-1]
    if not (first.train_loss > 0 and last.train_loss > 0):
        return None
    if not (first.loss > VAL_TIMES * first.train_loss and last.loss > VAL_TIMES * last.train_loss):
        return None
    return finding(
        "val-preproc",
        f"The validation loss ({first.loss:.3g}) is {first.loss / first.train_loss:.0f} times the training loss from "
        "the first evaluation on.",
        step=first.step,
        evidence={"validation": first.loss, "training": first.train_loss},
    )


RULES = (
    lr_high,
    lr_collapsed,
    loss_spike,
    weight_decay_high,
    clip_too_low,
    majority_only,
    label_noise,
    overfit,
    val_preproc,
    underfit,
)
