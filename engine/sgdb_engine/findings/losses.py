"""What is wrong with what enters a loss, seen in its call."""

import math

from sgdb_engine.events import Finding
from sgdb_engine.findings.facts import Facts, LossCall
from sgdb_engine.findings.making import finding

SURPLUS_OUTPUTS = 5
"""Times the classes seen, and as many more."""
EXAMPLES_A_CLASS = 50
TERM_RATIO = 50.0
SAME_TARGETS = 0.95
REGRESSION = ("mse_loss", "l1_loss", "smooth_l1_loss", "huber_loss")
ELEMENTWISE = (*REGRESSION, "binary_cross_entropy", "binary_cross_entropy_with_logits")
SCORES = ("cross_entropy", "binary_cross_entropy_with_logits")
UNNORMALISED = 0.05
NEVER_ABOVE = 1e-3


def _calls(facts: Facts) -> tuple[LossCall, ...]:
    return facts.losses.calls if facts.losses is not None else ()


def _where(call: LossCall) -> tuple[str, ...]:
    return (call.where,) if call.where else ()


def softmax_before_ce(facts: Facts) -> Finding | None:
    """Softmax twice."""
    losses = facts.losses
    for call in _calls(facts):
        if call.function != "cross_entropy" or losses is None:
            continue
        if call.node == "Softmax" or (losses.always_sums_to_one and call.node != "LogSoftmax"):
            floor = math.log(math.e + call.outputs - 1) - 1
            return finding(
                "softmax-before-ce",
                f"cross_entropy is given probabilities: a softmax came before, the loss stays above {floor:.2f}.",
                where=_where(call),
                location=call.location,
                evidence={"floor": floor, "classes": call.outputs},
            )
    return None


def sigmoid_before_bcel(facts: Facts) -> Finding | None:
    """Sigmoid twice."""
    for call in _calls(facts):
        if call.function == "binary_cross_entropy_with_logits" and call.node == "Sigmoid":
            return finding(
                "sigmoid-before-bcel",
                "binary_cross_entropy_with_logits is given probabilities: a sigmoid came before it.",
                where=_where(call),
                location=call.location,
                evidence={"low": call.low, "high": call.high},
            )
    return None


def probs_to_nll(facts: Facts) -> Finding | None:
    """Probabilities where their logarithms belong."""
    for call in _calls(facts):
        if call.function == "nll_loss" and (call.node == "Softmax" or (call.low >= 0 and call.high <= 1)):
            return finding(
                "probs-to-nll",
                f"nll_loss is given probabilities ({call.low:.2g} to {call.high:.2g}) where log-probabilities belong.",
                where=_where(call),
                location=call.location,
                evidence={"low": call.low, "high": call.high},
            )
    return None


def nll_on_logits(facts: Facts) -> Finding | None:
    """Scores where log-probabilities belong."""
    losses = facts.losses
    for call in _calls(facts):
        probabilities = call.low >= 0 and call.high <= 1
        if call.function != "nll_loss" or losses is None or probabilities or call.node == "Softmax":
            continue
        if call.normaliser > UNNORMALISED:
            return finding(
                "nll-on-logits",
                f"nll_loss is given scores that are no log-probabilities: log Σ exp is {call.normaliser:.3g}, not 0.",
                where=_where(call),
                location=call.location,
                evidence={"log_sum_exp": call.normaliser, "threshold": UNNORMALISED},
            )
    return None


def broadcast(facts: Facts) -> Finding | None:
    """Every prediction is compared with every target."""
    for call in _calls(facts):
        if call.function not in ELEMENTWISE or call.input_shape == call.target_shape:
            continue
        all_with_all = _is_all_with_all(call.input_shape, call.target_shape)
        return finding(
            "broadcast",
            f"{call.function} is given a prediction of shape {_shape(call.input_shape)} and a target of shape "
            f"{_shape(call.target_shape)}"
            + (
                ": every prediction is compared with every target."
                if all_with_all
                else ": one is stretched to the other."
            ),
            severity="error" if all_with_all else "warning",
            location=call.location,
            evidence={"input": _shape(call.input_shape), "target": _shape(call.target_shape)},
        )
    return None


def _is_all_with_all(one: tuple[int, ...], other: tuple[int, ...]) -> bool:
    """(N, 1) and (N,), either way round."""
    long, short = (one, other) if len(one) > len(other) else (other, one)
    return len(long) == len(short) + 1 and long[-1] == 1 and long[:-1] == short and math.prod(short) > 1


def _shape(shape: tuple[int, ...]) -> str:
    return f"({', '.join(map(str, shape))}{',' if len(shape) == 1 else ''})"


def target_range(facts: Facts) -> Finding | None:
    """Targets that the loss is not made for."""
    for call in _calls(facts):
        bits = call.function.startswith("binary_cross_entropy")
        if bits and (call.target_low < 0 or call.target_high > 1):
            return finding(
                "target-range",
                f"{call.function} needs targets from 0 to 1; these are {call.target_low:g} to {call.target_high:g}.",
                location=call.location,
                evidence={"low": call.target_low, "high": call.target_high},
            )
        if call.classes and call.ignored > 0.99:
            return finding(
                "target-range",
                f"{call.ignored:.1%} of the targets are left out (ignore_index): there is next to nothing to learn.",
                location=call.location,
                evidence={"ignored": call.ignored},
            )
    return None


def unused_output(facts: Facts) -> Finding | None:
    """A head far larger than the labels need."""
    losses = facts.losses
    if losses is None or facts.data is None or facts.data.text or losses.input_kind == "integer":
        return None
    for call in _calls(facts):
        seen = losses.classes_seen
        if not call.classes or call.outputs <= SURPLUS_OUTPUTS * seen + 5:
            continue
        if losses.targets_seen < EXAMPLES_A_CLASS * seen:
            continue
        return finding(
            "unused-output",
            f"The model has {call.outputs} outputs, the labels use {seen}.",
            location=call.location,
            where=_where(call),
            evidence={"outputs": call.outputs, "classes": seen},
        )
    return None


REACH = {"Relu": (0.0, math.inf), "Sigmoid": (0.0, 1.0), "Tanh": (-1.0, 1.0), "Softplus": (0.0, math.inf)}
WORDS = {
    "Relu": "a ReLU",
    "Sigmoid": "a sigmoid",
    "Tanh": "a tanh",
    "Hardtanh": "a hardtanh",
    "Softplus": "a softplus",
}


def output_act(facts: Facts) -> Finding | None:
    """The last layer cannot give what the loss wants."""
    losses = facts.losses
    for call in _calls(facts):
        if call.function in SCORES and call.node in ("Relu", "Tanh", "Hardtanh"):
            return finding(
                "output-act",
                f"The scores that {call.function} is given come out of {WORDS[call.node]}: they are bounded.",
                where=_where(call),
                location=call.location,
                evidence={"low": call.low, "high": call.high},
            )
        if call.function in REGRESSION and call.node in REACH and losses is not None:
            low, high = REACH[call.node]
            margin = 0.01 * max(call.target_std, 1e-12)
            if losses.target_low >= low - margin and losses.target_high <= high + margin:
                continue
            return finding(
                "output-act",
                f"The output comes out of {WORDS[call.node]} and cannot leave {low:g} to {high:g}; the targets go from "
                f"{losses.target_low:.3g} to {losses.target_high:.3g}.",
                where=_where(call),
                location=call.location,
                evidence={"target_low": losses.target_low, "target_high": losses.target_high},
            )
    return None


def sign_flipped(facts: Facts) -> Finding | None:
    """The loss is pushed up."""
    losses = facts.losses
    if losses is None or facts.wiring is None or len(facts.wiring.optimizers) != 1 or len(losses.calls) != 1:
        return None
    maximize = facts.wiring.optimizers[0].maximize
    pairs = [
        (t, r) for t, r in zip(losses.totals, losses.reported, strict=False) if math.isfinite(r) and r > 0
    ]
    if len(pairs) < 2 or any(call.function == "nll_loss" and call.low >= 0 for call in losses.calls):
        return None
    negated = all(t < 0 and abs(t + r) <= 1e-4 * abs(r) for t, r in pairs)
    unchanged = all(abs(t - r) <= 1e-4 * abs(r) for t, r in pairs)
    if negated == maximize or not (negated or unchanged):
        return None
    what = "the optimizer maximises" if maximize else "backward() is called on minus"
    return finding(
        "sign-flipped",
        f"The loss is pushed up: {what} the value of {losses.calls[0].function}.",
        location=facts.wiring.backward_location if negated else facts.wiring.optimizers[0].location,
        evidence={"minimised": pairs[0][0], "reported": pairs[0][1]},
    )


def sum_reduction(facts: Facts) -> Finding | None:
    """The size of a step grows with the batch."""
    losses = facts.losses
    if losses is None or not losses.totals or not facts.wiring:
        return None
    summed = [call for call in losses.calls if call.reduction == "sum"]
    value = sum(call.value for call in summed)
    if not summed or facts.wiring.batch < 2 or not abs(losses.totals[0]) >= 0.5 * abs(value) > 0:
        return None
    rows = summed[0].input_shape[0] if summed[0].input_shape else 1
    if rows < 2:
        return None
    return finding(
        "sum-reduction",
        f"{summed[0].function} adds up the losses of {rows} rows (reduction='sum'): gradients grow with the batch.",
        location=summed[0].location,
        evidence={"rows": rows, "loss": losses.totals[0]},
    )


def loss_term_dominates(facts: Facts) -> Finding | None:
    """Something else is minimised than the loss of the data."""
    losses = facts.losses
    if losses is None:
        return None
    pairs = [(t, r) for t, r in zip(losses.totals, losses.reported, strict=False) if math.isfinite(r)]
    data = sum(call.value for call in losses.calls)
    if len(pairs) < 2 or not data > 0 or any(call.reduction != "mean" for call in losses.calls):
        return None
    # a loss that is only scaled, as for accumulation or mixed precision, keeps its ratio
    ratios = [t / r for t, r in pairs if r > NEVER_ABOVE]
    if not ratios or not ratios[0] > TERM_RATIO or max(ratios) - min(ratios) < 1e-3 * max(ratios):
        return None
    return finding(
        "loss-term-dominates",
        f"The minimised loss starts at {pairs[0][0]:.3g}, of which {losses.calls[0].function} is {pairs[0][1]:.3g}: "
        "another term outweighs it.",
        location=facts.wiring.backward_location if facts.wiring else None,
        evidence={"total": pairs[0][0], "of_the_data": pairs[0][1], "threshold": TERM_RATIO},
    )


def target_not_shifted(facts: Facts) -> Finding | None:
    """A text model is asked for the very token that it sees."""
    for call in _calls(facts):
        if call.target_is_input > SAME_TARGETS:
            return finding(
                "target-not-shifted",
                f"{call.target_is_input:.0%} of the targets are the inputs at the same place: nothing is predicted.",
                location=call.location,
                evidence={"share": call.target_is_input, "threshold": SAME_TARGETS},
            )
    return None


RULES = (
    softmax_before_ce,
    sigmoid_before_bcel,
    probs_to_nll,
    nll_on_logits,
    broadcast,
    target_range,
    target_not_shifted,
    output_act,
    sign_flipped,
    sum_reduction,
    loss_term_dominates,
    unused_output,
)
