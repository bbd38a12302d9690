"""The root cause is told first, what follows from it stands under it."""

from itertools import pairwise, permutations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sgdb_engine.events import Finding
from sgdb_engine.findings.catalogue import catalogue
from sgdb_engine.findings.making import finding
from sgdb_engine.findings.order import EVERYTHING, EXPLAINS, SEVERITIES, explains, root_cause_first
from sgdb_engine.findings.rules import RULES

from .written_down import several

CODES = sorted(catalogue())
codes = st.sampled_from(CODES)


def one(code: str, severity: str = "", state: str = "confirmed", cause: str = "", step: int = 0) -> Finding:
    return Finding(
        code=code,
        severity=severity or catalogue()[code].severity,  # type: ignore[arg-type]
        step=step,
        message="",
        state=state,  # type: ignore[arg-type]
        cause=cause,
    )


findings = st.builds(
    one,
    codes,
    severity=st.sampled_from(["", *SEVERITIES]),
    state=st.sampled_from(["suspected", "confirmed", "cleared"]),
    cause=st.sampled_from(["", *CODES]),
)
lists = st.lists(findings, max_size=12, unique_by=lambda f: f.code)


def named(ordered: list[Finding]) -> list[tuple[str, str]]:
    return [(f.code, f.cause) for f in ordered]


def test_causes_and_effects_are_findings_of_the_catalogue() -> None:
    effects = {code for each in EXPLAINS.values() if each != EVERYTHING for code in each}
    assert set(EXPLAINS) | effects <= set(catalogue())


def test_nothing_explains_itself_or_the_same_twice() -> None:
    for cause, effects in EXPLAINS.items():
        assert not explains(cause, cause)
        if effects != EVERYTHING:
            assert cause not in effects
            assert len(set(effects)) == len(effects), cause


def test_what_makes_everything_meaningless_explains_everything_else() -> None:
    for cause in ("input-nonfinite", "no-step", "nothing-trains", "opt-wrong-model"):
        assert all(explains(cause, code) for code in CODES if code != cause)


@several
@given(lists)
def test_no_finding_is_lost_or_made_up(found: list[Finding]) -> None:
    ordered = root_cause_first(found)
    assert sorted(f.code for f in ordered) == sorted(f.code for f in found)
    for before in found:
        (after,) = [f for f in ordered if f.code == before.code]
        assert (after.severity, after.state, after.step) == (before.severity, before.state, before.step)


@several
@given(lists)
def test_a_cause_stands_before_its_effects_and_does_explain_them(found: list[Finding]) -> None:
    ordered = root_cause_first(found)
    place = {f.code: i for i, f in enumerate(ordered)}
    for effect in ordered:
        if effect.cause:
            assert place[effect.cause] < place[effect.code]
            assert explains(effect.cause, effect.code)


@several
@given(lists)
def test_nothing_is_both_cause_and_effect(found: list[Finding]) -> None:
    """So no two findings can silence each other, and of several there is always one that stands by itself."""
    ordered = root_cause_first(found)
    assert not {f.cause for f in ordered} & {f.code for f in ordered if f.cause}
    assert not ordered or not ordered[0].cause


@several
@given(lists)
def test_the_effects_of_a_cause_follow_it_at_once(found: list[Finding]) -> None:
    for before, after in pairwise(root_cause_first(found)):
        assert not after.cause or after.cause in (before.code, before.cause)


@several
@given(lists)
def test_infos_come_last_and_explain_nothing(found: list[Finding]) -> None:
    ordered = root_cause_first(found)
    by_themselves = [f.severity == "info" for f in ordered if not f.cause]
    assert by_themselves == sorted(by_themselves)
    infos = {f.code for f in ordered if f.severity == "info"}
    assert not infos & {f.cause for f in ordered}


@several
@given(lists)
def test_what_is_cleared_explains_nothing(found: list[Finding]) -> None:
    ordered = root_cause_first(found)
    assert not {f.code for f in ordered if f.state == "cleared"} & {f.cause for f in ordered}


@several
@given(lists, st.randoms(use_true_random=False))
def test_the_order_does_not_depend_on_that_of_what_is_in_the_table(found: list[Finding], random) -> None:
    known = [f for f in found if f.code in EXPLAINS]
    shuffled = random.sample(known, len(known))
    assert named(root_cause_first(shuffled)) == named(root_cause_first(known))


@several
@given(lists)
def test_ordering_twice_is_ordering_once(found: list[Finding]) -> None:
    once = root_cause_first(found)
    assert root_cause_first(once) == once


@several
@given(st.permutations([code for code in CODES if code not in EXPLAINS]))
def test_what_is_in_no_table_keeps_its_order(order: list[str]) -> None:
    found = [one(code, severity="warning") for code in order]
    assert root_cause_first(found) == found


@several
@given(codes, codes)
def test_of_two_findings_at_most_one_explains_the_other(a: str, b: str) -> None:
    if a == b:
        return
    causes = {f.code: f.cause for f in root_cause_first([one(a), one(b)])}
    assert "" in causes.values()
    assert (causes[a], causes[b]) != (b, a)


@pytest.mark.parametrize(
    ("found", "told"),
    [
        (("overfit", "same-batch"), [("same-batch", ""), ("overfit", "same-batch")]),
        (("cannot-overfit", "broadcast"), [("broadcast", ""), ("cannot-overfit", "broadcast")]),
        (
            ("nonfinite", "loss-spike", "lr-high", "no-zero-grad"),
            [
                ("no-zero-grad", ""),
                ("lr-high", "no-zero-grad"),
                ("loss-spike", "no-zero-grad"),
                ("nonfinite", "no-zero-grad"),
            ],
        ),
        # dead units and vanished gradients bring about each other; one of them is told first
        (("dead-relu", "vanishing"), [("dead-relu", ""), ("vanishing", "dead-relu")]),
        # findings that have nothing to do with each other both stand
        (("frozen-in-opt", "not-shuffled"), [("not-shuffled", ""), ("frozen-in-opt", "")]),
        (("train-in-val", "softmax-before-ce"), [("softmax-before-ce", ""), ("train-in-val", "")]),
        ((), []),
    ],
)
def test_what_is_told_first(found: tuple[str, ...], told: list[tuple[str, str]]) -> None:
    for order in permutations(found):
        ordered = named(root_cause_first([one(code) for code in order]))
        assert ordered[:1] == told[:1]
        assert sorted(ordered) == sorted(told)


def died(share_at_first: float = 0.1) -> Finding:
    """Units that lived at first."""
    return msgspec.structs.replace(one("dead-relu"), evidence={"share": 0.9, "at_first": share_at_first})


def test_units_that_die_during_the_run_are_the_work_of_something_else() -> None:
    for cause in ("lr-high", "no-zero-grad"):
        for order in permutations([one(cause), died()]):
            assert named(root_cause_first(order)) == [(cause, ""), ("dead-relu", cause)]


def test_units_that_were_dead_at_first_are_the_cause() -> None:
    for order in permutations([one("lr-high"), one("dead-relu")]):
        assert named(root_cause_first(order)) == [("dead-relu", ""), ("lr-high", "dead-relu")]


def test_units_that_died_explain_only_what_came_after() -> None:
    found = [died(), one("init-loss"), one("majority-only")]
    causes = {f.code: f.cause for f in root_cause_first(found)}
    assert causes == {"dead-relu": "", "init-loss": "", "majority-only": "dead-relu"}


def test_a_cause_of_an_earlier_look_is_forgotten() -> None:
    """The cause may be gone since."""
    assert root_cause_first([one("overfit", cause="same-batch")])[0].cause == ""


def test_the_order_keeps_what_else_is_known_of_a_finding() -> None:
    found = finding(
        "overfit", "Rising.", step=3, where=["epoch 2"], location="a.py:1", evidence={"best": 0.3}
    )
    assert root_cause_first([found]) == [found]


def test_every_code_that_a_rule_finds_can_be_ordered() -> None:
    assert len(RULES) > 40
    assert len(root_cause_first([one(code) for code in CODES])) == len(CODES)
