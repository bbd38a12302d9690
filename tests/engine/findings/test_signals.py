"""Activations, gradients and weights at initialisation and after the first steps."""

import math

import pytest

from sgdb_engine.findings import signals
from sgdb_engine.findings.facts import Facts, LayerSignal

from .written_down import (
    CALL,
    INF,
    LOSS_AT,
    MADE_AT,
    NAN,
    Fault,
    Healthy,
    Unseen,
    each,
    facts,
    found_in,
)

LN_10 = math.log(10)


def layer(name: str, kind: str, **changes: float) -> LayerSignal:
    """One activation or layer."""
    return LayerSignal(name=name, kind=kind, std=1.0, **changes)


def layers(*each: LayerSignal, **changes: object) -> Facts:
    """A model of these."""
    return facts(signals={"layers": each, **changes})


def starting_at(*losses: float, **call: object) -> Facts:
    """The losses of several batches before the first update, where ln 10 is that of a blind guess."""
    return facts(call={"baseline": LN_10, **call}, noise={"losses": losses})


FAULTS = (
    Fault(
        rule=signals.init_loss,
        says="more than twice the loss of a blind guess",
        facts=starting_at(4.7, 4.6, 4.7, 4.6, logit_std=3.0),
        severity="warning",
        location=LOSS_AT,
        evidence={"start": 4.65, "baseline": LN_10, "output_std": 3.0},
    ),
    Fault(
        rule=signals.init_loss,
        says="ten times that loss is still a warning",
        facts=starting_at(10 * LN_10),
        severity="warning",
        location=LOSS_AT,
    ),
    Fault(
        rule=signals.init_loss,
        says="more than ten times that loss",
        facts=starting_at(10.1 * LN_10),
        severity="error",
        location=LOSS_AT,
    ),
    Fault(
        rule=signals.symmetric_init,
        says="all rows of a weight are equal, at the start and later",
        facts=facts(signals={"equal_rows": ("0.weight", "2.weight")}),
        where=("0", "2"),
        evidence={"weights": 2, "steps": 20},
    ),
    Fault(
        rule=signals.vanishing,
        says="nothing of the gradient comes down to the first layer",
        facts=facts(signals={"gradient_ratio": 9e-5}),
        where=("0",),
        evidence={"ratio": 9e-5, "threshold": 1e-4},
    ),
    Fault(
        rule=signals.exploding,
        says="outputs grow from layer to layer",
        facts=facts(signals={"growth": 101.0}),
        where=("2",),
        evidence={"growth": 101.0, "threshold": 100.0},
    ),
    Fault(
        rule=signals.dead_relu,
        says="more than half of a layer never fires",
        facts=layers(layer("1", "relu", dead=0.51), layer("3", "relu", dead=0.2)),
        severity="warning",
        where=("1",),
        evidence={"share": 0.51, "threshold": 0.5},
    ),
    Fault(
        rule=signals.dead_relu,
        says="a whole layer never fires, another in part",
        facts=layers(layer("1", "relu", dead=0.6), layer("3", "relu", dead=0.96)),
        severity="error",
        where=("1", "3"),
        evidence={"share": 0.96},
    ),
    Fault(
        rule=signals.dead_relu,
        says="all four units of a layer",
        facts=layers(layer("1", "relu", dead=1.0, units=4)),
        severity="error",
        where=("1",),
        evidence={"share": 1.0, "threshold": 0.75},
    ),
    Fault(
        rule=signals.dead_relu,
        says="units that died during the run",
        facts=layers(layer("1", "relu", dead=0.7, dead_at_first=0.1), forwards=60),
        severity="warning",
        where=("1",),
        evidence={"share": 0.7, "at_first": 0.1},
    ),
    Fault(
        rule=signals.dead_relu,
        says="units that were dead from the start on, looked at again",
        facts=layers(layer("1", "relu", dead=0.7, dead_at_first=0.6), forwards=60),
        severity="warning",
        where=("1",),
        evidence={"share": 0.7, "at_first": None},
    ),
    Fault(
        rule=signals.grad_underflow,
        says="most values of float16 gradients are 0",
        facts=facts(signals={"underflown": 0.51}),
        evidence={"share": 0.51, "threshold": 0.5},
    ),
    Fault(
        rule=signals.grad_underflow,
        says="a scaler whose scale fell below 1",
        facts=facts(course={"loss_scale": 0.5}),
        evidence={"scale": 0.5, "threshold": 1.0},
    ),
    Fault(
        rule=signals.saturated,
        says="most of a hidden tanh is at its ends",
        facts=layers(layer("1", "tanh", saturated=0.51)),
        severity="warning",
        where=("1",),
        evidence={"share": 0.51, "threshold": 0.5},
    ),
    Fault(
        rule=signals.update_lost,
        says="updates round to zero in bfloat16",
        facts=facts(signals={"lost_updates": 0.999, "weight_type": "bfloat16"}),
        evidence={"share": 0.999, "threshold": 0.5},
    ),
    Fault(
        rule=signals.param_not_updated,
        says="a group with a rate of 0 beside one that learns",
        facts=facts(signals={"unmoved": ("backbone.weight", "backbone.bias")}),
        where=("backbone",),
        location=MADE_AT,
        evidence={"parameters": 2, "steps": 20},
    ),
)
LOOK_ALIKES = (
    Healthy(
        rule=signals.init_loss,
        says="twice the loss of a blind guess",
        facts=starting_at(2 * LN_10),
    ),
    Healthy(
        rule=signals.init_loss,
        says="a pretrained model starts lower",
        facts=starting_at(0.07 * LN_10),
    ),
    Healthy(
        rule=signals.init_loss,
        says="one bad batch among good ones",
        facts=starting_at(9.0, 2.3, 2.3, 2.3),
    ),
    Healthy(
        rule=signals.init_loss,
        says="several losses are added up: no baseline of the sum is known",
        facts=facts(losses={"calls": (CALL, CALL)}, noise={"losses": (9.0, 9.0)}),
    ),
    Healthy(
        rule=signals.init_loss,
        says="something is added to the loss, as to that of a VAE",
        facts=facts(call={"baseline": LN_10}, losses={"totals": (9.0, 8.0)}, noise={"losses": (9.0, 9.0)}),
    ),
    Healthy(rule=signals.symmetric_init, says="rows that differ", facts=facts()),
    Healthy(
        rule=signals.vanishing,
        says="LoRA and zero-initialised branches: no gradient at first, and then one",
        facts=facts(signals={"gradient_ratio": 0.01}),
    ),
    Healthy(
        rule=signals.vanishing,
        says="a branch that begins at zero, and a rate that warms up",
        facts=facts(signals={"gradient_ratio": 1e-6}, course={"highest_lr": 0.04}),
    ),
    Healthy(
        rule=signals.vanishing,
        says="a deep network",
        facts=facts(signals={"gradient_ratio": 1e-4}),
    ),
    Healthy(
        rule=signals.exploding,
        says="outputs that grow less",
        facts=facts(signals={"growth": 100.0}),
    ),
    Healthy(
        rule=signals.dead_relu,
        says="a sparse layer: many values are 0, few units always",
        facts=layers(layer("1", "relu", dead=0.5)),
    ),
    Healthy(
        rule=signals.dead_relu,
        says="sparse data: a few batches say nothing",
        facts=layers(layer("1", "relu", dead=1.0), forwards=9),
    ),
    Healthy(
        rule=signals.dead_relu,
        says="a ReLU at the output of counts that are mostly 0",
        facts=layers(layer("1", "relu", dead=1.0, is_last=True)),
    ),
    Healthy(
        rule=signals.dead_relu,
        says="a layer of four units, three of which are off by chance",
        facts=layers(layer("1", "relu", dead=0.75, units=4)),
    ),
    Healthy(
        rule=signals.dead_relu,
        says="a layer of 16 units, of which a few more than half are off",
        facts=layers(layer("1", "relu", dead=0.62, units=16)),
    ),
    Healthy(
        rule=signals.saturated,
        says="the output of a classifier that is sure of itself",
        facts=layers(layer("3", "sigmoid", saturated=0.57, is_last=True)),
    ),
    Healthy(
        rule=signals.saturated,
        says="half of the values",
        facts=layers(layer("1", "tanh", saturated=0.5)),
    ),
    Healthy(
        rule=signals.update_lost,
        says="a tiny rate in float32, as of fine-tuning",
        facts=facts(signals={"lost_updates": 0.6, "weight_type": "float32"}),
    ),
    Healthy(
        rule=signals.update_lost,
        says="some updates of bfloat16 weights",
        facts=facts(signals={"lost_updates": 0.5, "weight_type": "bfloat16"}),
    ),
    Healthy(
        rule=signals.param_not_updated,
        says="small steps, which rounding loses where a weight is 1",
        facts=facts(signals={"unmoved": ("1.weight",), "update_ratio": 1e-4}),
    ),
    Healthy(
        rule=signals.param_not_updated,
        says="a rate of 0 has a code of its own",
        facts=facts(signals={"unmoved": ("0.weight", "2.weight"), "update_ratio": 0.0}),
    ),
    Healthy(rule=signals.param_not_updated, says="all that has a gradient moves", facts=facts()),
    Healthy(
        rule=signals.grad_underflow,
        says="half of the values: a sparse gradient",
        facts=facts(signals={"underflown": 0.5}),
    ),
    Healthy(
        rule=signals.grad_underflow,
        says="a scaler keeps them in the range of float16",
        facts=facts(signals={"underflown": 0.9}, course={"loss_scale": 2.0**16}),
    ),
    Healthy(
        rule=signals.grad_underflow,
        says="a scale that fell far, as it does in the first steps",
        facts=facts(course={"loss_scale": 1.0}),
    ),
    Healthy(
        rule=signals.param_not_updated,
        says="half precision has a code of its own",
        facts=facts(signals={"unmoved": ("0.weight",), "weight_type": "bfloat16"}),
    ),
)
UNSEEN = (
    *(
        Unseen(rule=rule, says="signals were not measured", facts=facts(signals=None))
        for rule in signals.RULES
        if rule is not signals.init_loss
    ),
    Unseen(rule=signals.grad_underflow, says="no course was seen", facts=facts(course=None)),
    Unseen(rule=signals.init_loss, says="losses were not measured", facts=facts(noise=None)),
    Unseen(rule=signals.init_loss, says="no batch was tried", facts=starting_at()),
    Unseen(rule=signals.init_loss, says="no loss was seen", facts=facts(losses=None)),
    Unseen(
        rule=signals.init_loss,
        says="the baseline of the loss is not known",
        facts=starting_at(29.0, baseline=NAN),
    ),
    Unseen(
        rule=signals.init_loss,
        says="a loss that is not finite has a code of its own",
        facts=starting_at(INF, 2.3),
    ),
    Unseen(
        rule=signals.init_loss,
        says="what was minimised is not known",
        facts=facts(call={"baseline": LN_10}, losses={"totals": ()}, noise={"losses": (9.0, 9.0)}),
    ),
    Unseen(
        rule=signals.param_not_updated,
        says="updates were not measured",
        facts=facts(signals={"unmoved": ("0.weight",), "update_ratio": NAN}),
    ),
    Unseen(
        rule=signals.vanishing,
        says="there are no two weight matrices",
        facts=facts(signals={"gradient_ratio": None}),
    ),
    Unseen(
        rule=signals.param_not_updated,
        says="the wiring was not looked at",
        facts=facts(signals={"unmoved": ("0.weight",)}, wiring=None),
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


@pytest.mark.parametrize("kind", ["float16", "bfloat16"])
def test_both_half_types_lose_updates(kind: str) -> None:
    assert signals.update_lost(facts(signals={"lost_updates": 0.9, "weight_type": kind})) is not None
