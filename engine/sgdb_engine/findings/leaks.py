"""What the outputs depend on, and what they should not."""

from collections.abc import Sequence
from statistics import fmean

from sgdb_engine.events import Finding
from sgdb_engine.findings.facts import Facts
from sgdb_engine.findings.making import finding
from sgdb_engine.findings.optimisation import has_failed

IGNORED = 1e-4
AS_WITHOUT, LAST = 0.9, 5
"""Share of the loss that is reached without inputs; losses that are averaged."""
OTHER_ROWS = 1e-3
LATER_TOKENS = 1e-4
WRONG_GRADIENT, DOUBTFUL_GRADIENT = 0.02, 0.002


def _location(facts: Facts) -> str | None:
    return facts.wiring.call_location if facts.wiring is not None else None


def input_ignored(facts: Facts) -> Finding | None:
    """The same output whatever the input."""
    d = facts.dependencies
    if d is None or d.other_input is None:
        return _learns_as_without_input(facts)
    if not d.other_input < IGNORED:
        return None
    if d.other_input_later is None or not d.other_input_later < IGNORED:
        return None  # an output that begins at 0 learns to depend on its input
    return finding(
        "input-ignored",
        f"The output does not depend on the input: with other inputs it changes by {d.other_input:.1g} of its size.",
        location=_location(facts),
        evidence={"change": d.other_input, "threshold": IGNORED},
    )


def _learns_as_without_input(facts: Facts) -> Finding | None:
    """Where the model could not be asked: one batch is learnt no better with its inputs than with zeros."""
    real, zero = facts.rescue, facts.zero_input
    if zero is None or zero.reason or len(zero.losses) < LAST or not has_failed(real) or real is None:
        return None
    steps = min(len(real.losses), len(zero.losses))
    with_it, without = fmean(real.losses[steps - LAST : steps]), fmean(zero.losses[steps - LAST : steps])
    if not with_it >= AS_WITHOUT * without or not min(real.losses) >= AS_WITHOUT * without:
        return None
    return finding(
        "input-ignored",
        f"One batch is learnt no better with its inputs than with zeros: the loss comes to {with_it:.3g}, without "
        f"inputs to {without:.3g}.",
        location=_location(facts),
        evidence={"loss": with_it, "without_input": without, "threshold": AS_WITHOUT},
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
        f"autograd functions in it: {_list(g.functions)}.{_off(g.layers)}",
        where=g.functions,
        severity="error" if g.error > WRONG_GRADIENT else "warning",
        evidence={"error": g.error, "threshold": WRONG_GRADIENT},
    )


def _off(layers: Sequence[tuple[str, float]]) -> str:
    """In which layers the gradient is off, the worst first."""
    off = sorted(((error, name) for name, error in layers if error > DOUBTFUL_GRADIENT), reverse=True)
    worst = [f"{name} ({error:.0%})" for error, name in off[:3]]
    more = f" and {len(off) - 3} more" if len(off) > 3 else ""
    return (
        f" It is off in {_list(worst)}{more}; right in {len(layers) - len(off)} of {len(layers)} layers."
        if off
        else ""
    )


def _list(names: Sequence[str]) -> str:
    return ", ".join(names)


RULES = (batch_leak, future_leak, input_ignored, gradcheck)
