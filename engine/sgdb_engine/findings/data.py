"""What is wrong with the examples."""

import math

from sgdb_engine.events import Finding
from sgdb_engine.findings.facts import Facts
from sgdb_engine.findings.making import finding

LARGE_RMS = 10.0
UNEVEN_RMS, UNEVEN_STD = 5.0, 1e3
LARGE_TARGETS, SMALL_TARGETS, FAR_TARGETS = 10.0, 1e-2, 5.0
ORDER_RATIO, ORDER_Z = 4.0, 10.0
REPEATED = 0.8
EQUAL_ROUNDS = 0.9
OVERLAP = 0.05
FEW_FEATURES = 4
LEAK, LEAK_CORRELATION = 0.95, 0.999
VAL_FACTOR = 3.0
NUMBERS = ("mse_loss", "l1_loss", "smooth_l1_loss", "huber_loss")


def input_nonfinite(facts: Facts) -> Finding | None:
    """NaN in the data."""
    d = facts.data
    if d is None or not d.nonfinite:
        return None
    features = ", ".join(map(str, d.nonfinite_features))
    values, are = ("value", "is") if d.nonfinite == 1 else ("values", "are")
    word = "feature" if len(d.nonfinite_features) == 1 else "features"
    return finding(
        "input-nonfinite",
        f"{d.nonfinite} {values} of the model's input {are} NaN or infinite, in {word} {features} (from 0).",
        where=[f"feature {i}" for i in d.nonfinite_features],
        evidence={"values": d.nonfinite, "rows": d.rows},
    )


def input_scale(facts: Facts) -> Finding | None:
    """Numbers far from the usual 0 ± 1."""
    d = facts.data
    if d is None or d.integer or d.starts_with_norm or not math.isfinite(d.rms):
        return None
    if not (d.rms > LARGE_RMS or (d.std_ratio > UNEVEN_STD and d.rms > UNEVEN_RMS)):
        return None
    uneven = d.std_ratio > UNEVEN_STD
    spread = f"; the spread of its features differs {d.std_ratio:.0f} times, feature {d.widest} is the widest"
    return finding(
        "input-scale",
        f"The input goes from {d.low:.4g} to {d.high:.4g} (rms {d.rms:.3g}){spread if uneven else ''}.",
        where=[f"feature {d.widest}"] if uneven else [],
        evidence={"rms": d.rms, "threshold": LARGE_RMS, "std_ratio": d.std_ratio},
    )


def target_scale(facts: Facts) -> Finding | None:
    """Numbers that the output has a long way to."""
    losses = facts.losses
    call = losses.calls[0] if losses is not None and losses.calls else None
    if call is None or call.function not in NUMBERS or not math.isfinite(call.target_std):
        return None
    mean, std = call.target_mean, call.target_std
    if facts.data is not None and math.isfinite(facts.data.target_std):
        mean, std = facts.data.target_mean, facts.data.target_std
    far = abs(mean) / std if std > 0 else 0.0
    if not (std > LARGE_TARGETS or 0 < std < SMALL_TARGETS or far > FAR_TARGETS):
        return None
    start = losses.reported[0] if losses is not None and losses.reported else math.nan
    variance_like = call.blind
    if math.isfinite(start) and math.isfinite(variance_like) and start <= 1.5 * variance_like:
        return None  # the last layer starts at their mean
    return finding(
        "target-scale",
        f"The targets have mean {mean:.3g} and standard deviation {std:.3g}: far from the usual 0 ± 1.",
        location=call.location,
        evidence={"mean": mean, "std": std},
    )


def not_shuffled(facts: Facts) -> Finding | None:
    """Batches differ from each other more than chance allows."""
    d = facts.data
    if (
        d is None
        or not d.order_ratio > ORDER_RATIO
        or not d.order_z > ORDER_Z
        or d.repeated_batches > REPEATED
    ):
        return None
    how = (
        f"{d.purest_batches:.0%} of the batches hold one class only"
        if d.purest_batches > 0.5
        else f"the targets of the batches differ {d.order_ratio:.0f} times as much as those of shuffled ones"
    )
    return finding(
        "not-shuffled",
        f"The examples come in the order of their targets: {how}.",
        evidence={"ratio": d.order_ratio, "threshold": ORDER_RATIO, "z": d.order_z},
    )


def same_batch(facts: Facts) -> Finding | None:
    """The same rows over and over."""
    d = facts.data
    if d is None or d.whole_set or d.all_equal or not d.repeated_batches > REPEATED:
        return None
    return finding(
        "same-batch",
        f"{d.repeated_batches:.0%} of {d.batches} batches hold the very rows of the first one.",
        location=facts.wiring.call_location if facts.wiring else None,
        evidence={"share": d.repeated_batches, "threshold": REPEATED},
    )


def dup_workers(facts: Facts) -> Finding | None:
    """Each worker of a loader gives what the others give."""
    d = facts.data
    if d is None or not d.equal_rounds > EQUAL_ROUNDS:
        return None
    return finding(
        "dup-workers",
        f"The {d.workers} workers of the loader give the same batches: each comes {d.workers} times in a row.",
        location=facts.wiring.call_location if facts.wiring else None,
        evidence={"workers": d.workers, "share": d.equal_rounds, "threshold": EQUAL_ROUNDS},
    )


def train_val_overlap(facts: Facts) -> Finding | None:
    """Validation on what is trained on."""
    d = facts.data
    if d is None or d.overlap is None or not d.val_rows:
        return None
    # a row drawn at random has an equal in the training data as often as a training row has
    usual = d.duplicates * (2 if d.integer else 1)
    threshold = OVERLAP + usual + 2 * math.sqrt(usual * max(0.0, 1 - usual) / d.val_rows)
    if not d.overlap > threshold:
        return None
    return finding(
        "train-val-overlap",
        f"{d.overlap:.0%} of {d.val_rows} validation rows are among the training rows.",
        evidence={"share": d.overlap, "threshold": threshold},
    )


def target_leak(facts: Facts) -> Finding | None:
    """The answer stands in the question."""
    d = facts.data
    if d is None or d.leak_feature < 0 or not d.leak > (LEAK if d.classes else LEAK_CORRELATION):
        return None
    if d.features < FEW_FEATURES:
        return None  # that may be the task itself
    return finding(
        "target-leak",
        f"Feature {d.leak_feature} (from 0) alone tells the target: {d.leak:.1%} of what there is to know.",
        where=[f"feature {d.leak_feature}"],
        evidence={"share": d.leak, "threshold": LEAK if d.classes else LEAK_CORRELATION},
    )


def val_preproc(facts: Facts) -> Finding | None:
    """Validation data were prepared in another way."""
    d = facts.data
    if d is None or d.val_std_factor is None or not d.val_std_factor > VAL_FACTOR:
        return None
    return finding(
        "val-preproc",
        f"The features of the validation inputs spread {d.val_std_factor:.1f} times unlike the training ones.",
        evidence={"factor": d.val_std_factor, "threshold": VAL_FACTOR},
    )


RULES = (
    input_nonfinite,
    input_scale,
    target_scale,
    same_batch,
    dup_workers,
    not_shuffled,
    train_val_overlap,
    target_leak,
    val_preproc,
)
