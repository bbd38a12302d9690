"""What shows only as a run goes on."""

from collections.abc import Mapping
from typing import Any

from sgdb_engine.findings import course
from sgdb_engine.findings.facts import Evaluation, Facts

from .written_down import (
    IMPROVING,
    MADE_AT,
    NAN,
    Fault,
    Healthy,
    Unseen,
    each,
    facts,
    found_in,
    optimizers,
)

FALLING = (2.0, 1.0, 0.5, 0.25, 0.12, 0.06)


def evaluated(
    losses: tuple[float, ...],
    train: tuple[float, ...] = FALLING,
    accuracies: tuple[float, ...] = (),
    start: float = 2.4,
    rows: int = 1000,
    **changes: object,
) -> Facts:
    """A course with an evaluation every 100 steps, of which these were the losses."""
    accuracies = accuracies or (NAN,) * len(losses)
    evaluations = tuple(
        Evaluation(step=100 * i, loss=loss, train_loss=trained, accuracy=accuracy, rows=rows, **changes)  # type: ignore[arg-type]
        for i, (loss, trained, accuracy) in enumerate(zip(losses, train, accuracies, strict=True), 1)
    )
    return facts(course={"evaluations": evaluations, "start": start})


def of_classes(evaluations: int = 3, **changes: object) -> Facts:
    """Of a set in which a class has 98 % of the rows, and only that is predicted."""
    last = {"majority": 0.98, "predicted": 1, "lowest_recall": 0.0} | changes
    return evaluated((0.1,) * evaluations, train=(0.1,) * evaluations, **last)


def out_of_proportion(
    validation: tuple[float, ...] = (12.0, 10.0), train: tuple[float, ...] = (2.0, 1.0), factor: float = 2.0
) -> Facts:
    """Validation losses beside training losses, and features that spread differently."""
    whole = evaluated(validation, train)
    return facts(
        course={"evaluations": whole.course.evaluations if whole.course else ()},
        data={"val_std_factor": factor},
    )


def clipped(coefficient: float, kind: str = "SGD", steps: int = 10) -> Facts:
    """What clipping multiplies the gradients by."""
    return facts(
        course={"clip_coef": coefficient, "steps": steps}, wiring={"optimizers": optimizers({"kind": kind})}
    )


def peaked(peak: float, *, median: float = 0.9, noise: float = 0.1, steps: int = 80, batch: int = 8) -> Facts:
    """Early losses relative to the first: the largest mean of five, the median, what chance does to a mean."""
    early = {"early_peak": peak, "early_median": median, "early_noise": noise}
    return facts(course=early | {"steps": steps, "highest_lr": 1.0}, wiring={"batch": batch})


def collapsed(**changes: object) -> Facts:
    """A learning rate that fell a thousandfold while the loss is at three quarters of its start."""
    seen = {"steps": 50, "lr": 9e-5, "highest_lr": 0.1, "start": 2.4, "recent": 1.8}
    return facts(course=seen | changes)


def shrunk(ratio: float = 0.09, decay: float = 5.0) -> Facts:
    """Weights that are a tenth of what they were."""
    return facts(course={"weight_ratio": ratio}, wiring={"optimizers": optimizers({"weight_decay": decay})})


RISING = (1.0, 0.5, 0.3, 0.6, 0.8, 1.0)
GAINED_AND_LOST = (0.6, 0.8, 0.9, 0.8, 0.78, 0.76)


def flat(
    loss: float = 1.5,
    *,
    val: float | None = None,
    falls: float = 0.0,
    count: int = 12,
    lr: float = 0.1,
    call: Mapping[str, Any] = {},
) -> Facts:
    """A run whose losses stand still; `falls` by a share from each evaluation to the next."""
    losses = [loss * (1 - falls) ** i for i in range(count)]
    over = tuple(
        Evaluation(step=100 * i, loss=each if val is None else val, train_loss=each)
        for i, each in enumerate(losses, 1)
    )
    return facts(course={"evaluations": over, "lr": lr}, call=call)


FAULTS = (
    Fault(
        rule=course.underfit,
        says="training and validation stand still together, not far below a blind guess",
        facts=flat(),
        evidence={"training": 1.5, "validation": 1.5, "threshold": 0.01},
    ),
    Fault(
        rule=course.lr_high,
        says="the loss jumps up at once",
        facts=peaked(1.31, steps=10),
        evidence={"peak": 1.31, "threshold": 1.3, "lr": 1.0},
    ),
    Fault(
        rule=course.lr_high,
        says="noisy losses that rise and stay above their start",
        facts=peaked(1.9, median=1.31, noise=1.0),
        evidence={"peak": 1.9},
    ),
    Fault(
        rule=course.lr_collapsed,
        says="the rate is gone before anything was learnt",
        facts=collapsed(),
        evidence={"lr": 9e-5, "highest_lr": 0.1},
    ),
    Fault(
        rule=course.loss_spike,
        says="one loss far above those before",
        facts=facts(course={"spike_step": 211, "spike": 57.0, "spike_median": 1.0}),
        where=("epoch 3",),
        evidence={"loss": 57.0, "median": 1.0},
    ),
    Fault(
        rule=course.weight_decay_high,
        says="the weights are pulled to zero",
        facts=shrunk(),
        location=MADE_AT,
        evidence={"ratio": 0.09, "weight_decay": 5.0},
    ),
    Fault(
        rule=course.clip_too_low,
        says="next to nothing is left of the gradients",
        facts=clipped(0.019),
        evidence={"clip_coef": 0.019, "threshold": 0.02},
    ),
    Fault(
        rule=course.clip_too_low,
        says="the same for averaged SGD",
        facts=clipped(0.019, "ASGD"),
        evidence={"clip_coef": 0.019},
    ),
    Fault(
        rule=course.majority_only,
        says="the frequent class is predicted whatever the input",
        facts=of_classes(),
        evidence={"majority": 0.98, "lowest_recall": 0.0},
    ),
    Fault(
        rule=course.label_noise,
        says="accuracy falls again while training goes on learning",
        facts=evaluated(RISING, accuracies=GAINED_AND_LOST),
        evidence={"peak": 0.9, "last": 0.78, "threshold": 0.06},
    ),
    Fault(
        rule=course.overfit,
        says="validation rises while training falls",
        facts=evaluated(RISING),
        evidence={"best": 0.3, "last": 1.0},
    ),
    Fault(
        rule=course.overfit,
        says="validation rises, and its accuracy stays within 0.02",
        facts=evaluated(RISING, accuracies=(0.6, 0.8, 0.9, 0.91, 0.92, 0.92)),
        evidence={"best": 0.3, "last": 1.0},
    ),
    Fault(
        rule=course.val_preproc,
        says="validation is out of all proportion from the first evaluation on",
        facts=out_of_proportion(),
        evidence={"validation": 12.0, "training": 2.0},
    ),
)
LOOK_ALIKES = (
    Healthy(rule=course.underfit, says="a loss that goes on falling", facts=flat(falls=0.02)),
    Healthy(rule=course.underfit, says="converged: little is left", facts=flat(1.1)),
    Healthy(rule=course.underfit, says="validation is higher: overfitting", facts=flat(val=1.8)),
    Healthy(rule=course.underfit, says="9 evaluations", facts=flat(count=9)),
    Healthy(
        rule=course.underfit,
        says="the learning rate came down to nothing, as planned",
        facts=flat(lr=1e-4),
    ),
    Healthy(
        rule=course.lr_high,
        says="a loss that wavers around its start",
        facts=peaked(1.3),
    ),
    Healthy(
        rule=course.lr_high,
        says="the first few steps",
        facts=peaked(5.0, steps=9),
    ),
    Healthy(
        rule=course.lr_high,
        says="batches of seven rows: the first loss says too little of where it starts",
        facts=peaked(5.0, batch=7),
    ),
    Healthy(
        rule=course.lr_high,
        says="losses of small batches that differ so much",
        facts=peaked(1.5, median=1.1, noise=0.4),
    ),
    Healthy(
        rule=course.lr_high,
        says="a first loss that was low by chance",
        facts=peaked(1.5, median=1.3, noise=0.2),
    ),
    Healthy(
        rule=course.lr_collapsed,
        says="a cosine down to 0 at its planned end: the loss has fallen",
        facts=collapsed(lr=0.0, recent=0.7 * 2.4),
    ),
    Healthy(
        rule=course.lr_collapsed,
        says="a schedule that goes down a thousandfold",
        facts=collapsed(lr=1e-4),
    ),
    Healthy(rule=course.lr_collapsed, says="few steps", facts=collapsed(steps=49)),
    Healthy(rule=course.loss_spike, says="no spike", facts=facts()),
    Healthy(
        rule=course.loss_spike,
        says="batches of seven rows, whose losses jump by chance",
        facts=facts(
            course={"spike_step": 211, "spike": 57.0, "spike_median": 1.0},
            wiring={"batch": 7},
        ),
    ),
    Healthy(
        rule=course.weight_decay_high,
        says="weights that shrink for another reason",
        facts=shrunk(decay=0.0),
    ),
    Healthy(rule=course.weight_decay_high, says="a tenth is left", facts=shrunk(ratio=0.1)),
    Healthy(rule=course.clip_too_low, says="a fiftieth is left", facts=clipped(0.02)),
    Healthy(rule=course.clip_too_low, says="the first few steps", facts=clipped(0.001, steps=9)),
    *(
        Healthy(
            rule=course.clip_too_low,
            says=f"{kind} does not mind the size",
            facts=clipped(0.001, kind),
        )
        for kind in (
            *("Adam", "AdamW", "Adamax", "NAdam", "RAdam", "SparseAdam", "RMSprop", "Rprop", "Adagrad"),
            *("Adadelta", "Adafactor", "Lion", "Muon", "an optimizer of the user's own"),
        )
    ),
    Healthy(
        rule=course.clip_too_low,
        says="one of two optimizers does not mind the size",
        facts=facts(
            course={"clip_coef": 0.001, "steps": 10},
            wiring={"optimizers": optimizers({"kind": "SGD"}, {"kind": "Adam"})},
        ),
    ),
    Healthy(
        rule=course.majority_only,
        says="an untrained net predicts one class, too",
        facts=of_classes(evaluations=2),
    ),
    Healthy(
        rule=course.majority_only,
        says="a class of 80 %",
        facts=of_classes(majority=0.8),
    ),
    Healthy(
        rule=course.majority_only,
        says="imbalanced, and weighted: the rare class is found",
        facts=of_classes(predicted=2, lowest_recall=0.7),
    ),
    Healthy(
        rule=course.majority_only,
        says="the rare class is predicted now and then",
        facts=of_classes(predicted=2),
    ),
    Healthy(
        rule=course.majority_only,
        says="there is one class only",
        facts=of_classes(majority=1.0, lowest_recall=1.0),
    ),
    Healthy(
        rule=course.overfit,
        says="validation goes on falling",
        facts=facts(course={"evaluations": IMPROVING}),
    ),
    Healthy(
        rule=course.overfit,
        says="a mild rise, as of RMSprop or a one-cycle schedule",
        facts=evaluated((1.0, 0.5, 0.3, 0.33, 0.34, 0.345)),
    ),
    Healthy(
        rule=course.overfit,
        says="tiny losses, late: a tenfold rise of next to nothing",
        facts=evaluated((1.0, 0.1, 0.02, 0.2, 0.2, 0.2)),
    ),
    Healthy(
        rule=course.overfit,
        says="training rises, too: it is not overfitting",
        facts=evaluated(RISING, train=(2.0, 1.0, 0.5, 0.6, 0.8, 0.9)),
    ),
    Healthy(
        rule=course.overfit,
        says="five evaluations are few",
        facts=evaluated(RISING[:5], train=FALLING[:5]),
    ),
    Healthy(
        rule=course.overfit,
        says="one bad evaluation at the end",
        facts=evaluated((1.0, 0.5, 0.4, 0.31, 0.3, 1.0), start=4.0),
    ),
    Healthy(
        rule=course.overfit,
        says="a loss below 0, as of a density: validation wavers by a fiftieth",
        facts=evaluated(
            (-3.0, -4.0, -5.0, -4.9, -4.9, -4.9), train=(-3.0, -4.0, -5.0, -5.1, -5.2, -5.3), start=-1.0
        ),
    ),
    Healthy(
        rule=course.overfit,
        says="surer of itself where it errs, but it errs less",
        facts=evaluated(RISING, accuracies=(0.6, 0.8, 0.9, 0.92, 0.93, 0.93)),
    ),
    Healthy(
        rule=course.label_noise,
        says="the loss rises, accuracy does not fall: overfitting of the usual kind",
        facts=evaluated(RISING, accuracies=(0.6, 0.8, 0.9, 0.89, 0.9, 0.9)),
    ),
    Healthy(
        rule=course.label_noise,
        says="a small validation set wavers",
        facts=evaluated(RISING, accuracies=(0.6, 0.8, 0.9, 0.84, 0.82, 0.8), rows=30),
    ),
    Healthy(
        rule=course.label_noise,
        says="accuracy never was better than the largest class",
        facts=evaluated(RISING, accuracies=GAINED_AND_LOST, majority=0.9),
    ),
    Healthy(
        rule=course.label_noise,
        says="validation loss does not rise",
        facts=evaluated(FALLING, accuracies=GAINED_AND_LOST),
    ),
    Healthy(
        rule=course.val_preproc,
        says="validation is harder, but prepared alike",
        facts=out_of_proportion(factor=1.9),
    ),
    Healthy(
        rule=course.val_preproc,
        says="out of proportion at the end only: that is overfitting",
        facts=out_of_proportion(validation=(2.0, 10.0)),
    ),
    Healthy(
        rule=course.val_preproc,
        says="out of proportion at first only",
        facts=out_of_proportion(validation=(12.0, 1.0)),
    ),
    Healthy(
        rule=course.val_preproc,
        says="losses below 0 have no proportion",
        facts=out_of_proportion(validation=(-2.0, -3.0), train=(-2.2, -3.3)),
    ),
    Healthy(
        rule=course.val_preproc,
        says="a training loss of exactly 0 has no proportion",
        facts=out_of_proportion(train=(0.0, 0.0)),
    ),
)
UNSEEN = (
    Unseen(
        rule=course.underfit,
        says="the loss of a guess that ignores the input is not known",
        facts=flat(call={"function": "kl_div"}),
    ),
    Unseen(rule=course.underfit, says="no rate was seen", facts=flat(lr=NAN)),
    Unseen(rule=course.underfit, says="no training loss was seen", facts=flat(NAN)),
    *(Unseen(rule=rule, says="no course was seen", facts=facts(course=None)) for rule in course.RULES),
    *(
        Unseen(rule=rule, says="no evaluation was seen", facts=facts(course={"evaluations": ()}))
        for rule in (
            *(course.majority_only, course.label_noise, course.overfit, course.val_preproc),
            course.underfit,
        )
    ),
    Unseen(rule=course.lr_high, says="no loss was seen", facts=facts(course={"early_peak": NAN})),
    Unseen(rule=course.lr_collapsed, says="no rate was seen", facts=collapsed(lr=NAN)),
    Unseen(rule=course.lr_collapsed, says="no loss was seen", facts=collapsed(start=NAN, recent=NAN)),
    Unseen(rule=course.clip_too_low, says="nothing was clipped", facts=clipped(NAN)),
    Unseen(
        rule=course.label_noise,
        says="a loss without an accuracy",
        facts=evaluated(RISING),
    ),
    Unseen(
        rule=course.overfit,
        says="an evaluation was not a number",
        facts=evaluated((1.0, NAN, 0.3, 0.6, 0.8, 1.0)),
    ),
    Unseen(
        rule=course.overfit,
        says="no training loss was seen",
        facts=evaluated(RISING, train=(NAN,) * 6),
    ),
    Unseen(
        rule=course.val_preproc,
        says="the spread was not measured",
        facts=facts(course={"evaluations": IMPROVING}, data={"val_std_factor": None}),
    ),
    Unseen(rule=course.val_preproc, says="no example was seen", facts=facts(data=None)),
    *(
        Unseen(rule=rule, says="the wiring was not looked at", facts=facts(wiring=None, course=changes))
        for rule, changes in (
            (course.weight_decay_high, {"weight_ratio": 0.01}),
            (course.clip_too_low, {"clip_coef": 0.001}),
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


def test_overfitting_is_told_of_the_best_evaluation() -> None:
    found = course.overfit(evaluated(RISING))
    assert found is not None
    assert found.step == 300
    assert "since evaluation 3 of 6 (step 300)" in found.message


def test_a_spike_is_told_of_its_step() -> None:
    found = course.loss_spike(facts(course={"spike_step": 211, "spike": 57.0, "spike_median": 0.0}))
    assert found is not None
    assert found.step == 211


def test_a_rate_that_is_too_high_is_told_of_the_step_at_which_it_shows() -> None:
    for steps, told in ((10, 10), (79, 79), (500, 80)):
        found = course.lr_high(peaked(2.0, steps=steps))
        assert found is not None
        assert found.step == told
