"""All rules together: each has examples, none speaks of a healthy training or of what was not measured."""

import math

import msgspec
import pytest

from sgdb_engine.findings import facts as f
from sgdb_engine.findings.catalogue import catalogue
from sgdb_engine.findings.rules import RULES, STATISTICAL, findings_of
from sgdb_engine.witness.loss_calls import OF_BITS, OF_CLASSES, OF_NUMBERS

from . import (
    test_course,
    test_data,
    test_leaks,
    test_losses,
    test_optimisation,
    test_signals,
    test_wiring,
)
from .written_down import HEALTHY, NAN, PARTS, Example, Fault, Healthy, each, facts, without

FAMILIES = (test_wiring, test_losses, test_data, test_leaks, test_signals, test_optimisation, test_course)
FAULTS: list[Fault] = [one for family in FAMILIES for one in family.FAULTS]
LOOK_ALIKES: list[Healthy] = [one for family in FAMILIES for one in family.LOOK_ALIKES]
UNSEEN: list[Example] = [one for family in FAMILIES for one in family.UNSEEN]

every_rule = pytest.mark.parametrize("rule", RULES, ids=lambda rule: f"{rule.__module__}.{rule.__name__}")


@every_rule
def test_every_rule_has_an_example_of_a_fault_of_its_look_alike_and_of_what_is_not_measured(
    rule: object,
) -> None:
    for examples in (FAULTS, LOOK_ALIKES, UNSEEN):
        assert any(one.rule is rule for one in examples)


def test_the_examples_are_of_rules_that_are_asked() -> None:
    assert {one.rule for one in (*FAULTS, *LOOK_ALIKES, *UNSEEN)} == set(RULES)


def test_no_example_is_written_down_twice() -> None:
    names = [one.name for one in (*FAULTS, *LOOK_ALIKES)]
    assert len(set(names)) == len(names)


@every_rule
def test_a_rule_says_nothing_of_nothing(rule: object) -> None:
    assert rule(f.Facts()) is None  # type: ignore[operator]


def test_the_healthy_training_has_no_finding() -> None:
    assert findings_of(HEALTHY) == []


@pytest.mark.parametrize("part", PARTS)
def test_a_healthy_training_has_no_finding_either_where_a_part_was_not_measured(part: str) -> None:
    assert findings_of(without(part, HEALTHY)) == []


@pytest.mark.parametrize("function", [*OF_CLASSES, *OF_BITS, *OF_NUMBERS, "kl_div", "ctc_loss"])
def test_a_call_of_which_nothing_is_known_is_no_finding(function: str) -> None:
    calls = (f.LossCall(function=function),)
    assert findings_of(facts(losses={"calls": calls})) == []
    assert findings_of(f.Facts(losses=f.Losses(calls=calls))) == []


@pytest.mark.parametrize("part", PARTS)
def test_a_part_of_which_nothing_is_known_is_no_finding(part: str) -> None:
    names = {"user": "OneBatch", "rescue": "OneBatch", "zero_input": "OneBatch"}
    kind = getattr(f, names.get(part) or "".join(word.title() for word in part.split("_")))
    assert findings_of(f.Facts(**{part: kind()})) == []
    assert findings_of(msgspec.structs.replace(HEALTHY, **{part: kind()})) == []


NUMBERS = [
    (part, field.name)
    for part in PARTS
    for field in msgspec.structs.fields(type(getattr(HEALTHY, part)))
    if isinstance(getattr(getattr(HEALTHY, part), field.name), float)
]


@pytest.mark.parametrize(("part", "field"), NUMBERS)
def test_what_is_not_a_number_is_no_finding(part: str, field: str) -> None:
    assert findings_of(facts(**{part: {field: NAN}})) == []


@each(FAULTS)
def test_a_fault_is_among_the_findings_of_the_whole(example: Fault) -> None:
    codes = [finding.code for finding in findings_of(example.facts)]
    assert (example.code or example.rule.__name__.replace("_", "-")) in codes


@each(FAULTS)
def test_a_fault_of_which_some_part_was_not_measured_is_found_or_not_but_nothing_breaks(
    example: Fault,
) -> None:
    said = [example.rule(without(part, example.facts)) for part in PARTS]
    assert None in said


@each(FAULTS)
def test_facts_survive_a_journey_between_processes(example: Fault) -> None:
    there = msgspec.msgpack.decode(msgspec.msgpack.encode(example.facts), type=f.Facts)
    found = example.rule(there)
    assert found is not None
    assert found.code == (example.code or example.rule.__name__.replace("_", "-"))


def test_the_catalogue_explains_what_rules_find_and_nothing_else() -> None:
    """But for what is looked for in each row."""
    found = {one.code or one.rule.__name__.replace("_", "-") for one in FAULTS}
    assert found | {"nonfinite"} == set(catalogue())


def test_each_code_is_told_once_though_two_rules_find_it() -> None:
    both = facts(
        data={"val_std_factor": 4.0},
        course={
            "evaluations": (
                f.Evaluation(step=1, loss=12.0, train_loss=2.0),
                f.Evaluation(step=2, loss=12.0, train_loss=2.0),
            )
        },
    )
    assert [finding.code for finding in findings_of(both)] == ["val-preproc"]


def test_what_is_read_off_curves_is_in_the_catalogue() -> None:
    assert set(catalogue()) >= STATISTICAL


def test_a_number_that_is_not_measured_is_nan_none_or_as_of_a_healthy_training() -> None:
    """So that a rule can be asked at any time."""
    assert math.isnan(f.Course().early_peak)
    assert f.Data().overlap is None
    assert f.Signals().growth == 1.0
