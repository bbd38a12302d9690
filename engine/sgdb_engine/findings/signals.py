"""Activations, gradients and weights at initialisation and after the first steps."""

import math
from statistics import fmean

from sgdb_engine.events import Finding
from sgdb_engine.findings.facts import Facts, LayerSignal
from sgdb_engine.findings.making import finding, layers_of, named
from sgdb_engine.findings.order import AT_FIRST

HIGH_START, FAR_TOO_HIGH_START = 2.0, 10.0
WHOLE = 0.05
VANISHED = 1e-4
GROWN = 100.0
DEAD, ALL_DEAD = 0.5, 0.95
DEAD_FORWARDS = 10
SATURATED = 0.5
LOST = 0.5
SEEN_TO_MOVE = 1e-4
"""Median of update by weight."""
WARM = 0.5
"""Share of the full learning rate."""
UNDERFLOWN = 0.5
LOWEST_SCALE = 1.0


def init_loss(facts: Facts) -> Finding | None:
    """The first loss is far above that of a model that knows nothing."""
    losses, noise = facts.losses, facts.noise
    call = losses.calls[0] if losses is not None and len(losses.calls) == 1 else None
    if call is None or noise is None or not noise.losses or not call.baseline > 0:
        return None
    if (
        losses is None
        or not losses.totals
        or not abs(losses.totals[0] - call.value) <= WHOLE * abs(call.value)
    ):
        return None  # something is added to it, as to that of a VAE
    start = fmean(noise.losses)
    if not math.isfinite(start) or start <= HIGH_START * call.baseline:
        return None
    return finding(
        "init-loss",
        f"The loss starts at {start:.3g}; a model that knows nothing has {call.baseline:.3g}. The outputs start with "
        f"standard deviation {call.logit_std:.3g}.",
        severity="error" if start > FAR_TOO_HIGH_START * call.baseline else "warning",
        location=call.location,
        evidence={
            "start": start,
            "baseline": call.baseline,
            "threshold": HIGH_START,
            "output_std": call.logit_std,
        },
    )


def _has_constant_input(facts: Facts) -> bool:
    """Outputs that do not depend on the input at all, although no layer is dead: the input itself is constant."""
    d, s = facts.dependencies, facts.signals
    if d is None or s is None or d.other_input != 0 or d.other_input_later != 0:
        return False
    return not s.equal_rows and all(layer.dead <= ALL_DEAD for layer in s.layers if layer.kind == "relu")


def symmetric_init(facts: Facts) -> Finding | None:
    """Units that start alike stay alike."""
    s = facts.signals
    if s is None or not s.equal_rows:
        return None
    return finding(
        "symmetric-init",
        f"The units of {named(s.equal_rows)} start with the same weights and are still the same after {s.steps} steps.",
        where=layers_of(s.equal_rows),
        evidence={"weights": len(s.equal_rows), "steps": s.steps},
    )


def vanishing(facts: Facts) -> Finding | None:
    """No gradient comes down to the first layer."""
    s = facts.signals
    if s is None or s.gradient_ratio is None or not s.gradient_ratio < VANISHED or _has_constant_input(facts):
        return None
    if _warms_up(facts):
        return None  # a branch that begins at zero is nearly there still
    return finding(
        "vanishing",
        f"The gradient of {s.first_weight} is {s.gradient_ratio:.1g} times that of the last layer, at the start and "
        f"after {s.steps} steps.",
        where=layers_of([s.first_weight]),
        evidence={"ratio": s.gradient_ratio, "threshold": VANISHED},
    )


def _warms_up(facts: Facts) -> bool:
    """The learning rate has not come near to its full size yet."""
    c, w = facts.course, facts.wiring
    full = max((o.lr for o in w.optimizers), default=math.nan) if w is not None else math.nan
    return c is not None and c.highest_lr < WARM * full


def exploding(facts: Facts) -> Finding | None:
    """Activations grow from layer to layer."""
    s = facts.signals
    if s is None or not s.growth > GROWN:
        return None
    weighted = [layer for layer in s.layers if layer.kind == "weights"]
    return finding(
        "exploding",
        f"The outputs of the layers grow {s.growth:.3g} times from {weighted[0].name} to {weighted[-1].name}.",
        where=[weighted[-1].name],
        evidence={"growth": s.growth, "threshold": GROWN},
    )


def _most(layer: LayerSignal) -> float:
    """The share of dead units that is not too many: of a few units half are off by chance, give or take 1/(2√n)."""
    return min(ALL_DEAD, DEAD + 0.5 / math.sqrt(layer.units)) if layer.units else DEAD


def dead_relu(facts: Facts) -> Finding | None:
    """Units that never fire."""
    s = facts.signals
    if s is None or s.forwards < DEAD_FORWARDS:
        return None
    dead = [
        layer
        for layer in s.layers
        if layer.kind == "relu" and layer.dead > _most(layer) and not layer.is_last
    ]
    if not dead or _has_constant_input(facts):
        return None
    worst = max(dead, key=lambda layer: layer.dead)
    died = all(layer.dead_at_first <= _most(layer) for layer in dead)
    evidence: dict[str, float | int | str] = {"share": worst.dead, "threshold": _most(worst)}
    batches = (
        f"{min(s.forwards, 20)} batches" if s.forwards <= 20 or not died else "the last 20 batches looked at"
    )
    return finding(
        "dead-relu",
        f"{worst.dead:.0%} of the units of {worst.name} gave 0 for every row of {batches}"
        + (f"; at the start it was {worst.dead_at_first:.0%}." if died else "."),
        severity="error" if worst.dead > ALL_DEAD else "warning",
        where=[layer.name for layer in dead],
        evidence={**evidence, AT_FIRST: worst.dead_at_first} if died else evidence,
    )


def saturated(facts: Facts) -> Finding | None:
    """Hidden units at their ends, where no gradient passes."""
    s = facts.signals
    full = [layer for layer in s.layers if layer.saturated > SATURATED and not layer.is_last] if s else []
    if not full:
        return None
    worst = max(full, key=lambda layer: layer.saturated)
    return finding(
        "saturated",
        f"{worst.saturated:.0%} of the values of {worst.name} ({worst.kind}) lie at its ends at the start.",
        where=[layer.name for layer in full],
        evidence={"share": worst.saturated, "threshold": SATURATED},
    )


def update_lost(facts: Facts) -> Finding | None:
    """Updates too small for the type of the weights."""
    s = facts.signals
    if s is None or not s.lost_updates > LOST or s.weight_type not in ("bfloat16", "float16"):
        return None
    return finding(
        "update-lost",
        f"{s.lost_updates:.1%} of the updates change nothing: they round to zero in {s.weight_type}.",
        evidence={"share": s.lost_updates, "threshold": LOST},
    )


def param_not_updated(facts: Facts) -> Finding | None:
    """Gradients, an optimizer, and no movement."""
    s, w = facts.signals, facts.wiring
    if s is None or w is None or not s.unmoved:
        return None
    if s.weight_type != "float32" or not s.update_ratio > SEEN_TO_MOVE:
        return None  # small steps are lost in rounding where weights are 1
    return finding(
        "param-not-updated",
        f"{named(s.unmoved)} did not change in {s.steps} steps, although gradients are there.",
        where=layers_of(s.unmoved),
        location=w.optimizers[0].location if w.optimizers else None,
        evidence={"parameters": len(s.unmoved), "steps": s.steps},
    )


def grad_underflow(facts: Facts) -> Finding | None:
    """Gradients too small for float16."""
    s, c = facts.signals, facts.course
    scale = c.loss_scale if c is not None else math.nan
    if scale < LOWEST_SCALE:
        return finding(
            "grad-underflow",
            f"The scale of the GradScaler fell to {scale:.3g}: the gradients were not finite at any larger one, and "
            "below 1 it makes small ones vanish.",
            evidence={"scale": scale, "threshold": LOWEST_SCALE},
        )
    if s is None or scale > LOWEST_SCALE or not s.underflown > UNDERFLOWN:
        return None
    return finding(
        "grad-underflow",
        f"{s.underflown:.0%} of the values of the gradients are exactly 0, and most others nearly: they are too small "
        "for float16.",
        evidence={"share": s.underflown, "threshold": UNDERFLOWN},
    )


RULES = (
    symmetric_init,
    exploding,
    saturated,
    init_loss,
    vanishing,
    dead_relu,
    grad_underflow,
    update_lost,
    param_not_updated,
)
