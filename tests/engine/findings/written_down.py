"""Facts written down by hand: those of a healthy training, changed, and what a rule is to make of them."""

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import msgspec
import pytest
from hypothesis import settings

from sgdb_engine.events import Finding, Severity
from sgdb_engine.findings import facts as f
from sgdb_engine.findings.catalogue import entry

several = settings(max_examples=60, deadline=None)
"""Of a property: enough, and the machine may be busy."""

Rule = Callable[[f.Facts], Finding | None]
Changes = Mapping[str, Any] | None

NAN, INF = math.nan, math.inf
LOSS_AT = "train.py:9"
BACKWARD_AT = "train.py:10"
STEP_AT = "train.py:11"
MODEL_AT = "train.py:8"
MADE_AT = "train.py:5"

CALL = f.LossCall(
    function="cross_entropy",
    value=2.4,
    location=LOSS_AT,
    input_shape=(32, 10),
    target_shape=(32,),
    node="Addmm",
    low=-1.5,
    high=1.5,
    logit_std=0.5,
    classes=True,
    target_low=0,
    target_high=9,
    target_mean=4.5,
    target_std=2.9,
    outputs=10,
    baseline=math.log(10),
    blind=2.2,
    accuracy=0.1,
)
OPTIMIZER = f.OptimizerFacts(kind="SGD", location=MADE_AT, lr=0.1, weight_decay=1e-4, tensors=6, steps=24)
STUCK = (2.3,) * 120
LEARNT = tuple(2.3 * 0.9**i for i in range(120))
ONE_BATCH = f.OneBatch(losses=LEARNT, blind=2.2, rows=32, accuracy=0.9)
IMPROVING = tuple(
    f.Evaluation(step=100 * i, loss=2 / i, rows=1000, accuracy=1 - 0.6 / i, train_loss=2 / i)
    for i in range(1, 9)
)
HEALTHY = f.Facts(
    step=24,
    wiring=f.Wiring(
        updates=24,
        backwards=24,
        optimizers=(OPTIMIZER,),
        shared=6,
        reached=6,
        cut=(),
        judged_steps=23,
        backward_location=BACKWARD_AT,
        step_location=STEP_AT,
        call_location=MODEL_AT,
        batch=32,
        parameters=10_000,
    ),
    losses=f.Losses(
        calls=(CALL,),
        totals=(2.4, 2.3, 2.1),
        reported=(2.4, 2.3, 2.1),
        input_kind="float",
        classes_seen=10,
        targets_seen=768,
        target_low=0,
        target_high=9,
    ),
    data=f.Data(
        rows=768,
        val_rows=200,
        batches=24,
        features=20,
        rms=1.0,
        low=-3.0,
        high=3.0,
        classes=True,
        target_mean=4.5,
        target_std=2.9,
        prior=math.log(10),
        overlap=0.0,
        val_std_factor=1.05,
        leak_feature=3,
        leak=0.3,
        neighbour_z=20.0,
        correlation_excess=8.0,
    ),
    course=f.Course(
        steps=800,
        start=2.4,
        early_peak=0.99,
        early_median=0.6,
        early_noise=0.05,
        recent=0.3,
        highest_lr=0.1,
        lr=0.1,
        clip_coef=1.0,
        evaluations=IMPROVING,
    ),
    dependencies=f.Dependencies(other_input=0.8, other_input_later=0.9, other_rows=0.0, later_tokens=0.0),
    gradient_check=f.GradientCheck(error=1e-7),
    signals=f.Signals(
        layers=(
            f.LayerSignal(name="0", kind="weights", std=1.0),
            f.LayerSignal(name="1", kind="relu", std=0.6, dead=0.1),
            f.LayerSignal(name="2", kind="weights", std=0.7, is_last=True),
        ),
        forwards=20,
        gradient_ratio=0.5,
        ascent=-0.4,
        first_weight="0.weight",
        update_ratio=1e-3,
        steps=20,
        weight_type="float32",
    ),
    user=ONE_BATCH,
    rescue=ONE_BATCH,
    zero_input=msgspec.structs.replace(ONE_BATCH, losses=STUCK),
    lr_range=f.LrRange(lowest=0.5, diverged=2.0, suggestion=0.05),
    noise=f.Noise(losses=(2.4, 2.3, 2.35, 2.4), cosine=0.4, scale=50.0),
    pace=f.Pace(step_s=0.05, data_share=0.1, host_gib=1.0),
)
"""A classifier of ten classes that learns; no rule finds anything in it."""
PARTS = tuple(field for field in f.Facts.__struct_fields__ if field != "step")


def facts(*, call: Changes = (), **parts: Changes) -> f.Facts:
    """Those of the healthy training with some changed: `part={field: value}`; None for what was not measured.

    `call` changes the only call of a loss function.
    """
    new: dict[str, Any] = {}
    for name, changes in parts.items():
        old = getattr(HEALTHY, name)
        new[name] = changes if changes is None else msgspec.structs.replace(old, **changes)
    changed = msgspec.structs.replace(HEALTHY, **new)
    if not call:
        return changed
    one = msgspec.structs.replace(CALL, **dict(call))
    changed.losses = msgspec.structs.replace(changed.losses, calls=(one,))
    return changed


def without(part: str, of: f.Facts) -> f.Facts:
    """The same, had that not been measured."""
    return msgspec.structs.replace(of, **{part: None})


def optimizers(*each: Mapping[str, Any]) -> tuple[f.OptimizerFacts, ...]:
    """The healthy one, changed in these ways."""
    return tuple(msgspec.structs.replace(OPTIMIZER, **changes) for changes in each)


class Example(msgspec.Struct, frozen=True, kw_only=True):
    """What a rule is shown."""

    rule: Any
    says: str
    """What the facts are, in words."""
    facts: f.Facts

    @property
    def name(self) -> str:
        module = self.rule.__module__.rpartition(".")[2]
        return f"{module}.{self.rule.__name__}: {self.says}"


class Fault(Example, frozen=True, kw_only=True):
    """The rule finds it."""

    code: str = ""
    """Left out: the rule is named like it."""
    severity: Severity | None = None
    """Left out: that of the catalogue."""
    where: tuple[str, ...] = ()
    location: str | None = None
    evidence: dict[str, Any] = {}
    """Some of it."""


class Healthy(Example, frozen=True, kw_only=True):
    """It looks like the fault, and the rule keeps silent."""


class Unseen(Example, frozen=True, kw_only=True):
    """What the rule is about was not measured, or is not a number."""


def each(examples: Iterable[Example]) -> Any:
    """A test of each of these, in the argument `example`."""
    return pytest.mark.parametrize("example", [pytest.param(one, id=one.name) for one in examples])


def found_in(example: Fault) -> Finding:
    """What the rule finds, compared with what it is to find."""
    code = example.code or example.rule.__name__.replace("_", "-")
    found = example.rule(example.facts)
    assert found is not None
    assert found.code == code
    assert found.severity == (example.severity or entry(code).severity)
    assert found.where == example.where
    assert found.location == example.location
    assert {key: found.evidence.get(key) for key in example.evidence} == pytest.approx(example.evidence)
    assert found.message.endswith(".")
    assert "nan" not in found.message
    assert found.advice
    return found
