"""Findings while a training runs: suspected, confirmed, cleared; each told once."""

from collections.abc import Sequence
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sgdb_engine.events import Finding
from sgdb_engine.findings import live
from sgdb_engine.findings.facts import Evaluation, Facts
from sgdb_engine.findings.live import HITS, Live

from .written_down import facts, several

CURVE, EXACT = "majority-only", "eval-in-train"


def seen(step: int, *codes: str, updates: int = 12) -> Facts:
    """What shows these findings, of which one is read off a curve and the other is exact."""
    last = Evaluation(step=step, loss=0.1, majority=0.98, predicted=1, lowest_recall=0.0)
    shown = facts(
        course={"evaluations": (last,) * 3} if CURVE in codes else {},
        wiring={"eval_updates": updates} if EXACT in codes else {},
    )
    shown.step = step
    return shown


def told_of(*looks: Sequence[str]) -> list[tuple[int, str, str]]:
    """Step, code and state of what was told, where a look at each step sees these."""
    told: list[tuple[int, str, str]] = []
    step = 0
    watching = Live(lambda finding: told.append((step, finding.code, finding.state)))
    for step, codes in enumerate(looks, 1):
        watching.look(seen(step, *codes))
    return told


def test_what_is_exact_is_confirmed_at_once_and_stays() -> None:
    assert told_of([], [EXACT], [EXACT], [], [], [EXACT]) == [(2, EXACT, "confirmed")]


def test_what_is_read_off_a_curve_is_suspected_at_first_and_confirmed_at_the_next_look() -> None:
    assert told_of([CURVE], [CURVE], [CURVE]) == [(1, CURVE, "suspected"), (2, CURVE, "confirmed")]


def test_a_suspicion_that_does_not_come_true_is_cleared_at_once() -> None:
    assert told_of([CURVE], [], []) == [(1, CURVE, "suspected"), (2, CURVE, "cleared")]


def test_what_was_confirmed_is_cleared_when_two_looks_in_a_row_do_not_see_it() -> None:
    assert told_of([CURVE], [CURVE], [], [], []) == [
        (1, CURVE, "suspected"),
        (2, CURVE, "confirmed"),
        (4, CURVE, "cleared"),
    ]


def test_what_comes_and_goes_does_not_flicker_once_it_is_confirmed() -> None:
    looks = [[CURVE], [CURVE], *[[], [CURVE]] * 5]
    assert told_of(*looks) == [(1, CURVE, "suspected"), (2, CURVE, "confirmed")]


def test_what_is_there_again_after_it_was_cleared_is_told_again() -> None:
    states = [state for _, _, state in told_of([CURVE], [CURVE], [], [], [CURVE], [CURVE])]
    assert states == ["suspected", "confirmed", "cleared", "suspected", "confirmed"]


def test_findings_are_told_apart() -> None:
    assert told_of([CURVE], [CURVE, EXACT], [EXACT], [EXACT]) == [
        (1, CURVE, "suspected"),
        (2, EXACT, "confirmed"),
        (2, CURVE, "confirmed"),
        (4, CURVE, "cleared"),
    ]


@several
@given(st.lists(st.sampled_from([(), (CURVE,), (EXACT,), (CURVE, EXACT)]), max_size=30))
def test_states_follow_one_another(looks: list[tuple[str, ...]]) -> None:
    told = told_of(*looks)
    for code in (CURVE, EXACT):
        states = [state for _, of, state in told if of == code]
        assert states[:1] in ([], ["suspected" if code == CURVE else "confirmed"])
        assert set(pairwise(states)) <= {
            ("suspected", "confirmed"),
            ("suspected", "cleared"),
            ("confirmed", "cleared"),
            ("cleared", "suspected"),
        }
    assert sum(code == EXACT for _, code, _ in told) == any(EXACT in look for look in looks)


@several
@given(st.lists(st.booleans(), max_size=40))
def test_a_confirmed_finding_is_cleared_only_after_so_many_looks_in_a_row(there: list[bool]) -> None:
    told = told_of(*[[CURVE] if each else [] for each in there])
    for (_, _, before), (step, _, after) in pairwise(told):
        if (before, after) == ("confirmed", "cleared"):
            assert not any(there[step - HITS : step])
    for step, _, state in told:
        if state == "confirmed":
            assert all(there[step - HITS : step])


class Heard:
    """What was told."""

    def __init__(self) -> None:
        self.findings: list[Finding] = []
        self.live = Live(self.findings.append)


@pytest.fixture
def heard() -> Heard:
    return Heard()


def test_a_finding_keeps_the_step_at_which_it_was_first_told(heard: Heard) -> None:
    for step in (100, 200, 300, 400):
        heard.live.look(seen(step, CURVE) if step < 300 else seen(step))
    assert [(f.step, f.state) for f in heard.findings] == [
        (100, "suspected"),
        (100, "confirmed"),
        (100, "cleared"),
    ]


def test_a_finding_without_a_step_of_its_own_has_that_of_the_look(heard: Heard) -> None:
    heard.live.look(seen(24, EXACT))
    assert heard.findings[0].step == 24


def test_a_finding_keeps_where_it_was_first_told(heard: Heard, monkeypatch: pytest.MonkeyPatch) -> None:
    def found(facts: Facts) -> list[Finding]:
        where = (f"layer {facts.step}",)
        return [Finding(code=CURVE, severity="warning", step=0, message=f"at {facts.step}", where=where)]

    monkeypatch.setattr(live, "findings_of", found)
    for step in (1, 2):
        heard.live.look(Facts(step=step))
    assert [f.where for f in heard.findings] == [("layer 1",), ("layer 1",)]
    assert [f.message for f in heard.findings] == ["at 1", "at 2"]


def test_a_cause_that_shows_later_is_told_of_what_was_told_before(heard: Heard) -> None:
    """The screen folds it under its cause then; it stays confirmed."""
    heard.live.look(facts(wiring={"val_calls_in_train_mode": 1}))
    heard.live.look(facts(wiring={"val_calls_in_train_mode": 1, "updates": 0, "backwards": 200}))
    assert [(f.code, f.cause) for f in heard.findings] == [
        ("train-in-val", ""),
        ("no-step", ""),
        ("train-in-val", "no-step"),
    ]


def test_a_look_that_sees_nothing_tells_nothing(heard: Heard) -> None:
    heard.live.look(Facts())
    heard.live.look(facts())
    assert heard.findings == []
