"""The lowest loss of a batch, against its definition spelled out."""

import math
from collections import Counter, defaultdict
from statistics import fmean, median

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sgdb_engine.checks.floors import floor_of

inputs_and_classes = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 2)), min_size=1, max_size=30)
numbers = st.floats(-10, 10, width=32)
inputs_and_numbers = st.lists(st.tuples(st.integers(0, 3), numbers), min_size=1, max_size=30)
texts = st.integers(1, 6).flatmap(
    lambda length: st.lists(
        st.lists(st.integers(0, 2), min_size=length + 1, max_size=length + 1), min_size=1, max_size=8
    )
)


def entropy_by_definition(pairs: list[tuple[object, int]]) -> float:
    groups: dict[object, list[int]] = defaultdict(list)
    for key, target in pairs:
        groups[key].append(target)
    total = 0.0
    for targets in groups.values():
        for target in targets:
            total -= math.log(Counter(targets)[target] / len(targets))
    return total / len(pairs)


@given(inputs_and_classes)
def test_the_floor_of_classes_is_the_conditional_entropy(pairs: list[tuple[int, int]]) -> None:
    x = torch.tensor([[float(key), 1.5] for key, _ in pairs])
    y = torch.tensor([target for _, target in pairs])
    expected = entropy_by_definition(list(pairs))
    assert floor_of("cross_entropy", x, y) == pytest.approx(expected, abs=1e-12)


@given(texts)
def test_in_a_text_equal_means_equal_characters_so_far(rows: list[list[int]]) -> None:
    x = torch.tensor([row[:-1] for row in rows])
    y = torch.tensor([row[1:] for row in rows])
    pairs = [(tuple(row[: place + 1]), row[place + 1]) for row in rows for place in range(len(row) - 1)]
    assert floor_of("cross_entropy", x, y) == pytest.approx(entropy_by_definition(pairs), abs=1e-12)


@given(inputs_and_numbers)
def test_the_floor_of_numbers_is_the_loss_of_their_mean_or_median(pairs: list[tuple[int, float]]) -> None:
    groups: dict[int, list[float]] = defaultdict(list)
    for key, value in pairs:
        groups[key].append(value)
    x, y = torch.tensor([[float(key)] for key, _ in pairs]), torch.tensor([[value] for _, value in pairs])
    squares = sum((value - fmean(values)) ** 2 for values in groups.values() for value in values)
    distances = sum(abs(value - median(values)) for values in groups.values() for value in values)
    assert floor_of("mse_loss", x, y) == pytest.approx(squares / len(pairs), abs=1e-9)
    assert floor_of("l1_loss", x, y) == pytest.approx(distances / len(pairs), abs=1e-9)


@given(st.lists(st.floats(-5, 5, width=32), min_size=1, max_size=10))
def test_no_output_beats_the_floor_of_smooth_l1(values: list[float]) -> None:
    grid = torch.linspace(-5, 5, 2001, dtype=torch.float64)
    targets = torch.tensor(values, dtype=torch.float64)
    losses = [
        float(torch.nn.functional.smooth_l1_loss(output.expand_as(targets), targets)) for output in grid
    ]
    floor = floor_of("smooth_l1_loss", torch.zeros(len(values), 2), targets[:, None])
    assert floor is not None
    assert floor == pytest.approx(min(losses), abs=1e-4)
    assert floor <= min(losses) + 1e-12


@given(inputs_and_classes)
def test_a_loss_that_is_summed_has_so_many_times_the_floor_of_its_mean(pairs: list[tuple[int, int]]) -> None:
    x = torch.tensor([[key] for key, _ in pairs])
    y = torch.tensor([target for _, target in pairs])
    once = floor_of("cross_entropy", x, y)
    assert once is not None
    assert floor_of("cross_entropy", x, y, summed=True) == pytest.approx(len(pairs) * once, abs=1e-9)


@given(texts, st.integers(0, 5))
def test_targets_that_are_left_out_count_nowhere(rows: list[list[int]], left_out: int) -> None:
    x = torch.tensor([row[:-1] for row in rows])
    y = torch.tensor([row[1:] for row in rows])
    place = left_out % x.shape[1]
    y[:, place] = -100
    pairs = [(tuple(row[: at + 1]), row[at + 1]) for row in rows for at in range(len(row) - 1) if at != place]
    assert floor_of("cross_entropy", x, y) == pytest.approx(
        entropy_by_definition(pairs) if pairs else 0.0, abs=1e-12
    )


def test_targets_of_a_text_may_come_flat() -> None:
    x = torch.tensor([[1, 2, 3], [1, 2, 4]])
    y = torch.tensor([[2, 3, 3], [2, 4, 4]])
    flat = floor_of("cross_entropy", x, y.reshape(-1))
    assert flat == floor_of("cross_entropy", x, y)
    assert flat


def test_the_floor_of_yes_and_no_is_that_of_their_classes() -> None:
    x, y = torch.tensor([[0.0], [0.0], [1.0]]), torch.tensor([[0.0], [1.0], [1.0]])
    for function in ("binary_cross_entropy", "binary_cross_entropy_with_logits"):
        assert floor_of(function, x, y) == pytest.approx(2 * math.log(2) / 3)


def test_of_other_losses_no_floor_is_known() -> None:
    assert floor_of("cosine_embedding_loss", torch.ones(2, 1), torch.ones(2)) is None


@pytest.mark.parametrize("target", [torch.tensor(1), torch.tensor([1])])
def test_targets_that_are_none_of_single_rows_allow_everything(target: torch.Tensor) -> None:
    assert floor_of("cross_entropy", torch.ones(2, 3), target) == 0.0


def test_minus_zero_is_zero() -> None:
    x, y = torch.tensor([[0.0], [-0.0]]), torch.tensor([0, 1])
    assert floor_of("cross_entropy", x, y) == pytest.approx(math.log(2))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64, torch.uint8, torch.int64])
def test_inputs_of_any_type_are_compared(dtype: torch.dtype) -> None:
    x = torch.tensor([[1], [1], [2]]).to(dtype)
    assert floor_of("cross_entropy", x, torch.tensor([0, 1, 1])) == pytest.approx(2 * math.log(2) / 3)


def test_a_long_text_is_hashed_once() -> None:
    x = torch.arange(4096).reshape(1, -1)
    assert floor_of("cross_entropy", x, x) == 0.0
