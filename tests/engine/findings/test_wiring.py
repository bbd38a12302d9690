"""Graph, optimizers, modes and order of calls: what is exact."""

from sgdb_engine.findings import wiring
from sgdb_engine.findings.facts import LayerFacts

from .written_down import (
    BACKWARD_AT,
    MADE_AT,
    MODEL_AT,
    STEP_AT,
    Fault,
    Healthy,
    Unseen,
    each,
    facts,
    found_in,
    optimizers,
)

FROZEN = ("0.weight", "0.bias")
NORM = LayerFacts(name="1", kind="norm")
DROPOUT = LayerFacts(name="2", kind="dropout", p=0.8)

FAULTS = (
    Fault(
        rule=wiring.unused_param,
        says="a parameter that forward does not use",
        facts=facts(wiring={"unused": ("head.scale",), "updates": 20}),
        location=MODEL_AT,
        where=("head",),
        evidence={"parameters": 1},
    ),
    Fault(
        rule=wiring.no_step,
        says="200 backwards and no update",
        facts=facts(wiring={"updates": 0, "backwards": 200}),
        location=BACKWARD_AT,
        evidence={"backwards": 200, "updates": 0},
    ),
    Fault(
        rule=wiring.no_step,
        says="a training that is over, with 20 backwards and no update",
        facts=facts(wiring={"updates": 0, "backwards": 20, "ended": True}),
        location=BACKWARD_AT,
        evidence={"backwards": 20, "updates": 0},
    ),
    Fault(
        rule=wiring.no_step,
        says="the same, when the optimizer is gone with the function that made it",
        facts=facts(wiring={"updates": 0, "backwards": 20, "ended": True, "optimizers": (), "made": 1}),
        location=BACKWARD_AT,
    ),
    Fault(
        rule=wiring.opt_wrong_model,
        says="what gets gradients is in no optimizer",
        facts=facts(wiring={"shared": 0, "unoptimized": ("net.0.weight", "net.0.bias"), "reached": 2}),
        location=MADE_AT,
        where=("net.0",),
        evidence={"shared": 0, "with_gradient": 2},
    ),
    Fault(
        rule=wiring.opt_wrong_model,
        says="two optimizers, and both hold other models",
        facts=facts(
            wiring={"shared": 0, "unoptimized": ("a.weight",), "reached": 1, "optimizers": optimizers({}, {})}
        ),
        location=MADE_AT,
        where=("a",),
    ),
    Fault(
        rule=wiring.opt_wrong_model,
        says="before the first update, after 20 backwards",
        facts=facts(wiring={"updates": 0, "backwards": 20, "shared": 0, "unoptimized": ("a.weight",)}),
        location=MADE_AT,
        where=("a",),
    ),
    Fault(
        rule=wiring.nothing_trains,
        says="all that the optimizer holds is frozen",
        facts=facts(wiring={"optimizers": optimizers({"tensors": 2, "frozen": FROZEN})}),
        location=MADE_AT,
        where=("0",),
        evidence={"frozen": 2},
    ),
    Fault(
        rule=wiring.param_not_in_opt,
        says="a head that was forgotten",
        facts=facts(wiring={"unoptimized": ("head.weight", "head.bias")}),
        location=MADE_AT,
        where=("head",),
        evidence={"parameters": 2},
    ),
    Fault(
        rule=wiring.param_not_in_opt,
        says="a parameter of its own",
        facts=facts(wiring={"unoptimized": ("scale",)}),
        location=MADE_AT,
        where=("scale",),
        evidence={"parameters": 1},
    ),
    Fault(
        rule=wiring.frozen_in_opt,
        says="frozen parameters beside others: worth knowing",
        facts=facts(wiring={"optimizers": optimizers({"tensors": 6, "frozen": FROZEN})}),
        severity="info",
        location=MADE_AT,
        where=("0",),
        evidence={"frozen": 2},
    ),
    Fault(
        rule=wiring.no_grad_param,
        says="a layer behind a detach",
        facts=facts(wiring={"cut": ("encoder.weight", "encoder.bias")}),
        location=MODEL_AT,
        where=("encoder",),
        evidence={"parameters": 2},
    ),
    Fault(
        rule=wiring.no_zero_grad,
        says="gradients were there before each backward",
        facts=facts(wiring={"leftover": 1.0, "judged_steps": 2}),
        location=BACKWARD_AT,
        evidence={"share_of_steps": 1.0, "steps": 2},
    ),
    Fault(
        rule=wiring.eval_in_train,
        says="10 updates in eval mode",
        facts=facts(wiring={"eval_updates": 10}),
        location=MODEL_AT,
        evidence={"updates": 10},
    ),
    Fault(
        rule=wiring.train_in_val,
        says="an evaluation in training mode",
        facts=facts(wiring={"val_calls_in_train_mode": 1}),
        severity="warning",
        evidence={"calls": 1},
    ),
    Fault(
        rule=wiring.step_order,
        says="steps on gradients that were used already",
        facts=facts(wiring={"steps_without_backward": 3}),
        location=STEP_AT,
        evidence={"steps": 3},
    ),
    Fault(
        rule=wiring.bn_small_batch,
        says="BatchNorm of 7 rows",
        facts=facts(wiring={"batch": 7, "layers": (NORM, DROPOUT)}),
        location=MODEL_AT,
        where=("1",),
        evidence={"rows": 7, "threshold": 8},
    ),
    Fault(
        rule=wiring.dropout_high,
        says="a fifth of the units is left",
        facts=facts(wiring={"layers": (NORM, DROPOUT)}),
        where=("2",),
        evidence={"p": 0.8},
    ),
)
LOOK_ALIKES = (
    Healthy(
        rule=wiring.no_step,
        says="a scaler leaves out the updates: their gradients are not finite",
        facts=facts(wiring={"updates": 0, "backwards": 200, "left_out_by_scaler": 200}),
    ),
    Healthy(rule=wiring.unused_param, says="all is computed with", facts=facts()),
    Healthy(
        rule=wiring.unused_param,
        says="few updates: its turn may come",
        facts=facts(wiring={"unused": ("expert.weight",), "updates": 19}),
    ),
    Healthy(
        rule=wiring.no_step,
        says="199 backwards may be the accumulation of the first update",
        facts=facts(wiring={"updates": 0, "backwards": 199}),
    ),
    Healthy(
        rule=wiring.no_step,
        says="a script that only tried a few gradients",
        facts=facts(wiring={"updates": 0, "backwards": 19, "ended": True}),
    ),
    Healthy(
        rule=wiring.no_step,
        says="accumulation over 400 batches",
        facts=facts(wiring={"updates": 1, "backwards": 400}),
    ),
    Healthy(
        rule=wiring.no_step,
        says="gradients that nobody wants to step on, such as those of an attack",
        facts=facts(wiring={"updates": 0, "backwards": 200, "optimizers": ()}),
    ),
    Healthy(
        rule=wiring.opt_wrong_model,
        says="one of several optimizers holds what gets gradients",
        facts=facts(wiring={"shared": 1, "optimizers": optimizers({}, {})}),
    ),
    Healthy(
        rule=wiring.opt_wrong_model,
        says="the optimizer may be made yet",
        facts=facts(wiring={"updates": 0, "backwards": 19, "shared": 0, "unoptimized": ("a.weight",)}),
    ),
    Healthy(
        rule=wiring.opt_wrong_model,
        says="all frozen has a code of its own",
        facts=facts(wiring={"shared": 0, "optimizers": optimizers({"tensors": 2, "frozen": FROZEN})}),
    ),
    Healthy(
        rule=wiring.nothing_trains,
        says="fine-tuning of a prompt: one tensor is enough",
        facts=facts(wiring={"optimizers": optimizers({"tensors": 3, "frozen": FROZEN})}),
    ),
    Healthy(
        rule=wiring.nothing_trains,
        says="one optimizer of two is waiting for its turn",
        facts=facts(wiring={"optimizers": optimizers({"tensors": 2, "frozen": FROZEN}, {})}),
    ),
    Healthy(
        rule=wiring.nothing_trains,
        says="nothing was trained yet",
        facts=facts(
            wiring={
                "updates": 0,
                "backwards": 0,
                "optimizers": optimizers({"tensors": 2, "frozen": FROZEN}),
            }
        ),
    ),
    Healthy(
        rule=wiring.param_not_in_opt,
        says="everything is in some optimizer, such as that of a critic",
        facts=facts(wiring={"optimizers": optimizers({}, {})}),
    ),
    Healthy(
        rule=wiring.param_not_in_opt,
        says="a second optimizer may be made after the first update",
        facts=facts(wiring={"unoptimized": ("head.weight",), "updates": 1}),
    ),
    Healthy(
        rule=wiring.param_not_in_opt,
        says="nothing in common has a code of its own",
        facts=facts(wiring={"unoptimized": ("head.weight",), "shared": 0}),
    ),
    Healthy(
        rule=wiring.frozen_in_opt,
        says="all frozen has a code of its own",
        facts=facts(wiring={"optimizers": optimizers({"tensors": 2, "frozen": FROZEN})}),
    ),
    Healthy(rule=wiring.frozen_in_opt, says="nothing is frozen", facts=facts()),
    Healthy(rule=wiring.no_grad_param, says="every layer that ran has gradients", facts=facts()),
    Healthy(
        rule=wiring.no_grad_param,
        says="no update was made",
        facts=facts(wiring={"cut": ("encoder.weight",), "updates": 0}),
    ),
    Healthy(
        rule=wiring.no_zero_grad,
        says="left over in 9 of 10 steps, not in more",
        facts=facts(wiring={"leftover": 0.9, "judged_steps": 20}),
    ),
    Healthy(
        rule=wiring.no_zero_grad,
        says="one step says nothing",
        facts=facts(wiring={"leftover": 1.0, "judged_steps": 1}),
    ),
    Healthy(
        rule=wiring.no_zero_grad,
        says="accumulation: several backwards to an update, none of them left over",
        facts=facts(wiring={"backwards": 192, "leftover": 0.0}),
    ),
    Healthy(
        rule=wiring.eval_in_train,
        says="9 updates in eval mode",
        facts=facts(wiring={"eval_updates": 9}),
    ),
    Healthy(
        rule=wiring.eval_in_train,
        says="a frozen BatchNorm in a model that is in training mode",
        facts=facts(wiring={"eval_updates": 0, "layers": (DROPOUT,)}),
    ),
    Healthy(rule=wiring.train_in_val, says="evaluations in eval mode", facts=facts()),
    Healthy(
        rule=wiring.step_order,
        says="a step or two",
        facts=facts(wiring={"steps_without_backward": 2}),
    ),
    Healthy(
        rule=wiring.step_order,
        says="several optimizers step on one backward",
        facts=facts(wiring={"steps_without_backward": 24, "optimizers": optimizers({}, {})}),
    ),
    Healthy(
        rule=wiring.bn_small_batch,
        says="8 rows",
        facts=facts(wiring={"batch": 8, "layers": (NORM,)}),
    ),
    Healthy(
        rule=wiring.bn_small_batch,
        says="2 rows and no BatchNorm",
        facts=facts(wiring={"batch": 2, "layers": (DROPOUT,)}),
    ),
    Healthy(
        rule=wiring.dropout_high,
        says="a quarter of the units is left",
        facts=facts(wiring={"layers": (LayerFacts(name="2", kind="dropout", p=0.79),)}),
    ),
)
UNSEEN = (
    *(
        Unseen(rule=rule, says="the wiring was not looked at", facts=facts(wiring=None))
        for rule in wiring.RULES
    ),
    Unseen(
        rule=wiring.no_grad_param,
        says="what is cut off was not looked for",
        facts=facts(wiring={"cut": None}),
    ),
    Unseen(
        rule=wiring.bn_small_batch,
        says="the size of the batch is not known",
        facts=facts(wiring={"batch": 0, "layers": (NORM,)}),
    ),
    *(
        Unseen(rule=rule, says="no optimizer was seen", facts=facts(wiring={"optimizers": ()}))
        for rule in (
            wiring.opt_wrong_model,
            wiring.nothing_trains,
            wiring.param_not_in_opt,
            wiring.frozen_in_opt,
        )
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


def test_of_many_parameters_five_are_named() -> None:
    names = tuple(f"layers.{i}.weight" for i in range(7))
    found = wiring.param_not_in_opt(facts(wiring={"unoptimized": names}))
    assert found is not None
    assert "layers.4.weight and 2 more get gradients" in found.message
    assert found.where == tuple(f"layers.{i}" for i in range(7))
