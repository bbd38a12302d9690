"""What is exact: graph, optimizers, order of calls, modes. A rule takes facts and gives a finding or None."""

from sgdb_engine.events import Finding
from sgdb_engine.findings.facts import Facts
from sgdb_engine.findings.making import finding, layers_of, named

NO_STEPS, MANY_BACKWARDS = 20, 200
"""Backward passes without any update, of a training that is over or of one that may be accumulating."""
UPDATES = 2
"""With fewer of them an optimizer that is made late may be missing."""
UNUSED_UPDATES = 20
LEFTOVER = 0.9
LEFTOVER_STEPS = 2
EVAL_UPDATES = 10
SMALL_BATCH = 8
HIGH_DROPOUT = 0.8


def no_step(facts: Facts) -> Finding | None:
    """Gradients are computed and never used."""
    w = facts.wiring
    if w is None or w.updates or w.left_out_by_scaler or not (w.optimizers or w.made):
        return None  # or a scaler left them out
    if w.backwards < (NO_STEPS if w.ended else MANY_BACKWARDS):
        return None
    return finding(
        "no-step",
        f"backward() ran {w.backwards} times, optimizer.step() never: no weight changes.",
        location=w.backward_location,
        evidence={"backwards": w.backwards, "updates": 0},
    )


def opt_wrong_model(facts: Facts) -> Finding | None:
    """What gets gradients and what is updated have nothing in common."""
    w = facts.wiring
    if (
        w is None
        or not w.optimizers
        or not w.reached
        or w.shared
        or not (w.updates or w.backwards >= NO_STEPS)
    ):
        return None
    if all(len(o.frozen) == o.tensors for o in w.optimizers):
        return None
    return finding(
        "opt-wrong-model",
        f"The optimizer updates none of the {w.reached} parameters that get gradients: it holds another model's.",
        location=w.optimizers[0].location,
        where=layers_of(w.unoptimized),
        evidence={"shared": 0, "with_gradient": w.reached},
    )


def nothing_trains(facts: Facts) -> Finding | None:
    """All that the optimizers hold is frozen."""
    w = facts.wiring
    if w is None:
        return None
    if w.cut_off:
        all_frozen = w.model_parameters > 0 and not w.parameters
        return finding(
            "nothing-trains",
            f"All {w.model_parameters} parameters of the model are frozen (requires_grad is False)."
            if all_frozen
            else "The loss does not depend on any trainable parameter: the graph is cut on the way to it.",
            location=w.backward_location,
            advice="Let at least the last layer train: requires_grad_(True)."
            if all_frozen
            else "Look for a detach, no_grad, .data, .item() or argmax between the model and the loss.",
            evidence={"parameters": w.model_parameters},
        )
    if (
        not w.optimizers
        or any(len(o.frozen) < o.tensors for o in w.optimizers)
        or not (w.updates or w.backwards)
    ):
        return None
    frozen = [name for o in w.optimizers for name in o.frozen]
    return finding(
        "nothing-trains",
        f"All {len(frozen)} parameters given to the optimizer are frozen (requires_grad is False): {named(frozen)}.",
        location=w.optimizers[0].location,
        where=layers_of(frozen),
        evidence={"frozen": len(frozen)},
    )


def param_not_in_opt(facts: Facts) -> Finding | None:
    """Gradients that nobody uses."""
    w = facts.wiring
    if w is None or not w.optimizers or not w.unoptimized or not w.shared or w.updates < UPDATES:
        return None
    some = len(w.unoptimized)
    gets = "gets gradients" if some == 1 else "get gradients"
    it = "it" if some == 1 else "them"
    return finding(
        "param-not-in-opt",
        f"{named(w.unoptimized)} {gets}, but no optimizer updates {it}.",
        location=w.optimizers[0].location,
        where=layers_of(w.unoptimized),
        evidence={"parameters": some},
    )


def frozen_in_opt(facts: Facts) -> Finding | None:
    """Harmless."""
    w = facts.wiring
    frozen = [name for o in w.optimizers for name in o.frozen] if w is not None else []
    if w is None or not frozen or all(len(o.frozen) == o.tensors for o in w.optimizers):
        return None
    return finding(
        "frozen-in-opt",
        f"{len(frozen)} frozen tensors are in the optimizer: {named(frozen)}.",
        location=w.optimizers[0].location,
        where=layers_of(frozen),
        evidence={"frozen": len(frozen)},
    )


def no_grad_param(facts: Facts) -> Finding | None:
    """The graph is cut between a layer and the loss."""
    w = facts.wiring
    if w is None or not w.cut or not w.updates:
        return None
    return finding(
        "no-grad-param",
        f"{named(w.cut)}: computed with, and held by the optimizer, but no gradient comes back.",
        location=w.call_location,
        where=layers_of(w.cut),
        evidence={"parameters": len(w.cut)},
    )


def unused_param(facts: Facts) -> Finding | None:
    """Held, and not computed with."""
    w = facts.wiring
    if w is None or not w.unused or w.updates < UNUSED_UPDATES:
        return None
    some = len(w.unused)
    return finding(
        "unused-param",
        f"{named(w.unused)}: {'is' if some == 1 else 'are'} in the optimizer, but nothing is computed with "
        f"{'it' if some == 1 else 'them'}.",
        where=layers_of(w.unused),
        location=w.call_location,
        evidence={"parameters": some},
    )


def no_zero_grad(facts: Facts) -> Finding | None:
    """Each gradient is the sum of all before it."""
    w = facts.wiring
    if w is None or w.judged_steps < LEFTOVER_STEPS or not w.leftover > LEFTOVER:
        return None
    return finding(
        "no-zero-grad",
        "The gradients of the step before are still there when backward() begins: they add up from step to step.",
        location=w.backward_location,
        evidence={"share_of_steps": w.leftover, "steps": w.judged_steps},
    )


def eval_in_train(facts: Facts) -> Finding | None:
    """Dropout and BatchNorm do not do their work."""
    w = facts.wiring
    if w is None or w.eval_updates < EVAL_UPDATES:
        return None
    return finding(
        "eval-in-train",
        f"The model is in eval mode while it is trained ({w.eval_updates} updates so far).",
        location=w.call_location,
        evidence={"updates": w.eval_updates},
    )


def train_in_val(facts: Facts) -> Finding | None:
    """Validation is noisy, and changes the statistics of BatchNorm."""
    w = facts.wiring
    if w is None or not w.val_calls_in_train_mode:
        return None
    return finding(
        "train-in-val",
        "The model is in training mode in an evaluation: dropout drops, BatchNorm learns from validation data.",
        evidence={"calls": w.val_calls_in_train_mode},
    )


def step_order(facts: Facts) -> Finding | None:
    """Steps on gradients that were used already."""
    w = facts.wiring
    if w is None or w.steps_without_backward < 3 or len(w.optimizers) != 1:
        return None
    return finding(
        "step-order",
        f"optimizer.step() was called {w.steps_without_backward} times without a backward() since the step before.",
        location=w.step_location,
        evidence={"steps": w.steps_without_backward},
    )


def bn_small_batch(facts: Facts) -> Finding | None:
    """Statistics of a handful of rows."""
    w = facts.wiring
    if w is None or not 0 < w.batch < SMALL_BATCH:
        return None
    norms = [layer.name for layer in w.layers if layer.kind == "norm"]
    if not norms:
        return None
    return finding(
        "bn-small-batch",
        f"BatchNorm computes its statistics from {w.batch} rows: {named(norms)}.",
        where=norms,
        location=w.call_location,
        evidence={"rows": w.batch, "threshold": SMALL_BATCH},
    )


def dropout_high(facts: Facts) -> Finding | None:
    """Next to nothing is left of a layer."""
    w = facts.wiring
    high = [layer for layer in w.layers if layer.kind == "dropout" and layer.p >= HIGH_DROPOUT] if w else []
    if not high:
        return None
    p = max(layer.p for layer in high)
    return finding(
        "dropout-high",
        f"Dropout {p:g} leaves {1 - p:.0%} of the units in each step: {named([layer.name for layer in high])}.",
        where=[layer.name for layer in high],
        evidence={"p": p, "threshold": HIGH_DROPOUT},
    )


RULES = (
    no_step,
    opt_wrong_model,
    nothing_trains,
    param_not_in_opt,
    no_grad_param,
    no_zero_grad,
    eval_in_train,
    train_in_val,
    step_order,
    bn_small_batch,
    dropout_high,
    frozen_in_opt,
    unused_param,
)
