"""What is wrong with what enters a loss, seen in its call."""

import math

import pytest

from sgdb_engine.findings import losses
from sgdb_engine.findings.facts import Facts

from .written_down import (
    BACKWARD_AT,
    CALL,
    LOSS_AT,
    MADE_AT,
    Changes,
    Fault,
    Healthy,
    Unseen,
    each,
    facts,
    found_in,
    optimizers,
)

LAYER = {"where": "net.4"}
LOGITS_OF_BITS = {
    "function": "binary_cross_entropy_with_logits",
    "classes": False,
    "outputs": 0,
    "input_shape": (32,),
    "target_shape": (32,),
    "target_low": 0.0,
    "target_high": 1.0,
}
BITS = LOGITS_OF_BITS | {"function": "binary_cross_entropy", "node": "Sigmoid", "low": 0.1, "high": 0.9}
NUMBERS = LOGITS_OF_BITS | {
    "function": "mse_loss",
    "target_low": -2.0,
    "target_high": 2.0,
    "target_std": 1.0,
    "baseline": 1.0,
    "blind": 1.0,
}
LOGS = {"function": "nll_loss", "node": "LogSoftmax", "low": -9.0, "high": -0.01, "normaliser": 1e-6}
PROBABILITIES = {"low": 0.0, "high": 1.0, "sums_to_one": True}


def minimised(
    *totals: float, reported: tuple[float, ...] = (2.4, 2.3, 2.1), call: Changes = (), **parts: Changes
) -> Facts:
    """Backward was called on these, where the loss functions gave `reported`."""
    return facts(call=call, losses={"totals": totals, "reported": reported}, **parts)


def regression_of(node: str, low: float, high: float) -> Facts:
    """Targets from `low` to `high`, and an output that comes out of this operation."""
    return facts(
        call=NUMBERS | LAYER | {"node": node, "target_low": low, "target_high": high},
        losses={"target_low": low, "target_high": high},
    )


FAULTS = (
    Fault(
        rule=losses.softmax_before_ce,
        says="a softmax in the graph",
        facts=facts(call=LAYER | PROBABILITIES | {"node": "Softmax"}),
        where=("net.4",),
        location=LOSS_AT,
        evidence={"floor": pytest.approx(1.4612, abs=1e-4), "classes": 10},
    ),
    Fault(
        rule=losses.softmax_before_ce,
        says="probabilities in each step, wherever they come from",
        facts=facts(call=PROBABILITIES | {"node": "Div"}, losses={"always_sums_to_one": True}),
        location=LOSS_AT,
    ),
    Fault(
        rule=losses.sigmoid_before_bcel,
        says="a sigmoid in the graph",
        facts=facts(call=LOGITS_OF_BITS | LAYER | {"node": "Sigmoid"}),
        where=("net.4",),
        location=LOSS_AT,
    ),
    Fault(
        rule=losses.probs_to_nll,
        says="a softmax in the graph",
        facts=facts(call=LOGS | LAYER | PROBABILITIES | {"node": "Softmax"}),
        where=("net.4",),
        location=LOSS_AT,
    ),
    Fault(
        rule=losses.probs_to_nll,
        says="all values in 0 to 1",
        facts=facts(call=LOGS | {"node": "Div", "low": 0.02, "high": 0.98}),
        location=LOSS_AT,
        evidence={"low": 0.02, "high": 0.98},
    ),
    Fault(
        rule=losses.nll_on_logits,
        says="scores that are not normalised",
        facts=facts(call=LOGS | LAYER | {"node": "Addmm", "low": -3.0, "high": 2.0, "normaliser": 0.06}),
        where=("net.4",),
        location=LOSS_AT,
        evidence={"log_sum_exp": 0.06, "threshold": 0.05},
    ),
    Fault(
        rule=losses.broadcast,
        says="(32, 1) against (32,)",
        facts=facts(call=NUMBERS | {"input_shape": (32, 1)}),
        location=LOSS_AT,
        evidence={"input": "(32, 1)", "target": "(32,)"},
    ),
    Fault(
        rule=losses.broadcast,
        says="(32,) against (32, 1)",
        facts=facts(call=NUMBERS | {"target_shape": (32, 1)}),
        location=LOSS_AT,
    ),
    Fault(
        rule=losses.broadcast,
        says="many predictions for one target, perhaps on purpose",
        facts=facts(call=NUMBERS | {"input_shape": (32, 5), "target_shape": (32, 1)}),
        severity="warning",
        location=LOSS_AT,
    ),
    Fault(
        rule=losses.broadcast,
        says="one row against one number is stretched, and the same",
        facts=facts(call=NUMBERS | {"input_shape": (1, 1), "target_shape": (1,)}),
        severity="warning",
        location=LOSS_AT,
    ),
    Fault(
        rule=losses.target_range,
        says="classes 1 and 2 where 0 and 1 belong",
        facts=facts(call=LOGITS_OF_BITS | {"target_low": 1.0, "target_high": 2.0}),
        location=LOSS_AT,
        evidence={"low": 1.0, "high": 2.0},
    ),
    Fault(
        rule=losses.target_range,
        says="-1 and 1 where 0 and 1 belong",
        facts=facts(call=BITS | {"target_low": -1.0}),
        location=LOSS_AT,
        evidence={"low": -1.0},
    ),
    Fault(
        rule=losses.target_range,
        says="nearly all targets are left out",
        facts=facts(call={"ignored": 0.995}),
        location=LOSS_AT,
        evidence={"ignored": 0.995},
    ),
    Fault(
        rule=losses.unused_output,
        says="a head of 1000 for 3 classes",
        facts=facts(call=LAYER | {"outputs": 1000}, losses={"classes_seen": 3, "targets_seen": 150}),
        severity="warning",
        where=("net.4",),
        location=LOSS_AT,
        evidence={"outputs": 1000, "classes": 3},
    ),
    Fault(
        rule=losses.output_act,
        says="scores out of a ReLU",
        facts=facts(call=LAYER | {"node": "Relu"}),
        where=("net.4",),
        location=LOSS_AT,
    ),
    Fault(
        rule=losses.output_act,
        says="scores out of a tanh",
        facts=facts(call=LOGITS_OF_BITS | {"node": "Tanh"}),
        location=LOSS_AT,
    ),
    Fault(
        rule=losses.output_act,
        says="a ReLU for negative targets",
        facts=regression_of("Relu", -2.0, 2.0),
        where=("net.4",),
        location=LOSS_AT,
        evidence={"target_low": -2.0},
    ),
    Fault(
        rule=losses.output_act,
        says="a tanh for targets beyond 1",
        facts=regression_of("Tanh", -1.0, 1.5),
        where=("net.4",),
        location=LOSS_AT,
        evidence={"target_high": 1.5},
    ),
    Fault(
        rule=losses.output_act,
        says="a sigmoid for pictures from 0 to 255",
        facts=regression_of("Sigmoid", 0.0, 255.0),
        where=("net.4",),
        location=LOSS_AT,
    ),
    Fault(
        rule=losses.sign_flipped,
        says="backward of minus the loss",
        facts=minimised(-2.4, -2.3, -2.1),
        location=BACKWARD_AT,
        evidence={"minimised": -2.4, "reported": 2.4},
    ),
    Fault(
        rule=losses.sign_flipped,
        says="an optimizer that maximises a loss",
        facts=minimised(2.4, 2.3, 2.1, wiring={"optimizers": optimizers({"maximize": True})}),
        location=MADE_AT,
    ),
    Fault(
        rule=losses.sum_reduction,
        says="the sum over 32 rows",
        facts=minimised(76.8, reported=(76.8,), call={"reduction": "sum", "value": 76.8}),
        severity="warning",
        location=LOSS_AT,
        evidence={"rows": 32, "loss": 76.8},
    ),
    Fault(
        rule=losses.loss_term_dominates,
        says="a penalty of 51 times the data's loss",
        facts=minimised(124.0, 110.0, 90.0),
        location=BACKWARD_AT,
        evidence={"total": 124.0, "of_the_data": 2.4, "threshold": 50.0},
    ),
    Fault(
        rule=losses.target_not_shifted,
        says="the targets are the inputs",
        facts=facts(call={"target_is_input": 0.96}),
        location=LOSS_AT,
        evidence={"share": 0.96, "threshold": 0.95},
    ),
)
LOOK_ALIKES = (
    Healthy(
        rule=losses.softmax_before_ce,
        says="log_softmax twice is log_softmax once",
        facts=facts(call={"node": "LogSoftmax"}, losses={"always_sums_to_one": True}),
    ),
    Healthy(
        rule=losses.softmax_before_ce,
        says="logits that happen to sum to 1 in one step",
        facts=facts(call=PROBABILITIES, losses={"always_sums_to_one": False}),
    ),
    Healthy(
        rule=losses.softmax_before_ce,
        says="distillation: the target is probable, not the input",
        facts=facts(call={"classes": False, "target_low": 0.0, "target_high": 1.0}),
    ),
    Healthy(
        rule=losses.softmax_before_ce,
        says="a softmax before another loss",
        facts=facts(call=NUMBERS | PROBABILITIES | {"node": "Softmax"}),
    ),
    Healthy(
        rule=losses.sigmoid_before_bcel,
        says="logits that all lie between 0 and 1",
        facts=facts(call=LOGITS_OF_BITS | {"low": 0.1, "high": 0.9}),
    ),
    Healthy(
        rule=losses.sigmoid_before_bcel,
        says="a sigmoid before the loss that wants one",
        facts=facts(call=BITS),
    ),
    Healthy(rule=losses.probs_to_nll, says="the output of log_softmax", facts=facts(call=LOGS)),
    Healthy(
        rule=losses.probs_to_nll,
        says="a score above 1 is no probability",
        facts=facts(call=LOGS | {"node": "Addmm", "low": 0.0, "high": 1.1}),
    ),
    Healthy(
        rule=losses.nll_on_logits,
        says="the output of log_softmax in half precision",
        facts=facts(call=LOGS | {"normaliser": 0.05}),
    ),
    Healthy(
        rule=losses.nll_on_logits,
        says="probabilities have a code of their own",
        facts=facts(call=LOGS | {"node": "Div", "low": 0.0, "high": 1.0, "normaliser": 2.4}),
    ),
    Healthy(
        rule=losses.nll_on_logits,
        says="a softmax has a code of its own",
        facts=facts(call=LOGS | {"node": "Softmax", "low": 0.0, "high": 1.01, "normaliser": 2.4}),
    ),
    Healthy(rule=losses.broadcast, says="equal shapes", facts=facts(call=NUMBERS)),
    Healthy(rule=losses.broadcast, says="classes have a dimension less", facts=facts()),
    Healthy(
        rule=losses.target_range,
        says="soft labels",
        facts=facts(call=BITS | {"target_low": 0.05, "target_high": 0.95}),
    ),
    Healthy(
        rule=losses.target_range,
        says="bits at their ends",
        facts=facts(call=BITS | {"target_low": 0.0, "target_high": 1.0}),
    ),
    Healthy(
        rule=losses.target_range,
        says="most of a text is left out",
        facts=facts(call={"ignored": 0.99}),
    ),
    Healthy(
        rule=losses.target_range,
        says="numbers may be anything",
        facts=facts(call=NUMBERS | {"target_low": -300.0, "target_high": 300.0}),
    ),
    Healthy(
        rule=losses.unused_output,
        says="20 outputs for 3 classes",
        facts=facts(call={"outputs": 20}, losses={"classes_seen": 3, "targets_seen": 768}),
    ),
    Healthy(
        rule=losses.unused_output,
        says="the other classes may come yet",
        facts=facts(call={"outputs": 1000}, losses={"classes_seen": 3, "targets_seen": 149}),
    ),
    Healthy(
        rule=losses.unused_output,
        says="a vocabulary",
        facts=facts(
            call={"outputs": 50_000},
            losses={"classes_seen": 60, "targets_seen": 9000, "input_kind": "integer"},
        ),
    ),
    Healthy(
        rule=losses.unused_output,
        says="a target for each place of a text",
        facts=facts(
            call={"outputs": 50_000},
            losses={"classes_seen": 60, "targets_seen": 9000},
            data={"text": True},
        ),
    ),
    Healthy(
        rule=losses.output_act,
        says="a ReLU for counts",
        facts=regression_of("Relu", 0.0, 40.0),
    ),
    Healthy(
        rule=losses.output_act,
        says="a sigmoid for pictures from 0 to 1",
        facts=regression_of("Sigmoid", 0.0, 1.0),
    ),
    Healthy(
        rule=losses.output_act,
        says="a tanh for pictures from -1 to 1, up to rounding",
        facts=regression_of("Tanh", -1.004, 1.004),
    ),
    Healthy(
        rule=losses.output_act,
        says="a ReLU within the model, not at its end",
        facts=facts(call={"node": "Addmm"}),
    ),
    Healthy(
        rule=losses.output_act,
        says="a sigmoid before the loss that wants one",
        facts=facts(call=BITS),
    ),
    Healthy(rule=losses.sign_flipped, says="backward of the loss", facts=minimised(2.4, 2.3, 2.1)),
    Healthy(
        rule=losses.sign_flipped,
        says="minus the loss, and an optimizer that maximises",
        facts=minimised(-2.4, -2.3, -2.1, wiring={"optimizers": optimizers({"maximize": True})}),
    ),
    Healthy(
        rule=losses.sign_flipped,
        says="a generator and its critic push a loss both ways",
        facts=minimised(-2.4, -2.3, -2.1, wiring={"optimizers": optimizers({}, {})}),
    ),
    Healthy(
        rule=losses.sign_flipped,
        says="an objective in which the loss is only a part",
        facts=minimised(-1.1, -1.4, -1.5),
    ),
    Healthy(
        rule=losses.sign_flipped,
        says="nll_loss of probabilities is negative by itself, and has a code of its own",
        facts=minimised(-0.4, -0.5, -0.6, reported=(0.4, 0.5, 0.6), call=LOGS | {"low": 0.0, "high": 1.0}),
    ),
    Healthy(rule=losses.sign_flipped, says="one step", facts=minimised(-2.4)),
    Healthy(rule=losses.sum_reduction, says="the mean", facts=minimised(2.4)),
    Healthy(
        rule=losses.sum_reduction,
        says="a sum that is divided by the rows",
        facts=minimised(2.4, reported=(76.8,), call={"reduction": "sum", "value": 76.8}),
    ),
    Healthy(
        rule=losses.sum_reduction,
        says="a batch of one row",
        facts=minimised(
            2.4,
            reported=(2.4,),
            call={"reduction": "sum", "value": 2.4, "input_shape": (1, 10)},
            wiring={"batch": 1},
        ),
    ),
    Healthy(
        rule=losses.loss_term_dominates,
        says="a penalty as large as the loss",
        facts=minimised(4.8, 4.5, 4.0),
    ),
    Healthy(
        rule=losses.loss_term_dominates,
        says="a loss that is scaled for half precision keeps its ratio",
        facts=minimised(2.4 * 65536, 2.3 * 65536, 2.1 * 65536),
    ),
    Healthy(
        rule=losses.loss_term_dominates,
        says="the data's loss is nearly 0 already",
        facts=minimised(1e-2, 9e-3, reported=(1e-5, 1e-6)),
    ),
    Healthy(
        rule=losses.loss_term_dominates,
        says="the loss of each element, weighed by hand",
        facts=minimised(240.0, 200.0, 180.0, call={"reduction": "none"}),
    ),
    Healthy(
        rule=losses.target_not_shifted,
        says="a text that repeats itself",
        facts=facts(call={"target_is_input": 0.95}),
    ),
)
UNSEEN = (
    *(Unseen(rule=rule, says="no loss was seen", facts=facts(losses=None)) for rule in losses.RULES),
    *(
        Unseen(rule=rule, says="a loss of the user's own", facts=facts(losses={"calls": ()}))
        for rule in losses.RULES
    ),
    Unseen(
        rule=losses.unused_output,
        says="no example was seen",
        facts=facts(call={"outputs": 1000}, losses={"classes_seen": 3}, data=None),
    ),
    Unseen(
        rule=losses.loss_term_dominates,
        says="no call of a loss in those steps",
        facts=minimised(240.0, 230.0, reported=(math.nan, math.nan)),
    ),
    Unseen(
        rule=losses.sign_flipped,
        says="no call of a loss in those steps",
        facts=minimised(-2.4, -2.3, reported=(math.nan, math.nan)),
    ),
    Unseen(
        rule=losses.sum_reduction, says="no backward was seen", facts=minimised(call={"reduction": "sum"})
    ),
    Unseen(
        rule=losses.sum_reduction,
        says="the size of the batch is not known",
        facts=minimised(76.8, call={"reduction": "sum", "value": 76.8}, wiring={"batch": 0}),
    ),
)


@each(FAULTS)
def test_a_fault_is_found(example: Fault) -> None:
    found_in(example)


@each(LOOK_ALIKES)
def test_its_healthy_look_alike_is_not(example: Healthy) -> None:
    assert example.rule(example.facts) is None


@each(UNSEEN)
def test_what_was_not_measured_is_nothing_to_judge(example: Unseen) -> None:
    assert example.rule(example.facts) is None


@pytest.mark.parametrize("classes", [2, 10, 1000])
def test_the_floor_after_a_softmax_is_that_of_a_certain_answer(classes: int) -> None:
    """The best that a softmax can give is 1 for the right class and 0 for all others."""
    found = losses.softmax_before_ce(facts(call={"node": "Softmax", "outputs": classes}))
    assert found is not None
    best = [1.0] + [0.0] * (classes - 1)
    assert found.evidence["floor"] == pytest.approx(math.log(sum(map(math.exp, best))) - 1)


def test_any_call_of_a_step_may_be_wrong() -> None:
    many = facts()
    wrong = facts(call={"node": "Softmax", "location": "train.py:30"})
    assert many.losses is not None
    assert wrong.losses is not None
    many = facts(losses={"calls": (CALL, *wrong.losses.calls)})
    found = losses.softmax_before_ce(many)
    assert found is not None
    assert found.location == "train.py:30"


def test_a_loss_pushed_up_among_others_is_no_verdict() -> None:
    """A difference of losses, as of a critic, is minimised by making one of them larger."""
    assert losses.sign_flipped(facts(losses={"calls": (CALL, CALL), "totals": (-2.4, -2.3)})) is None


@pytest.mark.parametrize(
    ("one", "other", "is_an_error"),
    [
        ((32, 1), (32,), True),
        ((8, 4, 1), (8, 4), True),
        ((32,), (32, 1), True),
        ((32, 3), (3,), False),
        ((32, 1), (1,), False),
        ((32,), (), False),
    ],
)
def test_every_prediction_against_every_target_is_an_error_and_other_stretching_a_warning(
    one: tuple[int, ...], other: tuple[int, ...], is_an_error: bool
) -> None:
    found = losses.broadcast(facts(call=NUMBERS | {"input_shape": one, "target_shape": other}))
    assert found is not None
    assert found.severity == ("error" if is_an_error else "warning")
