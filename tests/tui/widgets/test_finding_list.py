"""The order of findings: open before cleared, what causes the others first."""

import msgspec

from sgdb_engine.events import Finding
from sgdb_tui.widgets.finding_list import advice_of, in_order, open_ones, worst


def finding(code: str, severity: str = "warning", step: int = 1, **more: object) -> Finding:
    return Finding(code=code, severity=severity, step=step, message=code, **more)  # type: ignore[arg-type]


def test_what_follows_from_a_cause_stands_under_it_whatever_came_first() -> None:
    found = [
        finding("cannot-overfit", "error", 1),
        finding("lr-high", "warning", 9),
        finding("other", "error", 3),
    ]
    ordered = in_order(found)
    assert [(each.code, each.cause) for each in ordered] == [
        ("lr-high", ""),
        ("cannot-overfit", "lr-high"),
        ("other", ""),
    ]
    assert worst(ordered) == "error"


def test_a_cause_that_was_cleared_explains_nothing_and_stands_last() -> None:
    cleared = msgspec.structs.replace(finding("lr-high", "error"), state="cleared")
    found = [cleared, finding("cannot-overfit")]
    assert [(each.code, each.cause) for each in in_order(found)] == [("cannot-overfit", ""), ("lr-high", "")]
    assert [each.code for each in open_ones(found)] == ["cannot-overfit"]


def test_advice_begins_with_the_place_in_the_code() -> None:
    assert advice_of(finding("a", advice="Do it.", location="train.py:7")) == "train.py:7 → Do it."
    assert advice_of(finding("a", advice="Do it.")) == "→ Do it."
    assert advice_of(finding("a")) == ""
