"""What the rows that a model was given, and their targets, show of the data."""

import math
from collections.abc import Callable, Iterable

import pytest
import torch

from sgdb_engine.findings.data import (
    LEAK,
    LEAK_CORRELATION,
    ORDER_RATIO,
    ORDER_Z,
    OVERLAP,
    REPEATED,
    VAL_FACTOR,
)
from sgdb_engine.findings.facts import Data
from sgdb_engine.findings.optimisation import UNRELATED_CORRELATION, UNRELATED_Z
from sgdb_engine.witness.examples import MOST_FEATURES, MOST_ROWS, Examples, data_of

Batch = tuple[torch.Tensor, torch.Tensor | None]


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


def examples_of(batches: Iterable[Batch], classes: bool = True) -> Examples:
    examples = Examples()
    for x, y in batches:
        examples.add(x, y, classes)
    return examples


def seen(
    batches: Iterable[Batch],
    val: Iterable[Batch] = (),
    *,
    classes: bool = True,
    probing: bool = True,
    set_size: int | None = None,
) -> Data:
    data = data_of(
        examples_of(batches, classes),
        examples_of(val, classes),
        starts_with_norm=False,
        set_size=set_size,
        probing=probing,
    )
    assert data is not None
    return data


def cut(x: torch.Tensor, y: torch.Tensor | None, size: int = 32) -> list[Batch]:
    """Into batches, each in memory of its own."""
    rows = range(0, len(x) - size + 1, size)
    return [(x[i : i + size].clone(), None if y is None else y[i : i + size].clone()) for i in rows]


def of_classes(rows: int = 640, features: int = 6, classes: int = 4) -> tuple[torch.Tensor, torch.Tensor]:
    """Rows whose class can be told from them, roughly."""
    y = torch.arange(rows) % classes
    y = y[torch.randperm(rows)]
    return torch.randn(classes, features)[y] * 2 + torch.randn(rows, features), y


def of_numbers(rows: int = 640, features: int = 6) -> tuple[torch.Tensor, torch.Tensor]:
    x = torch.randn(rows, features)
    return x, x @ torch.randn(features) + 0.5 * torch.randn(rows)


KINDS: dict[str, tuple[Callable[[], tuple[torch.Tensor, torch.Tensor]], bool]] = {
    "classes": (of_classes, True),
    "numbers": (of_numbers, False),
}
every_kind = pytest.mark.parametrize(("made", "classes"), KINDS.values(), ids=KINDS)


def test_without_examples_there_is_nothing_to_say() -> None:
    assert data_of(Examples(), Examples(), starts_with_norm=False, set_size=None, probing=True) is None


# -- order ------------------------------------------------------------------------------------------------


@every_kind
def test_targets_of_shuffled_rows_vary_between_batches_as_chance_has_it(
    made: Callable[[], tuple[torch.Tensor, torch.Tensor]], classes: bool
) -> None:
    data = seen(cut(*made()), classes=classes)
    assert 0.4 < data.order_ratio < 2
    assert data.order_z < 4


@every_kind
def test_targets_of_sorted_rows_vary_far_more(
    made: Callable[[], tuple[torch.Tensor, torch.Tensor]], classes: bool
) -> None:
    x, y = made()
    order = y.argsort()
    data = seen(cut(x[order], y[order]), classes=classes)
    assert data.order_ratio > 3 * ORDER_RATIO
    assert data.order_z > 3 * ORDER_Z


def test_batches_of_one_class_are_counted() -> None:
    x, y = of_classes()
    order = y.argsort()
    assert seen(cut(x[order], y[order])).purest_batches == 1.0
    assert seen(cut(x, y)).purest_batches == 0.0


def test_batches_that_are_balanced_on_purpose_vary_less_than_by_chance() -> None:
    x, y = of_classes()
    order = torch.stack([torch.where(y == c)[0] for c in range(4)], 1).reshape(-1)
    data = seen(cut(x[order], y[order]))
    assert data.order_ratio < 0.1
    assert data.order_z < 0


def test_rows_that_come_unshuffled_and_were_never_in_any_order_are_as_shuffled_ones() -> None:
    x, y = of_classes(rows=3000)
    assert seen(cut(x, y)).order_ratio < 2


def test_of_a_few_batches_or_batches_of_one_row_nothing_is_said_of_their_order() -> None:
    x, y = of_classes()
    order = y.argsort()
    for batches in (cut(x[order], y[order])[:3], cut(x[order], y[order], size=1)):
        assert (seen(batches).order_ratio, seen(batches).order_z) == (1.0, 0.0)


def test_equal_targets_have_no_order() -> None:
    x, _ = of_numbers()
    for classes in (True, False):
        assert seen(cut(x, torch.ones(640)), classes=classes).order_ratio == 1.0


# -- the same batch, the whole set ------------------------------------------------------------------------


def test_a_batch_that_comes_again_is_seen() -> None:
    x, y = of_classes(rows=32)
    data = seen([(x.clone(), y.clone()) for _ in range(8)])
    assert data.repeated_batches == 1.0 > REPEATED
    assert not data.whole_set


def test_the_same_rows_in_another_order_may_be_all_there_are() -> None:
    x, y = of_classes(rows=32)
    orders = [torch.randperm(32) for _ in range(8)]
    assert seen([(x[order], y[order]) for order in orders]).repeated_batches == 0.0


def test_other_batches_are_not_repeated() -> None:
    assert seen(cut(*of_classes())).repeated_batches == 0.0


def test_rows_drawn_with_replacement_are_not_repeated_batches() -> None:
    x, y = of_classes(rows=64)
    draws = [torch.randint(64, (32,)) for _ in range(20)]
    assert seen([(x[i], y[i]) for i in draws]).repeated_batches == 0.0


def test_one_tensor_in_each_step_is_the_whole_set() -> None:
    x, y = of_classes()
    data = seen([(x, y)] * 5)
    assert data.whole_set
    assert data.repeated_batches == 1.0


def test_a_batch_as_large_as_the_set_it_is_drawn_from_is_the_whole_set() -> None:
    x, y = of_classes(rows=32)
    batches = [(x.clone(), y.clone()) for _ in range(5)]
    assert seen(batches, set_size=32).whole_set
    assert not seen(batches, set_size=33).whole_set


# -- inputs -----------------------------------------------------------------------------------------------


def test_what_is_not_finite_is_counted_and_its_features_named() -> None:
    x, y = of_classes()
    x[3, 4], x[100, 4], x[7, 1] = math.nan, math.inf, -math.inf
    data = seen(cut(x, y))
    assert data.nonfinite == 3
    assert data.nonfinite_features == (1, 4)
    assert math.isfinite(data.rms)
    assert data.neighbour_z is None


def test_a_feature_is_counted_within_one_example() -> None:
    x = torch.zeros(32, 3, 4, 5)
    x[0, 1, 2, 3] = math.nan
    assert seen([(x, None)]).nonfinite_features == (1 * 20 + 2 * 5 + 3,)


def test_a_feature_of_a_wide_row_is_named_by_its_own_number() -> None:
    x = torch.zeros(32, 3 * MOST_FEATURES)
    x[0, 300] = math.nan
    assert seen([(x, None)]).nonfinite_features == (300,)


def test_a_row_is_kept_small() -> None:
    examples = examples_of([(torch.randn(8, 3, 64, 64), None)])
    assert examples.x.shape[0] == 8
    assert examples.x.shape[1] <= MOST_FEATURES


def test_enough_rows_are_enough() -> None:
    x = torch.randn(MOST_ROWS // 2, 2)
    examples = examples_of([(x, None)] * 4)
    assert examples.is_full
    assert examples.rows == MOST_ROWS


def test_rms_and_range_are_those_of_all_values() -> None:
    x = 100 + 50 * torch.randn(640, 6)
    data = seen(cut(x, None))
    assert data.rms == pytest.approx(float(x.double().square().mean().sqrt()))
    assert (data.low, data.high) == (float(x.min()), float(x.max()))


def test_the_spread_of_features_is_compared_and_constant_ones_are_left_out() -> None:
    x = torch.randn(640, 4) * torch.tensor([1.0, 2000.0, 0.0, 1.0])
    data = seen(cut(x, None))
    assert data.std_ratio == pytest.approx(2000, rel=0.1)
    assert data.widest == 1


def test_numbers_of_tokens_have_no_scale() -> None:
    tokens = torch.randint(50_000, (64, 16))
    data = seen(cut(tokens, torch.randint(2, (64,))))
    assert data.integer
    assert math.isnan(data.rms)
    assert data.neighbour_z is None


# -- targets ----------------------------------------------------------------------------------------------


def test_a_target_for_each_token_is_a_text() -> None:
    tokens = torch.randint(50, (64, 16))
    assert seen(cut(tokens, tokens.roll(-1, 1))).text
    assert seen([(tokens, tokens.reshape(-1))]).text
    assert not seen(cut(tokens, torch.randint(2, (64,)))).text
    assert not seen(cut(*of_classes())).text


def test_the_prior_of_classes_is_their_entropy() -> None:
    x = torch.randn(640, 6)
    y = (torch.arange(640) % 4 == 0).long()
    expected = -(0.25 * math.log(0.25) + 0.75 * math.log(0.75))
    assert seen([(x, y)]).prior == pytest.approx(expected)
    assert seen([(x, y.float())], classes=False).prior == pytest.approx(expected)


def test_the_prior_of_numbers_is_their_variance() -> None:
    x, y = of_numbers()
    assert seen(cut(x, y), classes=False).prior == pytest.approx(float(y.double().var(unbiased=False)))


def test_targets_that_do_not_belong_to_rows_are_not_looked_at() -> None:
    x, _ = of_numbers(rows=32)
    for target in (torch.tensor(1.0), torch.randn(31), torch.randn(32, dtype=torch.complex64), None):
        data = seen([(x, target)], classes=False)
        assert math.isnan(data.prior)
        assert data.neighbour_z is None


# -- relation of inputs and targets -----------------------------------------------------------------------


@every_kind
def test_related_targets_are_seen_by_neighbours_and_by_correlation(
    made: Callable[[], tuple[torch.Tensor, torch.Tensor]], classes: bool
) -> None:
    data = seen(cut(*made()), classes=classes)
    assert data.neighbour_z is not None
    assert data.correlation_excess is not None
    assert data.neighbour_z > 2 * UNRELATED_Z
    assert data.correlation_excess > 2 * UNRELATED_CORRELATION


@every_kind
@pytest.mark.parametrize("seed", range(5))
def test_shuffled_targets_are_related_to_nothing(
    made: Callable[[], tuple[torch.Tensor, torch.Tensor]], classes: bool, seed: int
) -> None:
    torch.manual_seed(seed)
    x, y = made()
    data = seen(cut(x, y[torch.randperm(len(y))]), classes=classes)
    assert data.neighbour_z is not None
    assert data.correlation_excess is not None
    assert data.neighbour_z < UNRELATED_Z
    assert data.correlation_excess < UNRELATED_CORRELATION


def test_noisy_numbers_are_related_by_correlation() -> None:
    """A tenth of the variance is explained: neighbours hardly see it."""
    x = torch.randn(640, 6)
    data = seen(cut(x, x[:, 0] + 3 * torch.randn(640)), classes=False)
    assert data.correlation_excess is not None
    assert data.correlation_excess > UNRELATED_CORRELATION


def test_rows_of_several_epochs_are_one_example_each() -> None:
    """A row that is its own neighbour would agree with itself, whatever the targets."""
    x, y = of_classes(rows=320)
    shuffled = y[torch.randperm(320)]
    data = seen(cut(x, shuffled) * 3)
    assert data.neighbour_z is not None
    assert data.neighbour_z < UNRELATED_Z


@every_kind
def test_a_target_among_the_features_is_a_leak(
    made: Callable[[], tuple[torch.Tensor, torch.Tensor]], classes: bool
) -> None:
    x, y = made()
    data = seen(cut(torch.cat([x, 3 * y[:, None].float() + 1], 1), y), classes=classes)
    assert data.leak_feature == 6
    assert data.leak > (LEAK if classes else LEAK_CORRELATION)


@every_kind
def test_features_that_tell_something_are_no_leak(
    made: Callable[[], tuple[torch.Tensor, torch.Tensor]], classes: bool
) -> None:
    assert seen(cut(*made()), classes=classes).leak < (LEAK if classes else LEAK_CORRELATION)


def test_a_rare_class_does_not_make_every_feature_a_leak() -> None:
    """Sorted by any feature, nearly all rows are like the row before."""
    y = (torch.arange(640) < 10).long()
    assert seen([(torch.randn(640, 6), y)]).leak < 0.5


def test_a_constant_feature_of_sorted_rows_is_no_leak() -> None:
    """Rows that are equal in a feature stay in their order, and that is the order of the classes."""
    x = torch.cat([torch.randn(640, 3), torch.randint(2, (640, 1)).float()], 1)
    y = torch.arange(640) // 160
    assert seen(cut(x, y)).leak < 0.5


def test_a_constant_feature_is_counted_when_a_leak_is_named() -> None:
    x, y = of_classes()
    x[:, 0] = 1.0
    data = seen(cut(torch.cat([x, y[:, None].float()], 1), y))
    assert data.leak_feature == 6


def test_few_rows_are_not_related() -> None:
    assert seen(cut(*of_classes(rows=32))).neighbour_z is None


def test_what_takes_longer_is_left_to_those_who_take_their_time() -> None:
    x, y = of_classes()
    data = seen(cut(x, y), val=cut(x, None), probing=False)
    assert (data.neighbour_z, data.overlap, data.leak_feature) == (None, None, -1)
    assert data.order_ratio != 1.0


# -- validation -------------------------------------------------------------------------------------------


def test_validation_rows_that_are_trained_on_are_found() -> None:
    x, y = of_classes()
    fresh = torch.randn(160, 6)
    data = seen(cut(x, y), val=cut(torch.cat([x[:160], fresh]), None))
    assert data.overlap == 0.5 > OVERLAP
    assert data.val_rows == 320


def test_other_rows_do_not_overlap() -> None:
    x, y = of_classes()
    data = seen(cut(x[:480], y[:480]), val=cut(x[480:], None))
    assert data.overlap == 0.0
    assert data.val_std_factor is not None
    assert data.val_std_factor < 1.2


@pytest.mark.parametrize("factor", [0.05, 20.0])
def test_validation_inputs_of_another_scale_are_seen_larger_or_smaller(factor: float) -> None:
    x, y = of_classes()
    data = seen(cut(x[:480], y[:480]), val=cut(factor * x[480:], None))
    assert data.val_std_factor == pytest.approx(20, rel=0.2)
    assert data.val_std_factor > VAL_FACTOR


def test_a_few_features_of_another_scale_are_another_distribution() -> None:
    """It is the typical feature that counts."""
    x, y = of_classes()
    val = x[480:] * torch.tensor([50.0, 50.0, 1.0, 1.0, 1.0, 1.0])
    data = seen(cut(x[:480], y[:480]), val=cut(val, None))
    assert data.val_std_factor is not None
    assert data.val_std_factor < VAL_FACTOR


def test_rows_that_repeat_themselves_are_counted_each() -> None:
    x = torch.randn(64, 4)
    x[32:48] = x[:16]
    assert seen([(x, None)]).duplicates == pytest.approx(32 / 64)
    assert seen([(x[:32], None)]).duplicates == 0.0


def test_without_validation_nothing_is_known_of_it() -> None:
    data = seen(cut(*of_classes()))
    assert (data.overlap, data.val_std_factor) == (None, None)


def test_validation_rows_of_another_width_cannot_be_compared() -> None:
    x, y = of_classes()
    assert seen(cut(x, y), val=[(torch.randn(32, 9), None)]).overlap is None


# -- as it is ---------------------------------------------------------------------------------------------


def test_a_tensor_that_changes_later_is_kept_as_it_was() -> None:
    x, y = torch.ones(32, 2), torch.zeros(32)
    examples = examples_of([(x, y)], classes=False)
    x.fill_(7.0)
    y.fill_(7.0)
    assert examples.x.max() == 1.0
    assert examples.y is not None
    assert examples.y.max() == 0.0


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16, torch.float64, torch.uint8, torch.bool])
def test_any_kind_of_number_is_taken(kind: torch.dtype) -> None:
    x = (torch.rand(64, 4) * 2).to(kind)
    data = seen(cut(x, torch.randint(2, (64,))))
    assert data.rows == 64
    assert data.integer is not kind.is_floating_point


def test_what_has_no_rows_is_passed_over() -> None:
    assert examples_of([(torch.tensor(1.0), None), (torch.empty(0, 3), None)]).inputs == []


def test_targets_that_need_a_gradient_are_looked_at_without_one() -> None:
    x = torch.randn(32, 2)
    assert seen([(x, x[:, 0].clone().requires_grad_())], classes=False).target_std > 0
