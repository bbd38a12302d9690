"""Losses and metrics against their formulas."""

import math
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sgdb_engine.config.records import CrossEntropyTerm, HuberTerm, LossTerm
from sgdb_engine.workload.losses import (
    WeightedLoss,
    accuracy,
    binary_accuracy,
    binary_cross_entropy,
    build_loss,
    cross_entropy,
)

SCORES = st.lists(st.lists(st.floats(-20, 20), min_size=3, max_size=3), min_size=1, max_size=5)


@given(SCORES, st.data())
def test_cross_entropy_is_the_mean_of_minus_ln_p(scores: list[list[float]], data: Any) -> None:
    classes = [data.draw(st.integers(0, 2)) for _ in scores]
    expected = [
        math.log(sum(math.exp(each) for each in row)) - row[label]
        for row, label in zip(scores, classes, strict=True)
    ]
    found = cross_entropy(torch.tensor(scores, dtype=torch.float64), torch.tensor(classes))
    assert float(found) == pytest.approx(sum(expected) / len(expected), abs=1e-9)


def test_binary_cross_entropy_is_that_of_two_classes_with_equal_gradient() -> None:
    score = torch.randn(8, 1, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    label = torch.tensor([0, 1] * 4)
    one, two = score.clone().requires_grad_(), score.clone().requires_grad_()
    single = binary_cross_entropy(one, label)
    double = cross_entropy(torch.cat((torch.zeros_like(two), two), dim=1), label)
    single.backward()
    double.backward()
    assert float(single.detach()) == pytest.approx(float(double.detach()), abs=1e-6)
    assert one.grad is not None
    assert two.grad is not None
    assert torch.allclose(one.grad, two.grad, atol=1e-6)


def test_scores_of_a_sequence_count_each_place() -> None:
    scores = torch.randn(2, 5, 7, generator=torch.Generator().manual_seed(0))
    tokens = torch.randint(0, 7, (2, 5), generator=torch.Generator().manual_seed(1))
    by_hand = torch.stack([cross_entropy(scores[:, place], tokens[:, place]) for place in range(5)]).mean()
    assert float(cross_entropy(scores, tokens)) == pytest.approx(float(by_hand), rel=1e-6)


def test_a_weighted_loss_is_the_weighted_sum_and_tells_its_terms() -> None:
    loss = build_loss([LossTerm(name="mse", weight=2.0), LossTerm(name="l1", weight=0.5)])
    assert isinstance(loss, WeightedLoss)
    output, target = torch.tensor([[3.0]], requires_grad=True), torch.tensor([[1.0]])
    total = loss(output, target)
    assert float(total.detach()) == 2.0 * 4 + 0.5 * 2
    assert {name: float(value) for name, value in loss.terms.items()} == {"mse": 4.0, "l1": 2.0}
    assert not any(value.requires_grad for value in loss.terms.values())
    total.backward()
    assert output.grad is not None
    assert float(output.grad) == 2.0 * 4 + 0.5


def test_one_loss_of_weight_1_is_the_plain_function() -> None:
    assert build_loss([LossTerm(name="cross_entropy")]) is cross_entropy


def test_accuracy_is_the_share_of_right_arg_maxima() -> None:
    scores = torch.tensor([[2.0, 1.0], [0.0, 1.0], [3.0, 1.0], [0.0, 5.0]])
    assert float(accuracy(scores, torch.tensor([0, 1, 1, 1]))) == 0.75
    assert float(binary_accuracy(torch.tensor([[2.0], [-1.0]]), torch.tensor([1, 1]))) == 0.5


def test_label_smoothing_spreads_a_share_over_all_classes() -> None:
    scores = torch.randn(6, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    labels = torch.tensor([0, 1, 2, 3, 0, 1])
    loss = build_loss([CrossEntropyTerm(name="cross_entropy", label_smoothing=0.1)])
    wanted = torch.full((6, 4), 0.1 / 4, dtype=torch.float64)
    wanted[torch.arange(6), labels] += 0.9
    by_hand = -(wanted * scores.log_softmax(1)).sum(1).mean()
    assert float(loss(scores, labels)) == pytest.approx(float(by_hand), rel=1e-12)


@given(st.floats(-5, 5), st.floats(0.1, 3))
def test_huber_is_quadratic_up_to_delta_and_linear_beyond(error: float, delta: float) -> None:
    loss = build_loss([HuberTerm(name="huber", delta=delta)])
    found = float(loss(torch.tensor([[error]], dtype=torch.float64), torch.zeros(1, 1, dtype=torch.float64)))
    size = abs(error)
    expected = size**2 / 2 if size <= delta else delta * (size - delta / 2)
    assert found == pytest.approx(expected, rel=1e-9, abs=1e-12)
