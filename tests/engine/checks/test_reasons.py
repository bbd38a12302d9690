"""What is said of a curve, from what was measured beside it."""

import math
from dataclasses import replace

import pytest

from sgdb_engine.checks.reasons import Measured, reasons_for, went_up
from sgdb_engine.observe.statistics import Ranges

UNIT = Ranges(-2.0, 2.0, 0.0, 1.0, 0.0)
STUCK = Measured(
    losses=[2.0] * 300,
    optimizer="sgd",
    lr=0.1,
    inputs=UNIT,
    float_inputs=True,
    targets=UNIT,
    regression=False,
    moved=True,
    clip_norm=None,
    grad_norm=1.0,
    dropout=0.0,
)
JUMPING = [2.0, 3.0] * 150


def reasons(**changes: object) -> str:
    return "; ".join(reasons_for(replace(STUCK, **changes)))  # type: ignore[arg-type]


def test_where_nothing_was_seen_nothing_is_guessed() -> None:
    assert reasons() == ""


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"moved": False, "lr": 0.0}, "the learning rate is 0"),
        ({"moved": False, "grad_norm": 0.0}, "all gradients are exactly 0"),
        ({"moved": False, "lr": 1e-30}, "lost in rounding"),
        ({"inputs": Ranges(0, 255, 77, 100, 0)}, "the inputs range from 0 to 255"),
        ({"inputs": UNIT._replace(nonfinite=3)}, "3 values of the batch's inputs"),
        ({"regression": True, "targets": Ranges(25, 346, 152, 77, 0)}, "the targets range from 25 to 346"),
        ({"clip_norm": 1e-6}, "train.clip_norm = 1e-06 cuts gradients"),
        ({"losses": JUMPING}, "the learning rate 0.1 is probably too high for this batch: try 0.01"),
        ({"losses": JUMPING, "optimizer": "adamw", "lr": 1.0}, "0.001 is a good start for adamw"),
        ({"losses": [2.0, math.nan]}, "too high"),
        ({"losses": [2.0 - 0.001 * i for i in range(300)]}, "may be too low, try 1"),
        ({"dropout": 0.95}, "leaves only 5% of the units"),
    ],
)
def test_what_was_measured_is_named(changes: dict[str, object], words: str) -> None:
    assert words in reasons(**changes)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"losses": JUMPING, "dropout": 0.5}, "too high for this batch"),
        ({"losses": [math.nan]}, "learning rate"),
        ({"optimizer": "adam", "clip_norm": 1e-6}, "clip_norm"),
        ({"inputs": Ranges(0, 50000, 2000, 3000, 0), "float_inputs": False}, "inputs"),
        ({"targets": Ranges(0, 50000, 2000, 3000, 0)}, "targets"),
        ({"losses": JUMPING}, "too low"),
    ],
)
def test_what_would_be_a_false_accusation_is_not_said(changes: dict[str, object], words: str) -> None:
    assert words not in reasons(**changes)


def test_what_is_exact_stands_before_what_is_guessed() -> None:
    text = reasons(losses=JUMPING, inputs=Ranges(0, 255, 77, 100, 0))
    assert text.index("inputs range") < text.index("learning rate")


def test_a_smooth_fall_did_not_go_up() -> None:
    assert not went_up([2.0 * 0.99**i for i in range(200)])
