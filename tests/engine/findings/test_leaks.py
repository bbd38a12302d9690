"""What the outputs depend on, and what they should not."""

from collections.abc import Mapping
from typing import Any

from sgdb_engine.findings import leaks
from sgdb_engine.findings.facts import Facts

from .written_down import LEARNT, MODEL_AT, NAN, STUCK, Fault, Healthy, Unseen, each, facts, found_in


def as_from_zeros(
    real: tuple[float, ...] = STUCK,
    zero: Mapping[str, Any] = {},
    dependencies: Mapping[str, Any] | None = None,
) -> Facts:
    """One batch is not learnt, neither with its inputs nor with zeros."""
    return facts(
        rescue={"losses": real, "accuracy": 0.1},
        zero_input={"losses": STUCK[:60], **zero},
        dependencies=dependencies,
    )


FAULTS = (
    Fault(
        rule=leaks.input_ignored,
        says="the output is the same whatever the input, after the first steps too",
        facts=facts(dependencies={"other_input": 0.0, "other_input_later": 9e-5}),
        location=MODEL_AT,
        evidence={"change": 0.0, "threshold": 1e-4},
    ),
    Fault(
        rule=leaks.input_ignored,
        says="the model cannot be asked, and learns one batch as well from zeros",
        facts=as_from_zeros(),
        location=MODEL_AT,
        evidence={"loss": 2.3, "without_input": 2.3, "threshold": 0.9},
    ),
    Fault(
        rule=leaks.batch_leak,
        says="a row's output changes with the other rows",
        facts=facts(dependencies={"other_rows": 1.1e-3}),
        location=MODEL_AT,
        evidence={"change": 1.1e-3, "threshold": 1e-3},
    ),
    Fault(
        rule=leaks.future_leak,
        says="a place in a text sees what is behind it",
        facts=facts(dependencies={"later_tokens": 1.1e-4, "position": 12}),
        location=MODEL_AT,
        evidence={"change": 1.1e-4, "position": 12},
    ),
    Fault(
        rule=leaks.gradcheck,
        says="a backward of the user's own that is off by 43 %",
        facts=facts(
            gradient_check={"error": 0.43, "functions": ("Swish",), "layers": (("fc2", 0.62), ("head", 1e-7))}
        ),
        where=("Swish",),
        evidence={"error": 0.43, "threshold": 0.02},
    ),
    Fault(
        rule=leaks.gradcheck,
        says="a backward that is slightly off",
        facts=facts(gradient_check={"error": 0.0021, "functions": ("Swish",)}),
        severity="warning",
        where=("Swish",),
        evidence={"error": 0.0021},
    ),
)
LOOK_ALIKES = (
    Healthy(
        rule=leaks.input_ignored,
        says="a last layer that starts at zero, as in diffusion or ResNet: after some steps it depends on its input",
        facts=facts(dependencies={"other_input": 0.0, "other_input_later": 2e-3}),
    ),
    Healthy(
        rule=leaks.input_ignored,
        says="a weak dependence",
        facts=facts(dependencies={"other_input": 1e-4, "other_input_later": 0.0}),
    ),
    Healthy(
        rule=leaks.input_ignored,
        says="one batch is learnt a little better than from zeros",
        facts=as_from_zeros(real=(2.4, *STUCK[1:], 1.9, 1.9, 1.9, 1.9, 1.9)),
    ),
    Healthy(
        rule=leaks.input_ignored,
        says="as from zeros at first, and then it is learnt",
        facts=as_from_zeros(real=(*STUCK[:80], *LEARNT)),
    ),
    Healthy(
        rule=leaks.input_ignored,
        says="not learnt at all, but the model was asked, and its output depends on the input",
        facts=as_from_zeros(dependencies={}),
    ),
    Healthy(
        rule=leaks.batch_leak,
        says="the rounding of a larger matrix product",
        facts=facts(dependencies={"other_rows": 1e-3}),
    ),
    Healthy(
        rule=leaks.future_leak,
        says="the rounding of an attention with a mask",
        facts=facts(dependencies={"later_tokens": 1e-4}),
    ),
    Healthy(
        rule=leaks.gradcheck,
        says="a backward that agrees",
        facts=facts(gradient_check={"error": 0.002, "functions": ("Swish",)}),
    ),
    Healthy(
        rule=leaks.gradcheck,
        says="kinks of PyTorch's own functions: nobody's backward can be wrong",
        facts=facts(gradient_check={"error": 0.43, "functions": ()}),
    ),
)
UNSEEN = (
    *(Unseen(rule=rule, says="not probed", facts=facts(dependencies=None)) for rule in leaks.RULES[:3]),
    Unseen(rule=leaks.gradcheck, says="not checked", facts=facts(gradient_check=None)),
    Unseen(
        rule=leaks.gradcheck,
        says="skipped, as the forward does not compute in float64",
        facts=facts(gradient_check={"error": None, "functions": ("Swish",), "reason": "float32 inside"}),
    ),
    Unseen(
        rule=leaks.gradcheck,
        says="not a number",
        facts=facts(gradient_check={"error": NAN, "functions": ("Swish",)}),
    ),
    Unseen(
        rule=leaks.input_ignored,
        says="not a number",
        facts=facts(dependencies={"other_input": NAN, "other_input_later": NAN}),
    ),
    Unseen(
        rule=leaks.input_ignored,
        says="a batch of one row",
        facts=facts(dependencies={"other_input": None}),
    ),
    Unseen(
        rule=leaks.input_ignored,
        says="only seen at initialisation",
        facts=facts(dependencies={"other_input": 0.0, "other_input_later": None}),
    ),
    Unseen(
        rule=leaks.input_ignored,
        says="the model cannot be asked, and no batch could be held still",
        facts=as_from_zeros(zero={"reason": "the batch changes"}),
    ),
    Unseen(
        rule=leaks.batch_leak,
        says="a batch of one row",
        facts=facts(dependencies={"other_rows": None}),
    ),
    Unseen(
        rule=leaks.future_leak,
        says="a bidirectional model, which is not asked for the next token",
        facts=facts(dependencies={"later_tokens": None}),
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
