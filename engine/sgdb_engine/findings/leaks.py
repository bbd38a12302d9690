"""What the outputs depend on, and what they should not."""

from collections.abc import Sequence

from sgdb_engine.events import Finding
from sgdb_engine.findings.facts import Facts
from sgdb_engine.findings.making import finding

IGNORED = 1e-4
OTHER_ROWS = 1e-3
LATER_TOKENS = 1e-4
WRONG_GRADIENT, DOUBTFUL_GRADIENT = 0.02, 0.002


def _location(facts: Facts) -> str | None:
    return facts.wiring.call_location if facts.wiring is not None else None


def input_ignored(facts: Facts) -> Finding | None:
    """The same output whatever the input."""
    d = facts.dependencies
    if d is None or d.other_input is None or not d.other_input < IGNORED:
        return None
    if d.other_input_later is None or not d.other_input_later < IGNORED:
        return None  # an output that begins at 0 learns to depend on its input
    return finding(
        "input-ignored",
        f"The output does not depend on the input: with other inputs it changes by {d.other_input:.1g} of its size.",
        location=_location(facts),
        evidence={"change": d.other_input, "threshold": IGNORED},
    )


def batch_leak(facts: Facts) -> Finding | None:
    """Rows of a batch influence each other."""
    d = facts.dependencies
    if d is None or d.other_rows is None or not d.other_rows > OTHER_ROWS:
        return None
    return finding(
        "batch-leak",
        f"The output of a row depends on the other rows of its batch, in eval mode too: it changes by "
        f"{d.other_rows:.2g} of the spread of the outputs when they are replaced.",
        location=_location(facts),
        evidence={"change": d.other_rows, "threshold": OTHER_ROWS},
    )


def future_leak(facts: Facts) -> Finding | None:
    """A text model sees what it is to predict."""
    d = facts.dependencies
    if d is None or d.later_tokens is None or not d.later_tokens > LATER_TOKENS:
        return None
    return finding(
        "future-leak",
        f"Places before {d.position} change when the tokens from {d.position} on are replaced: they see what they "
        "are to predict.",
        location=_location(facts),
        evidence={"change": d.later_tokens, "threshold": LATER_TOKENS, "position": d.position},
    )


def gradcheck(facts: Facts) -> Finding | None:
    """A backward that is not the derivative of its forward."""
    g = facts.gradient_check
    if g is None or g.error is None or not g.functions or not g.error > DOUBTFUL_GRADIENT:
        return None
    return finding(
        "gradcheck",
        f"The gradient of the loss is off by {g.error:.1%}, compared with differences of the loss in float64; "
        f"autograd functions in it: {_list(g.functions)}.",
        where=g.functions,
        severity="error" if g.error > WRONG_GRADIENT else "warning",
        evidence={"error": g.error, "threshold": WRONG_GRADIENT},
    )


def _list(names: Sequence[str]) -> str:
    return ", ".join(names)


RULES = (batch_leak, future_leak, input_ignored, gradcheck)
