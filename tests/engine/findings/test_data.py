"""What is wrong with the examples."""

from sgdb_engine.findings import data
from sgdb_engine.findings.facts import Facts

from .written_down import LOSS_AT, MODEL_AT, NAN, Fault, Healthy, Unseen, each, facts, found_in

NUMBERS = {
    "function": "mse_loss",
    "classes": False,
    "target_mean": 0.0,
    "target_std": 1.0,
    "blind": 1.0,
}


def regression(mean: float, std: float, start: float) -> Facts:
    """A squared error on targets of this mean and standard deviation that starts at `start`."""
    return facts(
        call=NUMBERS | {"target_mean": mean, "target_std": std, "blind": std**2},
        data={"classes": False, "target_mean": mean, "target_std": std},
        losses={"reported": (start,)},
    )


FAULTS = (
    Fault(
        rule=data.dup_workers,
        says="each batch comes as often as there are workers",
        facts=facts(data={"workers": 4, "equal_rounds": 1.0}),
        location=MODEL_AT,
        evidence={"workers": 4, "share": 1.0},
    ),
    Fault(
        rule=data.input_nonfinite,
        says="one NaN",
        facts=facts(data={"nonfinite": 1, "nonfinite_features": (4,)}),
        where=("feature 4",),
        evidence={"values": 1},
    ),
    Fault(
        rule=data.input_scale,
        says="pixels from 0 to 255",
        facts=facts(data={"rms": 124.0, "low": 0.0, "high": 255.0}),
        severity="warning",
        evidence={"rms": 124.0, "threshold": 10.0},
    ),
    Fault(
        rule=data.input_scale,
        says="features of very different spread",
        facts=facts(data={"rms": 5.1, "std_ratio": 2450.0, "widest": 7}),
        severity="warning",
        where=("feature 7",),
        evidence={"std_ratio": 2450.0},
    ),
    Fault(
        rule=data.target_scale,
        says="targets around 152 ± 78",
        facts=regression(152.0, 78.0, start=29_000.0),
        location=LOSS_AT,
        evidence={"mean": 152.0, "std": 78.0},
    ),
    Fault(
        rule=data.target_scale,
        says="tiny targets",
        facts=regression(0.0, 9e-3, start=1.0),
        location=LOSS_AT,
        evidence={"std": 9e-3},
    ),
    Fault(
        rule=data.target_scale,
        says="a mean more than 5 standard deviations away",
        facts=regression(5.1, 1.0, start=27.0),
        location=LOSS_AT,
        evidence={"mean": 5.1},
    ),
    Fault(
        rule=data.target_scale,
        says="known of the batch only",
        facts=facts(
            call=NUMBERS | {"target_mean": 0.0, "target_std": 11.0, "blind": 121.0},
            data=None,
            losses={"reported": (300.0,)},
        ),
        location=LOSS_AT,
        evidence={"std": 11.0},
    ),
    Fault(
        rule=data.not_shuffled,
        says="batches of one class each",
        facts=facts(data={"order_ratio": 33.0, "order_z": 79.0, "purest_batches": 0.9}),
        evidence={"ratio": 33.0, "threshold": 4.0, "z": 79.0},
    ),
    Fault(
        rule=data.not_shuffled,
        says="sorted numbers",
        facts=facts(data={"order_ratio": 4.1, "order_z": 10.1}),
        evidence={"ratio": 4.1},
    ),
    Fault(
        rule=data.same_batch,
        says="the loader's iterator is made anew in each step",
        facts=facts(data={"repeated_batches": 1.0}),
        location=MODEL_AT,
        evidence={"share": 1.0, "threshold": 0.8},
    ),
    Fault(
        rule=data.train_val_overlap,
        says="half of the validation rows are trained on",
        facts=facts(data={"overlap": 0.5}),
        evidence={"share": 0.5, "threshold": 0.05},
    ),
    Fault(
        rule=data.target_leak,
        says="the class stands in a feature",
        facts=facts(data={"leak": 0.96, "leak_feature": 13, "features": 14}),
        where=("feature 13",),
        evidence={"share": 0.96, "threshold": 0.95},
    ),
    Fault(
        rule=data.target_leak,
        says="the number stands in the very first feature",
        facts=facts(data={"classes": False, "leak": 1.0, "leak_feature": 0, "features": 4}),
        where=("feature 0",),
        evidence={"threshold": 0.999},
    ),
    Fault(
        rule=data.val_preproc,
        says="validation inputs that were not normalised",
        facts=facts(data={"val_std_factor": 3.1}),
        evidence={"factor": 3.1, "threshold": 3.0},
    ),
)
LOOK_ALIKES = (
    Healthy(
        rule=data.dup_workers,
        says="workers that share out what there is",
        facts=facts(data={"workers": 4, "equal_rounds": 0.0}),
    ),
    Healthy(
        rule=data.dup_workers,
        says="constant batches: only the first round is unlike those before",
        facts=facts(data={"workers": 2, "equal_rounds": 0.5}),
    ),
    Healthy(rule=data.input_nonfinite, says="finite inputs", facts=facts()),
    Healthy(
        rule=data.input_scale,
        says="tokens",
        facts=facts(data={"integer": True, "rms": 20_000.0}),
    ),
    Healthy(
        rule=data.input_scale,
        says="the first layer normalises",
        facts=facts(data={"starts_with_norm": True, "rms": 124.0}),
    ),
    Healthy(
        rule=data.input_scale,
        says="z-scored data exceed 1 now and then",
        facts=facts(data={"rms": 1.0, "low": -9.0, "high": 11.0}),
    ),
    Healthy(rule=data.input_scale, says="just not too large", facts=facts(data={"rms": 10.0})),
    Healthy(
        rule=data.input_scale,
        says="pixels that hardly ever change, of small numbers",
        facts=facts(data={"rms": 5.0, "std_ratio": 2450.0}),
    ),
    Healthy(
        rule=data.input_scale,
        says="a spread that differs less",
        facts=facts(data={"rms": 9.9, "std_ratio": 1000.0}),
    ),
    Healthy(
        rule=data.target_scale,
        says="targets around 0 ± 1",
        facts=regression(0.1, 1.0, start=1.2),
    ),
    Healthy(
        rule=data.target_scale,
        says="targets just not too wide",
        facts=regression(0.0, 10.0, start=300.0),
    ),
    Healthy(
        rule=data.target_scale,
        says="targets just not too small",
        facts=regression(0.0, 1e-2, start=1.0),
    ),
    Healthy(
        rule=data.target_scale,
        says="a mean of 5 standard deviations",
        facts=regression(5.0, 1.0, start=26.0),
    ),
    Healthy(
        rule=data.target_scale,
        says="the last bias starts at the mean",
        facts=regression(152.0, 78.0, start=1.5 * 78.0**2),
    ),
    Healthy(
        rule=data.target_scale,
        says="class numbers have no scale",
        facts=facts(call={"target_mean": 500.0, "target_std": 288.0}),
    ),
    Healthy(
        rule=data.target_scale,
        says="equal targets, as of a batch of one or of a GAN",
        facts=regression(0.0, 0.0, start=1.0),
    ),
    Healthy(
        rule=data.not_shuffled,
        says="rows that were never in any order",
        facts=facts(data={"order_ratio": 1.19, "order_z": 1.7}),
    ),
    Healthy(
        rule=data.not_shuffled,
        says="a sampler that balances the classes: batches are more alike than by chance",
        facts=facts(data={"order_ratio": 0.1, "order_z": -12.0}),
    ),
    Healthy(
        rule=data.not_shuffled,
        says="few batches: a large ratio by chance",
        facts=facts(data={"order_ratio": 5.0, "order_z": 10.0}),
    ),
    Healthy(
        rule=data.not_shuffled,
        says="many batches: a small but certain ratio, as of a time series",
        facts=facts(data={"order_ratio": 4.0, "order_z": 30.0}),
    ),
    Healthy(
        rule=data.not_shuffled,
        says="the same batch again has a code of its own",
        facts=facts(data={"order_ratio": 9.0, "order_z": 30.0, "repeated_batches": 1.0}),
    ),
    Healthy(
        rule=data.same_batch,
        says="each batch is all there is",
        facts=facts(data={"repeated_batches": 1.0, "whole_set": True}),
    ),
    Healthy(
        rule=data.same_batch,
        says="tiny data drawn with replacement",
        facts=facts(data={"repeated_batches": 0.8}),
    ),
    Healthy(
        rule=data.train_val_overlap,
        says="a few rows that occur in both",
        facts=facts(data={"overlap": 0.05}),
    ),
    Healthy(
        rule=data.train_val_overlap,
        says="lines of text that repeat themselves in the training set too",
        facts=facts(data={"overlap": 0.2, "duplicates": 0.1, "integer": True}),
    ),
    Healthy(
        rule=data.train_val_overlap,
        says="rows that are nearly constant",
        facts=facts(data={"overlap": 0.15, "duplicates": 0.1}),
    ),
    Healthy(
        rule=data.train_val_overlap,
        says="few validation rows, which may have equals by chance",
        facts=facts(data={"overlap": 0.2, "duplicates": 0.1, "val_rows": 20}),
    ),
    Healthy(
        rule=data.target_leak,
        says="a feature that tells much, not all",
        facts=facts(data={"leak": 0.95}),
    ),
    Healthy(
        rule=data.target_leak,
        says="of three features one may be the task itself",
        facts=facts(data={"leak": 1.0, "features": 3}),
    ),
    Healthy(
        rule=data.target_leak,
        says="a number that correlates strongly",
        facts=facts(data={"classes": False, "leak": 0.999}),
    ),
    Healthy(
        rule=data.val_preproc,
        says="augmented training data spread more",
        facts=facts(data={"val_std_factor": 3.0}),
    ),
)
UNSEEN = (
    *(
        Unseen(rule=rule, says="no example was seen", facts=facts(data=None))
        for rule in data.RULES
        if rule is not data.target_scale
    ),
    Unseen(rule=data.input_scale, says="no number was finite", facts=facts(data={"rms": NAN})),
    Unseen(rule=data.target_scale, says="no loss was seen", facts=facts(losses=None)),
    Unseen(
        rule=data.target_scale,
        says="no call of a loss was seen",
        facts=facts(losses={"calls": ()}),
    ),
    Unseen(
        rule=data.target_scale,
        says="the spread of the targets is not known",
        facts=regression(0.0, NAN, start=100.0),
    ),
    Unseen(
        rule=data.train_val_overlap,
        says="no validation was seen",
        facts=facts(data={"overlap": None}),
    ),
    Unseen(rule=data.target_leak, says="not looked for", facts=facts(data={"leak_feature": -1, "leak": 1.0})),
    Unseen(rule=data.val_preproc, says="no validation was seen", facts=facts(data={"val_std_factor": None})),
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


def test_pure_batches_are_told_as_such() -> None:
    found = data.not_shuffled(facts(data={"order_ratio": 33.0, "order_z": 79.0, "purest_batches": 0.9}))
    assert found is not None
    assert "90% of the batches hold one class only" in found.message
