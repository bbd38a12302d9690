"""What there is to say of a call of a loss function, against PyTorch's own values."""

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch.nn import functional as F

from sgdb_engine.findings.facts import LossCall
from sgdb_engine.witness.loss_calls import (
    OF_BITS,
    OF_CLASSES,
    OF_NUMBERS,
    looked_at,
    takes_input_and_target,
)

REDUCTIONS = ("mean", "sum", "none")
C = 5


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


def call_of(name: str, *args: Any, **kwargs: Any) -> LossCall:
    """What is seen of this call."""
    call = looked_at(name, args, kwargs, getattr(F, name)(*args, **kwargs), "train.py:9")
    assert call is not None
    return call


class Case:
    """Arguments of a loss function, and how its input is made from free numbers."""

    def __init__(
        self,
        name: str,
        shape: tuple[int, ...],
        target: torch.Tensor,
        made: Callable[[torch.Tensor], torch.Tensor] = lambda free: free,
        **options: Any,
    ) -> None:
        self.name, self.shape, self.target, self.made, self.options = name, shape, target, made, options

    def value(self, free: torch.Tensor) -> torch.Tensor:
        """The loss that PyTorch gives, its mean where it is not reduced."""
        options = {k: v.to(free) if isinstance(v, torch.Tensor) else v for k, v in self.options.items()}
        target = self.target.to(free) if self.target.is_floating_point() else self.target
        return getattr(F, self.name)(self.made(free), target, **options).mean()

    def call(self, free: torch.Tensor | None = None) -> LossCall:
        free = torch.randn(self.shape) if free is None else free
        return call_of(self.name, self.made(free), self.target, **self.options)

    def lowest(self, shape: tuple[int, ...] | None = None) -> float:
        """The lowest loss, found by going down; `shape`: of numbers that several rows share."""
        free = torch.zeros(shape or self.shape, dtype=torch.float64, requires_grad=True)
        optimizer = torch.optim.LBFGS([free], lr=1, max_iter=400, line_search_fn="strong_wolfe")

        def closure() -> torch.Tensor:
            optimizer.zero_grad()
            loss = self.value(free.expand(self.shape))
            loss.backward()
            return loss

        for _ in range(3):
            optimizer.step(closure)
        return float(closure().detach())


def log_softmax(free: torch.Tensor) -> torch.Tensor:
    return F.log_softmax(free, 1)


CLASSES = torch.randint(C, (24,))
IN_A_ROW = torch.randint(C, (6, 7))
SOFT_CLASSES = torch.softmax(torch.randn(24, C), 1)
BITS = torch.randint(2, (24, 3)).float()
SOFT_BITS = torch.rand(24, 3)
NUMBERS = 3 * torch.randn(24, 2) + 1
PARTLY_IGNORED = torch.where(torch.arange(24) % 3 == 0, -100, CLASSES)

CASES: dict[str, Callable[[str], Case]] = {
    "cross_entropy": lambda r: Case("cross_entropy", (24, C), CLASSES, reduction=r),
    "cross_entropy, places": lambda r: Case("cross_entropy", (6, C, 7), IN_A_ROW, reduction=r),
    "cross_entropy, partly ignored": lambda r: Case("cross_entropy", (24, C), PARTLY_IGNORED, reduction=r),
    "cross_entropy, another index ignored": lambda r: Case(
        "cross_entropy", (24, C), CLASSES, reduction=r, ignore_index=2
    ),
    "nll_loss": lambda r: Case("nll_loss", (24, C), CLASSES, log_softmax, reduction=r),
    "nll_loss, places": lambda r: Case("nll_loss", (6, C, 7), IN_A_ROW, log_softmax, reduction=r),
    "nll_loss, partly ignored": lambda r: Case("nll_loss", (24, C), PARTLY_IGNORED, log_softmax, reduction=r),
    "binary_cross_entropy": lambda r: Case("binary_cross_entropy", (24, 3), BITS, torch.sigmoid, reduction=r),
    "binary_cross_entropy_with_logits": lambda r: Case(
        "binary_cross_entropy_with_logits", (24, 3), BITS, reduction=r
    ),
    "mse_loss": lambda r: Case("mse_loss", (24, 2), NUMBERS, reduction=r),
    "l1_loss": lambda r: Case("l1_loss", (24, 2), NUMBERS, reduction=r),
    "smooth_l1_loss": lambda r: Case("smooth_l1_loss", (24, 2), NUMBERS, reduction=r, beta=0.3),
    "huber_loss": lambda r: Case("huber_loss", (24, 2), NUMBERS, reduction=r, delta=2.0),
}
SMOOTHED: dict[str, Callable[[str], Case]] = {
    "cross_entropy, smoothed": lambda r: Case(
        "cross_entropy", (24, C), CLASSES, reduction=r, label_smoothing=0.1
    ),
    "cross_entropy, smoothed places": lambda r: Case(
        "cross_entropy", (6, C, 7), IN_A_ROW, reduction=r, label_smoothing=0.3
    ),
    "cross_entropy, smoothed and partly ignored": lambda r: Case(
        "cross_entropy", (24, C), CLASSES, reduction=r, label_smoothing=0.1, ignore_index=2
    ),
    "cross_entropy, probable": lambda r: Case("cross_entropy", (24, C), SOFT_CLASSES, reduction=r),
    "binary_cross_entropy, probable": lambda r: Case(
        "binary_cross_entropy", (24, 3), SOFT_BITS, torch.sigmoid, reduction=r
    ),
    "binary_cross_entropy_with_logits, probable": lambda r: Case(
        "binary_cross_entropy_with_logits", (24, 3), SOFT_BITS, reduction=r
    ),
}
SMOOTHED_CLASSES = {name: SMOOTHED[name] for name in SMOOTHED if "smoothed" in name}
WEIGHTS = torch.tensor([1.0, 10.0, 1.0, 1.0, 5.0])
WEIGHTED: dict[str, Callable[[str], Case]] = {
    "cross_entropy, weighted": lambda r: Case("cross_entropy", (24, C), CLASSES, reduction=r, weight=WEIGHTS),
    "binary_cross_entropy, weighted": lambda r: Case(
        "binary_cross_entropy", (24, 3), BITS, torch.sigmoid, reduction=r, weight=WEIGHTS[:3]
    ),
    "binary_cross_entropy_with_logits, weighted": lambda r: Case(
        "binary_cross_entropy_with_logits", (24, 3), BITS, reduction=r, weight=WEIGHTS[:3]
    ),
}
SIGNS: dict[str, Callable[[str], Case]] = {
    "binary_cross_entropy_with_logits, one sign": lambda r: Case(
        "binary_cross_entropy_with_logits", (24, 3), BITS, reduction=r, pos_weight=torch.tensor(4.0)
    ),
    "binary_cross_entropy_with_logits, signs": lambda r: Case(
        "binary_cross_entropy_with_logits", (24, 3), BITS, reduction=r, pos_weight=WEIGHTS[:3]
    ),
}


def combined(cases: dict[str, Callable[[str], Case]]) -> list[Any]:
    """Each with each reduction."""
    return [
        pytest.param(made(reduction), id=f"{name}/{reduction}")
        for name, made in cases.items()
        for reduction in REDUCTIONS
        # of single losses some of which are left out the user takes the mean, over whichever
        if not ("ignored" in name and reduction == "none")
    ]


@pytest.mark.parametrize("case", combined(CASES | SMOOTHED | WEIGHTED | SIGNS))
def test_the_value_is_pytorchs_or_its_mean(case: Case) -> None:
    free = torch.randn(case.shape)
    assert case.call(free).value == pytest.approx(float(case.value(free)), rel=1e-6)


@pytest.mark.parametrize("case", combined(CASES | SMOOTHED | SIGNS))
def test_the_baseline_is_the_loss_of_a_model_that_gives_nothing_but_zeros(case: Case) -> None:
    """Equal scores for all classes, a half for yes and no, 0 for numbers."""
    assert case.call().baseline == pytest.approx(float(case.value(torch.zeros(case.shape))), rel=1e-5)


def test_the_baseline_of_weighted_classes_is_that_of_plain_ones_where_the_mean_is_by_weight() -> None:
    case = WEIGHTED["cross_entropy, weighted"]("mean")
    assert case.call().baseline == pytest.approx(float(case.value(torch.zeros(case.shape))), rel=1e-5)


@pytest.mark.parametrize(
    "case",
    [
        *(WEIGHTED["cross_entropy, weighted"](reduction) for reduction in ("sum", "none")),
        Case("cross_entropy", (24, C), CLASSES, weight=WEIGHTS, label_smoothing=0.1),
        Case("cross_entropy", (24, C), SOFT_CLASSES, weight=WEIGHTS),
        *combined({name: WEIGHTED[name] for name in WEIGHTED if name.startswith("binary")}),
    ],
)
def test_of_other_weights_no_baseline_is_known(case: Case) -> None:
    assert math.isnan(case.call().baseline)


@pytest.mark.parametrize(
    "case", [SMOOTHED["cross_entropy, probable"]("mean"), *combined(WEIGHTED | SIGNS | SMOOTHED_CLASSES)]
)
def test_of_weights_of_smoothing_and_of_probable_classes_no_guess_is_known(case: Case) -> None:
    assert math.isnan(case.call().blind)


PROBABLE_BITS = {name: SMOOTHED[name] for name in SMOOTHED if name.startswith("binary")}


def shared(case: Case) -> tuple[int, ...]:
    """The numbers that a guess has to choose: those of classes are the same at all places of a row, too."""
    if case.name in OF_CLASSES:
        return (1, C, *(1 for _ in case.shape[2:]))
    return (1, *case.shape[1:])


@pytest.mark.parametrize("case", combined(CASES | PROBABLE_BITS))
def test_blind_is_the_lowest_loss_of_a_guess_that_is_the_same_for_each_row(case: Case) -> None:
    blind = case.call().blind
    lowest = case.lowest(shared(case))
    if case.name in ("smooth_l1_loss", "huber_loss"):  # the mean is near enough
        assert lowest <= blind * (1 + 1e-6)
        assert blind < 1.05 * lowest
    else:
        assert blind == pytest.approx(lowest, rel=1e-3)


@pytest.mark.parametrize("case", combined(CASES | SMOOTHED | WEIGHTED | SIGNS))
def test_the_floor_is_the_lowest_loss_that_there_is(case: Case) -> None:
    if case.name in OF_NUMBERS:
        assert case.call().floor == case.value(case.target) == 0
        return
    scale = float(case.value(torch.zeros(case.shape)))
    assert case.call().floor == pytest.approx(case.lowest(), rel=1e-4, abs=1e-4 * scale)


def test_smoothing_lifts_the_floor_of_probable_classes() -> None:
    case = Case("cross_entropy", (24, C), SOFT_CLASSES, label_smoothing=0.2)
    assert case.call().floor == pytest.approx(case.lowest(), rel=1e-3)


@pytest.mark.parametrize(
    "case",
    [
        Case("cross_entropy", (24, C), CLASSES, label_smoothing=0.2, weight=WEIGHTS),
        Case("binary_cross_entropy_with_logits", (24, 3), SOFT_BITS, pos_weight=WEIGHTS[:3]),
        Case("binary_cross_entropy_with_logits", (24, 3), SOFT_BITS, weight=WEIGHTS[:3]),
    ],
    ids=["smoothed and weighted", "probable and weighted by sign", "probable and weighted"],
)
def test_of_weights_of_uncertain_targets_no_floor_is_known(case: Case) -> None:
    assert math.isnan(case.call().floor)


# -- accuracy ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", OF_CLASSES)
def test_accuracy_is_the_share_of_rows_whose_class_has_the_highest_score(name: str) -> None:
    scores = torch.tensor([[3.0, 1.0], [0.0, 2.0], [5.0, 1.0], [0.0, 9.0]])
    target = torch.tensor([0, 0, 0, -100])
    assert call_of(name, scores, target).accuracy == pytest.approx(2 / 3)
    assert call_of(name, scores[:3], torch.tensor([0, 1, 0])).accuracy == 1.0


def test_accuracy_counts_places() -> None:
    scores, target = torch.randn(6, C, 7), IN_A_ROW
    twin = [scores[i, :, j].argmax() == target[i, j] for i in range(6) for j in range(7)]
    assert call_of("cross_entropy", scores, target).accuracy == pytest.approx(sum(twin) / 42)


@pytest.mark.parametrize(
    ("name", "outputs"),
    [
        ("binary_cross_entropy", [0.9, 0.2, 0.6, 0.4]),
        ("binary_cross_entropy_with_logits", [3.0, -1.0, 0.2, -0.2]),
    ],
)
def test_accuracy_of_bits_is_whether_they_lie_on_the_right_side(name: str, outputs: list[float]) -> None:
    call = call_of(name, torch.tensor(outputs), torch.tensor([1.0, 0.0, 0.0, 0.0]))
    assert call.accuracy == 0.75


@pytest.mark.parametrize("name", OF_NUMBERS)
def test_numbers_have_no_accuracy(name: str) -> None:
    assert math.isnan(call_of(name, NUMBERS + 1, NUMBERS).accuracy)


def test_where_all_targets_are_left_out_there_is_no_accuracy() -> None:
    call = call_of("cross_entropy", torch.randn(4, C), torch.full((4,), -100))
    assert math.isnan(call.accuracy)
    assert call.ignored == 1.0


# -- what else is seen ------------------------------------------------------------------------------------


def test_what_was_left_out_is_counted_and_no_class() -> None:
    call = CASES["cross_entropy, partly ignored"]("mean").call()
    assert call.ignored == pytest.approx(8 / 24)
    assert call.target_low >= 0


def test_arguments_may_be_given_by_name() -> None:
    scores = torch.randn(24, C)
    by_name = call_of("cross_entropy", input=scores, target=CLASSES, label_smoothing=0.1)
    assert by_name == call_of("cross_entropy", scores, CLASSES, None, None, -100, None, "mean", 0.1)


def test_shapes_classes_and_ranges_are_those_of_the_arguments() -> None:
    scores = torch.randn(6, C, 7, requires_grad=True)
    call = call_of("cross_entropy", scores.relu(), IN_A_ROW, reduction="sum")
    assert (call.input_shape, call.target_shape) == ((6, C, 7), (6, 7))
    assert (call.outputs, call.classes, call.reduction, call.node) == (C, True, "sum", "Relu")
    assert (call.low, call.high) == (0.0, scores.max().item())
    assert (call.target_low, call.target_high) == (0, C - 1)
    assert call.target_mean == pytest.approx(float(IN_A_ROW.float().mean()))
    assert call.target_std == pytest.approx(float(IN_A_ROW.float().std(unbiased=False)))
    assert call.location == "train.py:9"


def test_classes_are_told_from_probabilities() -> None:
    assert call_of("cross_entropy", torch.randn(24, C), CLASSES).classes
    assert call_of("cross_entropy", torch.randn(C), torch.tensor(2)).classes
    assert not call_of("cross_entropy", torch.randn(24, C), SOFT_CLASSES).classes
    assert not call_of("mse_loss", NUMBERS, NUMBERS).classes


def test_one_row_without_a_batch_is_a_call_like_another() -> None:
    call = call_of("cross_entropy", torch.randn(C), torch.tensor(2))
    assert (call.outputs, call.baseline) == (C, pytest.approx(math.log(C)))


def test_rows_that_are_probabilities_are_seen() -> None:
    scores = torch.randn(6, C, 7)
    assert call_of("cross_entropy", scores.softmax(1), IN_A_ROW).sums_to_one
    assert not call_of("cross_entropy", scores.softmax(2), IN_A_ROW).sums_to_one
    assert not call_of("cross_entropy", scores.sigmoid(), IN_A_ROW).sums_to_one
    assert not call_of("cross_entropy", scores, IN_A_ROW).sums_to_one


@pytest.mark.parametrize("classes", [10, 1000, 50_000])
@pytest.mark.parametrize("kind", [torch.float32, torch.bfloat16])
def test_log_probabilities_are_normalised_in_half_precision_too(classes: int, kind: torch.dtype) -> None:
    logs = F.log_softmax(3 * torch.randn(8, classes), 1).to(kind)
    target = torch.randint(classes, (8,))
    call = looked_at("nll_loss", (logs, target), {}, F.nll_loss(logs.float(), target), None)
    assert call is not None
    assert call.normaliser < 0.05


def test_scores_are_not_normalised() -> None:
    assert call_of("nll_loss", torch.randn(24, C), CLASSES).normaliser > 0.05


@pytest.mark.parametrize(
    ("options", "plain"), [({}, True), ({"weight": WEIGHTS}, False), ({"label_smoothing": 0.1}, False)]
)
def test_a_call_is_plain_where_it_is_neither_weighted_nor_smoothed(
    options: dict[str, Any], plain: bool
) -> None:
    assert call_of("cross_entropy", torch.randn(24, C), CLASSES, **options).is_plain is plain


def test_of_a_loss_of_another_kind_the_value_is_known_and_nothing_else() -> None:
    anchor, near, far = torch.randn(3, 8, 4)
    call = call_of("triplet_margin_loss", anchor, near, far)
    assert call.value == pytest.approx(float(F.triplet_margin_loss(anchor, near, far)))
    assert (call.input_shape, call.classes) == ((), False)
    assert math.isnan(call.baseline)
    assert not takes_input_and_target("triplet_margin_loss")


def test_a_loss_of_input_and_target_that_has_no_known_baseline_has_none() -> None:
    call = call_of("kl_div", log_softmax(torch.randn(24, C)), SOFT_CLASSES, reduction="batchmean")
    assert math.isnan(call.baseline)
    assert math.isnan(call.blind)
    assert call.floor == 0.0


def test_an_empty_batch_is_nothing_to_look_at() -> None:
    empty, none = torch.empty(0, 3), torch.empty(0, 3)
    assert looked_at("mse_loss", (empty, none), {}, torch.tensor(math.nan), None) is None


@pytest.mark.parametrize("name", [*OF_CLASSES, *OF_BITS, *OF_NUMBERS])
def test_looking_changes_no_argument_and_no_graph(name: str) -> None:
    case = CASES[name]("mean")
    free = torch.randn(case.shape, requires_grad=True)
    given, target = case.made(free * 1), case.target.clone()
    before, node = given.detach().clone(), given.grad_fn
    looked_at(name, (given, target), {}, getattr(F, name)(given, target), None)
    assert given.grad_fn is node
    assert torch.equal(given, before)
    assert torch.equal(target, case.target)
