"""Evaluations as they come: loss, accuracy, which classes are recognised."""

import math
from typing import Any

import pytest
import torch
from torch.nn import functional as F

from sgdb_engine.findings.facts import Evaluation
from sgdb_engine.witness.evaluations import Evaluations


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


def evaluated(name: str, *batches: tuple[torch.Tensor, torch.Tensor], **options: Any) -> Evaluation:
    evaluations = Evaluations()
    for output, target in batches:
        loss = float(getattr(F, name)(output, target, **options))
        evaluations.add(name, (output, target), options, loss, len(output))
    assert evaluations.end(100, 0.5)
    (one,) = evaluations.over
    return one


def scores_for(*classes: int, of: int = 3) -> torch.Tensor:
    """Scores that are highest for these."""
    return 5 * F.one_hot(torch.tensor(classes), of).float()


def test_its_loss_is_the_mean_over_all_rows_not_over_batches() -> None:
    outputs, targets = torch.randn(50, 2), torch.randn(50, 2)
    one = evaluated("mse_loss", (outputs[:40], targets[:40]), (outputs[40:], targets[40:]))
    assert one.loss == pytest.approx(float(F.mse_loss(outputs, targets)), rel=1e-6)
    assert (one.rows, one.step, one.train_loss) == (50, 100, 0.5)
    assert math.isnan(one.accuracy)
    assert (one.majority, one.predicted, one.lowest_recall) == (0.0, 0, 1.0)


def test_accuracy_and_recall_are_those_of_all_batches() -> None:
    one = evaluated(
        "cross_entropy",
        (scores_for(0, 0, 1, 0), torch.tensor([0, 0, 1, 1])),
        (scores_for(0, 0), torch.tensor([0, 0])),
    )
    assert one.accuracy == pytest.approx(5 / 6)
    assert one.majority == pytest.approx(4 / 6)
    assert one.predicted == 2
    assert one.lowest_recall == 0.5


def test_a_class_without_rows_has_no_recall() -> None:
    one = evaluated("cross_entropy", (scores_for(0, 1), torch.tensor([0, 1])))
    assert one.lowest_recall == 1.0


def test_one_class_whatever_the_input() -> None:
    target = (torch.arange(100) < 2).long()
    one = evaluated("cross_entropy", (scores_for(*[0] * 100), target))
    assert (one.majority, one.predicted, one.lowest_recall) == (pytest.approx(0.98), 1, 0.0)


def test_rows_that_are_left_out_do_not_count() -> None:
    one = evaluated("cross_entropy", (scores_for(0, 1, 2, 2), torch.tensor([0, 1, -100, -100])))
    assert (one.accuracy, one.rows) == (1.0, 2)
    again = evaluated("nll_loss", (scores_for(0, 1, 2), torch.tensor([0, 1, 1])), ignore_index=1)
    assert (again.accuracy, again.rows) == (1.0, 1)


def test_places_count_like_rows() -> None:
    scores, target = torch.randn(4, 3, 7), torch.randint(3, (4, 7))
    one = evaluated("cross_entropy", (scores, target))
    assert one.accuracy == pytest.approx(float((scores.argmax(1) == target).float().mean()))
    assert one.rows == 28


@pytest.mark.parametrize(
    ("name", "made"),
    [("binary_cross_entropy_with_logits", lambda t: t), ("binary_cross_entropy", torch.sigmoid)],
)
def test_yes_and_no_are_two_classes(name: str, made: Any) -> None:
    outputs = made(torch.tensor([[3.0], [-3.0], [-3.0], [-3.0]]))
    one = evaluated(name, (outputs, torch.tensor([[1.0], [1.0], [0.0], [0.0]])))
    assert (one.accuracy, one.predicted, one.lowest_recall) == (0.75, 2, 0.5)


def test_a_loss_of_another_kind_has_a_value_only() -> None:
    evaluations = Evaluations()
    anchor, near, far = torch.randn(3, 8, 4)
    loss = float(F.triplet_margin_loss(anchor, near, far))
    evaluations.add("triplet_margin_loss", (anchor, near, far), {}, loss, 8)
    assert evaluations.end(1, math.nan)
    assert evaluations.over[0].loss == pytest.approx(loss)


def test_of_very_many_classes_only_the_accuracy_is_known() -> None:
    target = torch.arange(300)
    one = evaluated("cross_entropy", (scores_for(*range(300), of=300), target))
    assert (one.accuracy, one.majority, one.predicted) == (1.0, 0.0, 0)


def test_probable_classes_have_a_loss_only() -> None:
    one = evaluated("cross_entropy", (torch.randn(8, 3), torch.randn(8, 3).softmax(1)))
    assert math.isnan(one.accuracy)
    assert one.rows == 8


def test_where_nothing_was_evaluated_there_was_no_evaluation() -> None:
    evaluations = Evaluations()
    assert not evaluations.end(100, 0.5)
    assert evaluations.over == []


def test_one_evaluation_begins_where_the_one_before_ends() -> None:
    evaluations = Evaluations()
    for step, loss in ((100, 2.0), (200, 1.0)):
        evaluations.add("mse_loss", (torch.zeros(4, 1), torch.zeros(4, 1)), {}, loss, 4)
        evaluations.end(step, loss / 2)
        assert not evaluations.end(step, loss)
    assert [(e.step, e.loss, e.train_loss) for e in evaluations.over] == [(100, 2.0, 1.0), (200, 1.0, 0.5)]


@pytest.mark.parametrize("classes", [(0, 1, 2, 3), (5, 1)])
def test_outputs_of_another_number_of_classes_do_not_break_it(classes: tuple[int, ...]) -> None:
    """Two heads, or a head that grew within an evaluation."""
    evaluations = Evaluations()
    for of in (3, 6):
        target = torch.tensor([c % of for c in classes])
        evaluations.add("cross_entropy", (torch.randn(len(classes), of), target), {}, 1.0, len(classes))
    assert evaluations.end(1, 1.0)
