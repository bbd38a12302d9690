"""What stands out in a check is not always the fault: nothing is accused that cannot have done it."""

import math

import pytest

from sgdb_engine.findings.facts import Facts
from sgdb_engine.findings.rules import findings_of
from tests.engine.findings.written_down import STUCK, Changes, facts, optimizers

JUMPING = {"losses": (2.3, 3.5) * 60, "accuracy": 0.2}
NO_SWEEP = {"lowest": None, "diverged": None, "suggestion": None, "reason": "the loss never fell"}
TINY = {"update_ratio": 1e-9}


def codes(seen: Facts) -> list[str]:
    return [finding.code for finding in findings_of(seen)]


def on_one_batch(user: Changes, **parts: Changes) -> Facts:
    """The user's own steps went so, a safe one learns the batch, and a sweep of rates says nothing."""
    return facts(user=user, lr_range=NO_SWEEP, **parts)


def test_where_nothing_was_seen_nothing_is_guessed() -> None:
    assert codes(on_one_batch({"losses": STUCK})) == []


@pytest.mark.parametrize(
    ("seen", "code"),
    [
        (on_one_batch(JUMPING), "lr-high"),
        (on_one_batch({"losses": STUCK}, signals=TINY), "lr-low"),
        (facts(data={"low": 0.0, "high": 255.0, "rms": 120.0}), "input-scale"),
        (facts(data={"nonfinite": 3, "nonfinite_features": (1,)}), "input-nonfinite"),
    ],
)
def test_what_was_measured_is_named(seen: Facts, code: str) -> None:
    assert code in codes(seen)


@pytest.mark.parametrize(
    ("seen", "code"),
    [
        (on_one_batch({**JUMPING, "dropout": 0.5}), "lr-high"),
        (on_one_batch(JUMPING, wiring={"optimizers": optimizers({}, {})}), "lr-high"),
        (on_one_batch({**JUMPING, "reason": "the batch could not be held still"}), "lr-high"),
        (on_one_batch(JUMPING, rescue=JUMPING), "lr-high"),
        (on_one_batch(JUMPING), "lr-low"),
        (on_one_batch({"losses": (math.nan,) * 2}), "lr-high"),
        (on_one_batch({"losses": STUCK}), "lr-low"),
        (on_one_batch({"losses": STUCK}, signals=TINY, rescue={"losses": STUCK}), "lr-low"),
        (facts(rescue={"losses": STUCK, "floor": None, "accuracy": 0.1}), "cannot-overfit"),
        (facts(rescue={"losses": (*STUCK[:-1], math.nan), "accuracy": 0.1}), "cannot-overfit"),
        (facts(rescue={"losses": STUCK, "accuracy": 0.1}, wiring={"parameters": 3}), "cannot-overfit"),
        (facts(data={"integer": True, "low": 0.0, "high": 50000.0, "rms": 3000.0}), "input-scale"),
        (facts(data={"starts_with_norm": True, "low": 0.0, "high": 255.0, "rms": 120.0}), "input-scale"),
        (facts(call={"target_mean": 2000.0, "target_std": 3000.0}), "target-scale"),
    ],
)
def test_what_would_be_a_false_accusation_is_not_said(seen: Facts, code: str) -> None:
    assert code not in codes(seen)


def test_what_is_exact_stands_before_what_is_read_off_a_curve() -> None:
    seen = on_one_batch(JUMPING, data={"nonfinite": 3, "nonfinite_features": (1,)})
    assert codes(seen)[0] == "input-nonfinite"
    assert codes(seen).index("input-nonfinite") < codes(seen).index("lr-high")
