"""Which finding explains which: the root cause is told first, what follows from it stands folded under it."""

from collections.abc import Sequence

import msgspec

from sgdb_engine.events import Finding

EVERYTHING = "everything"
"""All other codes."""

LEARNS_NOTHING = (
    "cannot-overfit",
    "lr-low",
    "lr-high",
    "labels-unrelated",
    "majority-only",
    "init-loss",
    "underfit",
)
LATER = ("loss-spike", "nonfinite", "dead-relu", "overfit", "label-noise", "grad-underflow")

EXPLAINS: dict[str, tuple[str, ...] | str] = {
    "input-nonfinite": EVERYTHING,
    "no-step": EVERYTHING,
    "nothing-trains": EVERYTHING,
    "opt-wrong-model": EVERYTHING,
    "sign-flipped": (*LEARNS_NOTHING, *LATER, "exploding", "weight-decay-high", "param-not-updated"),
    "no-zero-grad": (*LEARNS_NOTHING, *LATER, "exploding", "clip-too-low"),
    "lr-collapsed": ("lr-low", "cannot-overfit", "param-not-updated", "update-lost", "underfit"),
    "symmetric-init": (
        *LEARNS_NOTHING,
        "input-ignored",
        "dead-relu",
        "vanishing",
        "no-grad-param",
        "param-not-updated",
    ),
    "no-grad-param": (*LEARNS_NOTHING, "gradcheck", "param-not-updated", "vanishing"),
    "param-not-in-opt": (*LEARNS_NOTHING, "param-not-updated"),
    "softmax-before-ce": (*LEARNS_NOTHING, "output-act", "overfit", "sum-reduction"),
    "sigmoid-before-bcel": (*LEARNS_NOTHING, "output-act", "overfit"),
    "probs-to-nll": (*LEARNS_NOTHING, "output-act", "nll-on-logits", "sign-flipped", "exploding", "overfit"),
    "nll-on-logits": (*LEARNS_NOTHING, "exploding"),
    "broadcast": (*LEARNS_NOTHING, "overfit"),
    "target-range": (*LEARNS_NOTHING, "exploding"),
    "target-not-shifted": ("future-leak", "overfit"),
    "future-leak": ("overfit",),
    "output-act": (*LEARNS_NOTHING, "dead-relu", "input-ignored", "vanishing", "overfit"),
    "loss-term-dominates": (*LEARNS_NOTHING, "exploding", "weight-decay-high", "nonfinite", "overfit"),
    "sum-reduction": (
        "lr-high",
        "init-loss",
        "exploding",
        "loss-spike",
        "nonfinite",
        "cannot-overfit",
        "clip-too-low",
    ),
    "target-scale": (
        "init-loss",
        "lr-low",
        "lr-high",
        "exploding",
        "cannot-overfit",
        "loss-spike",
    ),
    "same-batch": ("overfit", "not-shuffled", "label-noise", "dup-workers"),
    "dup-workers": ("overfit", "not-shuffled", "label-noise"),
    "not-shuffled": ("loss-spike", "overfit", "lr-high", "majority-only", "labels-unrelated"),
    "input-scale": (
        *("init-loss", "exploding", "lr-high", "lr-low", "saturated", "dead-relu", "cannot-overfit"),
        *("loss-spike", "nonfinite", "majority-only", "labels-unrelated", "vanishing", "overfit"),
        *("grad-underflow", "underfit"),
    ),
    "batch-leak": (*LEARNS_NOTHING, "nll-on-logits", "train-val-overlap", "overfit"),
    "exploding": (
        "init-loss",
        "lr-high",
        "nonfinite",
        "loss-spike",
        "saturated",
        "cannot-overfit",
        "dead-relu",
        "overfit",
        "grad-underflow",
    ),
    "saturated": ("init-loss", "vanishing", "lr-high", "cannot-overfit", "overfit", "underfit"),
    "init-loss": ("lr-high", "loss-spike", "overfit", "cannot-overfit"),
    "dead-relu": (*LEARNS_NOTHING, "vanishing", "input-ignored", "overfit", "grad-underflow"),
    "grad-underflow": (
        *LEARNS_NOTHING,
        *("vanishing", "input-ignored", "update-lost", "param-not-updated", "nonfinite"),
    ),
    "vanishing": (
        *LEARNS_NOTHING,
        *("dead-relu", "input-ignored", "symmetric-init", "update-lost", "param-not-updated"),
    ),
    "input-ignored": (*LEARNS_NOTHING, "vanishing", "dead-relu", "symmetric-init"),
    "eval-in-train": ("overfit", "label-noise"),
    "bn-small-batch": ("loss-spike", "overfit", "cannot-overfit"),
    "dropout-high": (*LEARNS_NOTHING, "overfit", "vanishing", "loss-spike"),
    "unused-output": ("init-loss",),
    "weight-decay-high": (*LEARNS_NOTHING, "vanishing", "dead-relu", "input-ignored"),
    "update-lost": (
        "lr-low",
        "param-not-updated",
        "cannot-overfit",
        "labels-unrelated",
        "majority-only",
        "underfit",
    ),
    "clip-too-low": ("lr-low", "cannot-overfit", "majority-only", "labels-unrelated", "underfit"),
    "lr-high": (
        "dead-relu",
        "nonfinite",
        "loss-spike",
        "majority-only",
        "labels-unrelated",
        "overfit",
        "exploding",
        "saturated",
        "cannot-overfit",
        "grad-underflow",
        "underfit",
    ),
    "lr-low": ("majority-only", "labels-unrelated", "cannot-overfit", "param-not-updated", "underfit"),
    "gradcheck": ("cannot-overfit", "labels-unrelated", "underfit"),
    "cannot-overfit": ("labels-unrelated", "majority-only", "underfit"),
    "val-preproc": ("overfit", "labels-unrelated"),
    "majority-only": ("labels-unrelated", "overfit", "label-noise", "underfit"),
    "labels-unrelated": ("overfit", "majority-only", "label-noise", "underfit"),
    "label-noise": ("overfit",),
    "train-in-val": ("overfit", "label-noise"),
    "overfit": (),
    "loss-spike": (),
}
"""Cause → what it brings about. In the order of trust: exact findings first, what is read off curves last."""

AT_FIRST = "at_first"
"""In the evidence of what was not so in the first steps: something else has brought it about."""
BY_THEN: dict[str, tuple[str, ...]] = {
    "dead-relu": ("majority-only", "labels-unrelated", "overfit", "underfit")
}
"""What such a finding explains: nothing that may have come before it."""
LAST_CAUSE = "lr-high"
"""Of those that may have; it is ranked behind that."""

SEVERITIES = {"error": 0, "warning": 1, "info": 2}


def _rank(finding: Finding) -> tuple[int, int, int]:
    order = list(EXPLAINS)
    code = LAST_CAUSE if _came_later(finding) else finding.code
    place = 2 * order.index(code) if code in EXPLAINS else 2 * len(order)
    return finding.severity == "info", place + (code != finding.code), SEVERITIES[finding.severity]


def _came_later(finding: Finding) -> bool:
    return finding.code in BY_THEN and AT_FIRST in finding.evidence


def explains(cause: str, code: str) -> bool:
    """Whether one finding is what brings about another."""
    effects = EXPLAINS.get(cause, ())
    return cause != code and (effects == EVERYTHING or code in effects)


def _brings_about(cause: Finding, effect: Finding) -> bool:
    if _came_later(cause):
        return effect.code in BY_THEN[cause.code]
    return explains(cause.code, effect.code)


def root_cause_first(findings: Sequence[Finding]) -> list[Finding]:
    """The most probable cause first; what a cause explains follows it and names it in `cause`.

    From the top down, and what is explained explains nothing itself: otherwise two findings could hide each other.
    """
    waiting = sorted(findings, key=_rank)
    ordered: list[Finding] = []
    while waiting:
        cause = waiting.pop(0)
        ordered.append(msgspec.structs.replace(cause, cause=""))
        if cause.severity == "info" or cause.state == "cleared":
            continue
        effects = [f for f in waiting if _brings_about(cause, f)]
        ordered += [msgspec.structs.replace(f, cause=cause.code) for f in effects]
        waiting = [f for f in waiting if f not in effects]
    return ordered
