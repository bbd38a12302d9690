"""What one minibatch and a sweep of the learning rate say of optimizer, model and data."""

import math

import pytest

from sgdb_engine.findings import optimisation
from sgdb_engine.findings.facts import Facts
from sgdb_engine.findings.optimisation import excess, has_failed, has_passed

from .written_down import (
    HEALTHY,
    IMPROVING,
    LEARNT,
    MADE_AT,
    MODEL_AT,
    NAN,
    STUCK,
    Changes,
    Fault,
    Healthy,
    Unseen,
    each,
    facts,
    found_in,
    optimizers,
    without,
)

LN_10 = math.log(10)
FAILED = {"losses": STUCK, "accuracy": 0.1}
JUMPING = {"losses": (2.3, 5.0) * 60, "accuracy": 0.1}
NO_BETTER = tuple(type(e)(step=e.step, loss=0.99 * LN_10, train_loss=e.train_loss) for e in IMPROVING)


def rate(lr: float, **parts: Changes) -> Facts:
    """An optimizer with this learning rate; the sweep was lowest at 0.5 and diverged at 2."""
    return facts(
        wiring={"optimizers": optimizers({"lr": lr})}, **{"course": {"highest_lr": lr, "lr": lr}} | parts
    )


def slow(lr: float = 1e-6, update_ratio: float = 1e-6, **parts: Changes) -> Facts:
    """The user's step fails on one batch, a safe one passes."""
    return rate(lr, **{"user": FAILED, "signals": {"update_ratio": update_ratio}} | parts)


def stuck(**parts: Changes) -> Facts:
    """Neither the user's step nor a safe one learns one batch."""
    return facts(**{"user": FAILED, "rescue": FAILED} | parts)


def rebuilt(loss: float) -> Facts:
    """An autoencoder of 64 numbers a row, whose safe step went down from 1 to this."""
    return facts(
        call={
            "function": "mse_loss",
            "classes": False,
            "input_shape": (32, 64),
            "target_shape": (32, 64),
        },
        user={"losses": (1.0, *[loss] * 119), "accuracy": NAN},
        rescue={"losses": (1.0, *[loss] * 119), "accuracy": NAN},
    )


def unrelated(data: Changes = (), **parts: Changes) -> Facts:
    """No relation of inputs and targets, and a validation loss as of a blind guess."""
    seen = {"neighbour_z": 0.1, "correlation_excess": -0.5, "prior": LN_10}
    return facts(data=seen | dict(data or ()), **{"course": {"evaluations": NO_BETTER}} | parts)


FAULTS = (
    Fault(
        rule=optimisation.sign_flipped,
        says="the first step goes up, and a step down learns the batch",
        facts=facts(signals={"ascent": 0.06}),
        location=MADE_AT,
        evidence={"cosine": 0.06, "threshold": 0.05},
    ),
    Fault(
        rule=optimisation.lr_high,
        says="above where the sweep diverged",
        facts=rate(2.1),
        location=MADE_AT,
        evidence={"lr": 2.1, "diverged": 2.0, "lowest": 0.5, "suggestion": 0.05},
    ),
    Fault(
        rule=optimisation.lr_high,
        says="more than 3 times the best rate of a sweep that did not diverge",
        facts=rate(1.6, lr_range={"diverged": None}),
        location=MADE_AT,
        evidence={"lr": 1.6, "lowest": 0.5},
    ),
    Fault(
        rule=optimisation.lr_high,
        says="the peak of a schedule, seen later",
        facts=rate(0.01, course={"highest_lr": 2.1}),
        location=MADE_AT,
        evidence={"lr": 2.1},
    ),
    Fault(
        rule=optimisation.lr_high,
        says="one batch: the loss jumps and is not learnt, a safe step learns it",
        facts=rate(0.1, user=JUMPING, lr_range=None),
        location=MADE_AT,
        evidence={"lr": 0.1},
    ),
    Fault(
        rule=optimisation.lr_high,
        says="one batch: it blew up",
        facts=rate(0.1, user={"losses": (2.3, 9.0) * 20 + (math.inf,) * 80, "accuracy": 0.1}),
        location=MADE_AT,
        evidence={"lr": 0.1},
    ),
    Fault(
        rule=optimisation.lr_low,
        says="tiny updates, and one batch is not learnt though a safe step learns it",
        facts=slow(),
        location=MADE_AT,
        evidence={"lr": 1e-6, "update_ratio": 1e-6, "suggestion": 0.05},
    ),
    Fault(
        rule=optimisation.lr_low,
        says="the same where there was no sweep",
        facts=slow(lr_range=None),
        location=MADE_AT,
    ),
    Fault(
        rule=optimisation.weight_decay_high,
        says="most of an update is decay",
        facts=facts(signals={"decay_share": 0.61}, wiring={"optimizers": optimizers({"weight_decay": 5.0})}),
        location=MADE_AT,
        evidence={"share": 0.61, "weight_decay": 5.0},
    ),
    Fault(
        rule=optimisation.cannot_overfit,
        says="not even a safe step learns one batch",
        facts=stuck(),
        location=MODEL_AT,
        evidence={"excess": 1.0, "steps": 119},
    ),
    Fault(
        rule=optimisation.cannot_overfit,
        says="an autoencoder that gives back less than two thirds",
        facts=rebuilt(0.31),
        location=MODEL_AT,
        evidence={"excess": 0.31},
    ),
    Fault(
        rule=optimisation.labels_unrelated,
        says="a batch is learnt by heart, and nothing beyond it",
        facts=unrelated(),
        severity="warning",
        evidence={"best": 0.99 * LN_10, "neighbour_z": 0.1},
    ),
    Fault(
        rule=optimisation.batch_too_small,
        says="gradients of two batches have next to nothing in common",
        facts=facts(noise={"cosine": 0.049}),
        severity="info",
        evidence={"cosine": 0.049, "threshold": 0.05},
    ),
    Fault(
        rule=optimisation.batch_too_small,
        says="less than nothing",
        facts=facts(noise={"cosine": -0.01}),
        severity="info",
        evidence={"cosine": -0.01},
    ),
    Fault(
        rule=optimisation.input_bound,
        says="more than half of each step is waiting",
        facts=facts(pace={"data_share": 0.51}),
        severity="info",
        evidence={"share": 0.51, "threshold": 0.5},
    ),
)
LOOK_ALIKES = (
    Healthy(
        rule=optimisation.sign_flipped,
        says="across the gradient, as an update of momentum may go",
        facts=facts(signals={"ascent": 0.05}),
    ),
    Healthy(
        rule=optimisation.sign_flipped,
        says="several optimizers, of which one pushes the loss up on purpose",
        facts=facts(signals={"ascent": 1.0}, wiring={"optimizers": optimizers({}, {})}),
    ),
    Healthy(
        rule=optimisation.sign_flipped,
        says="an objective to be maximised: going down learns nothing",
        facts=facts(signals={"ascent": 1.0}, rescue=FAILED),
    ),
    Healthy(
        rule=optimisation.sign_flipped,
        says="an objective below 0, which going down makes larger",
        facts=facts(signals={"ascent": 1.0}, rescue={"losses": tuple(-x for x in LEARNT[::-1])}),
    ),
    Healthy(rule=optimisation.lr_high, says="the best rate of the sweep", facts=rate(0.5)),
    Healthy(rule=optimisation.lr_high, says="three times the best rate", facts=rate(1.5)),
    Healthy(
        rule=optimisation.lr_high,
        says="data that are noise only: a sweep that did not fall says nothing",
        facts=rate(0.1, lr_range={"lowest": None, "diverged": None}),
    ),
    Healthy(
        rule=optimisation.lr_high,
        says="several optimizers: the sweep is of which?",
        facts=facts(wiring={"optimizers": optimizers({"lr": 9.0}, {})}, user=JUMPING),
    ),
    Healthy(
        rule=optimisation.lr_high,
        says="dropout of a half makes one batch jump",
        facts=rate(0.1, user=JUMPING | {"dropout": 0.5}),
    ),
    Healthy(
        rule=optimisation.lr_high,
        says="not learnt with any step: it is not the rate",
        facts=rate(0.1, user=JUMPING, rescue=FAILED),
    ),
    Healthy(
        rule=optimisation.lr_high,
        says="stuck without jumping: it is not too high",
        facts=rate(0.1, user=FAILED),
    ),
    Healthy(
        rule=optimisation.lr_high,
        says="it jumps on its way down",
        facts=rate(0.1, user={"losses": tuple(2.3 * 0.99**i * (1 + i % 2 / 4) for i in range(120))}),
    ),
    Healthy(
        rule=optimisation.lr_low,
        says="fine-tuning at a tiny rate: the weights move",
        facts=slow(lr=1e-5, update_ratio=2.5e-5),
    ),
    Healthy(
        rule=optimisation.lr_low,
        says="a warm-up from 0: one batch is learnt all the same",
        facts=slow(user={"losses": LEARNT}),
    ),
    Healthy(
        rule=optimisation.lr_low,
        says="the sweep wants a small rate too",
        facts=slow(lr=1e-4, lr_range={"lowest": 1.0}),
    ),
    Healthy(
        rule=optimisation.lr_low,
        says="not learnt with any step: it is not the rate",
        facts=slow(rescue=FAILED),
    ),
    Healthy(
        rule=optimisation.weight_decay_high,
        says="a usual decay",
        facts=facts(signals={"decay_share": 0.6}),
    ),
    Healthy(rule=optimisation.cannot_overfit, says="a batch that is learnt", facts=facts()),
    Healthy(
        rule=optimisation.cannot_overfit,
        says="the user's own step learns it",
        facts=stuck(user={"losses": LEARNT}),
    ),
    Healthy(
        rule=optimisation.cannot_overfit,
        says="a loss with a floor, such as that of smoothed labels: all is right",
        facts=stuck(rescue=FAILED | {"accuracy": 1.0}),
    ),
    Healthy(
        rule=optimisation.cannot_overfit,
        says="a loss that has reached its floor",
        facts=stuck(rescue={"losses": (2.3, *[0.55] * 119), "floor": 0.5, "accuracy": 0.9}),
    ),
    Healthy(
        rule=optimisation.cannot_overfit,
        says="still falling: a frozen backbone under a small head needs its time",
        facts=stuck(rescue={"losses": tuple(2.3 * 0.995**i for i in range(120)), "accuracy": 0.1}),
    ),
    Healthy(
        rule=optimisation.cannot_overfit,
        says="too few steps for a verdict",
        facts=stuck(rescue=FAILED | {"losses": STUCK[:80]}),
    ),
    Healthy(
        rule=optimisation.cannot_overfit,
        says="a linear model with fewer numbers than targets",
        facts=stuck(wiring={"parameters": 31}),
    ),
    Healthy(
        rule=optimisation.cannot_overfit,
        says="an autoencoder with a bottleneck gives back what it can",
        facts=rebuilt(0.29),
    ),
    Healthy(
        rule=optimisation.labels_unrelated,
        says="noisy data: neighbours see nothing, correlations do",
        facts=unrelated({"correlation_excess": 1.5}),
    ),
    Healthy(
        rule=optimisation.labels_unrelated,
        says="pictures: correlations see nothing, neighbours do",
        facts=unrelated({"neighbour_z": 4.0}),
    ),
    Healthy(
        rule=optimisation.labels_unrelated,
        says="validation beats a blind guess",
        facts=unrelated({"prior": 0.99 * LN_10 / 0.9}),
    ),
    Healthy(
        rule=optimisation.labels_unrelated,
        says="a model that learns nothing: it need not be the labels",
        facts=unrelated(rescue=FAILED),
    ),
    Healthy(
        rule=optimisation.labels_unrelated,
        says="all targets are equal: nothing to beat",
        facts=unrelated({"prior": 0.0}),
    ),
    Healthy(
        rule=optimisation.batch_too_small,
        says="a twentieth is signal",
        facts=facts(noise={"cosine": 0.05}),
    ),
    Healthy(
        rule=optimisation.input_bound,
        says="half of each step is waiting",
        facts=facts(pace={"data_share": 0.5}),
    ),
    Healthy(
        rule=optimisation.input_bound,
        says="steps so short that nobody waits",
        facts=facts(pace={"data_share": 0.9, "step_s": 4e-3}),
    ),
)
UNSEEN = (
    *(
        Unseen(rule=rule, says="the wiring was not looked at", facts=case)
        for rule, case in (
            (optimisation.lr_high, without("wiring", rate(2.1))),
            (optimisation.sign_flipped, facts(wiring=None, signals={"ascent": 1.0})),
            (optimisation.lr_low, without("wiring", slow())),
            (optimisation.weight_decay_high, facts(wiring=None, signals={"decay_share": 0.9})),
            (optimisation.cannot_overfit, without("wiring", stuck())),
        )
    ),
    Unseen(rule=optimisation.sign_flipped, says="no signals", facts=facts(signals=None)),
    Unseen(rule=optimisation.sign_flipped, says="not measured", facts=facts(signals={"ascent": NAN})),
    Unseen(
        rule=optimisation.sign_flipped, says="no safe step", facts=facts(signals={"ascent": 1.0}, rescue=None)
    ),
    Unseen(
        rule=optimisation.lr_high,
        says="neither a sweep nor one batch",
        facts=rate(9.0, lr_range=None, user=None, rescue=None),
    ),
    Unseen(
        rule=optimisation.lr_high,
        says="one batch, but no safe step beside it",
        facts=rate(0.1, user=JUMPING, rescue=None),
    ),
    Unseen(
        rule=optimisation.lr_high,
        says="one batch that could not be held still",
        facts=rate(0.1, user=JUMPING | {"reason": "the batch changes"}),
    ),
    Unseen(rule=optimisation.batch_too_small, says="no gradients", facts=facts(noise=None)),
    Unseen(rule=optimisation.batch_too_small, says="one gradient only", facts=facts(noise={"cosine": None})),
    Unseen(rule=optimisation.input_bound, says="no pace", facts=facts(pace=None)),
    Unseen(rule=optimisation.lr_low, says="updates were not measured", facts=slow(update_ratio=NAN)),
    Unseen(rule=optimisation.lr_low, says="no signals", facts=slow(signals=None)),
    Unseen(rule=optimisation.lr_low, says="one batch was not tried", facts=slow(user=None)),
    Unseen(rule=optimisation.lr_low, says="no safe step", facts=slow(rescue=None)),
    Unseen(rule=optimisation.weight_decay_high, says="no signals", facts=facts(signals=None)),
    Unseen(rule=optimisation.cannot_overfit, says="no safe step", facts=stuck(rescue=None)),
    Unseen(
        rule=optimisation.cannot_overfit,
        says="a loss of the user's own, whose floor is not known",
        facts=stuck(rescue=FAILED | {"floor": None}),
    ),
    Unseen(
        rule=optimisation.cannot_overfit,
        says="there is no verdict",
        facts=stuck(rescue=FAILED | {"reason": "the batch changes"}),
    ),
    Unseen(
        rule=optimisation.cannot_overfit,
        says="a loss that is not finite has a code of its own",
        facts=stuck(rescue=FAILED | {"losses": (*STUCK, NAN)}),
    ),
    Unseen(rule=optimisation.labels_unrelated, says="no example", facts=facts(data=None)),
    Unseen(
        rule=optimisation.labels_unrelated,
        says="neighbours were not looked for",
        facts=unrelated({"neighbour_z": None}),
    ),
    Unseen(
        rule=optimisation.labels_unrelated,
        says="correlations were not looked for",
        facts=unrelated({"correlation_excess": None}),
    ),
    Unseen(
        rule=optimisation.labels_unrelated,
        says="no evaluation",
        facts=unrelated(course={"evaluations": ()}),
    ),
    Unseen(rule=optimisation.labels_unrelated, says="no course", facts=unrelated(course=None)),
    Unseen(rule=optimisation.labels_unrelated, says="no prior", facts=unrelated({"prior": NAN})),
    Unseen(rule=optimisation.labels_unrelated, says="no safe step", facts=unrelated(rescue=None)),
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


def test_a_finding_on_the_rate_names_another_one() -> None:
    found = optimisation.lr_high(rate(2.1))
    assert found is not None
    assert "Try 0.05." in found.message


def test_without_a_sweep_no_rate_is_suggested() -> None:
    found = optimisation.lr_low(slow(lr_range=None))
    assert found is not None
    assert "Try" not in found.message
    assert set(found.evidence) == {"lr", "update_ratio", "threshold"}


@pytest.mark.parametrize(
    ("losses", "floor", "left"),
    [((2.0, *[0.2] * 9), 0.0, 0.1), ((2.0, *[0.65] * 9), 0.5, 0.1), (LEARNT, 0.0, 0.0), (STUCK, 0.0, 1.0)],
)
def test_excess_is_what_is_left_of_what_could_be_learnt(
    losses: tuple[float, ...], floor: float, left: float
) -> None:
    one = facts(user={"losses": losses, "floor": floor}).user
    assert one is not None
    assert excess(one) == pytest.approx(left, abs=1e-4)


def test_a_batch_either_passes_or_fails_or_there_is_no_verdict() -> None:
    assert HEALTHY.user is not None
    assert has_passed(HEALTHY.user)
    for changes, verdicts in (
        ({}, (True, False)),
        (FAILED, (False, True)),
        (FAILED | {"losses": STUCK[:20]}, (False, False)),
        (FAILED | {"reason": "the batch changes"}, (False, False)),
        ({"reason": "the batch changes"}, (False, False)),
        (FAILED | {"losses": (*STUCK, NAN)}, (False, True)),
        ({"losses": ()}, (False, False)),
    ):
        one = facts(user=changes).user
        assert (has_passed(one), has_failed(one)) == verdicts, changes
    assert not has_passed(None)
    assert not has_failed(None)


def test_targets_of_several_numbers_a_row_need_as_many_parameters() -> None:
    many = facts(
        call={"function": "mse_loss", "target_shape": (32, 4), "classes": False},
        user=FAILED,
        rescue=FAILED,
        wiring={"parameters": 127},
    )
    assert optimisation.cannot_overfit(many) is None
