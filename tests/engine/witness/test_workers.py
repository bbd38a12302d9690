"""Whether the workers of a loader all give the same batches."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sgdb_engine.witness.workers import LEAST_ROUNDS, Workers

DATA = object()


def seen(workers: int, batches: list[Any], skipped: int = -1) -> Workers:
    """A loader with so many workers gave these; one of them was not seen."""
    found = Workers()
    iterator = SimpleNamespace(_num_workers=workers, _dataset=DATA, _num_yielded=0)
    for i, batch in enumerate(batches):
        iterator._num_yielded += 1
        if i != skipped:
            found.fetched(iterator, batch)
    return found


def batch(number: float) -> list[torch.Tensor]:
    return [torch.full((4, 3), number), torch.arange(4)]


def each(*numbers: float) -> list[list[torch.Tensor]]:
    return [batch(number) for number in numbers]


@pytest.mark.parametrize("workers", [2, 3, 5])
def test_workers_that_give_the_same_are_seen(workers: int) -> None:
    found = seen(workers, [batch(i) for i in range(8) for _ in range(workers)])
    assert (found.count, found.equal) == (workers, 1.0)


def test_one_process_repeats_nothing() -> None:
    for workers in (0, 1):
        assert seen(workers, each(1, 1, 2, 2, 3, 3)).count == 0


def test_constant_batches_say_nothing_of_workers() -> None:
    assert seen(2, each(*[1] * 8)).equal <= 0.5


def test_batches_without_tensors_say_nothing() -> None:
    assert seen(2, [["a"], ["b"], ["c"], ["d"]] * 2).equal <= 0.5


@given(st.lists(st.integers(0, 1000), min_size=2, max_size=30, unique=True), st.integers(2, 4))
def test_batches_that_all_differ_are_no_repetition(numbers: list[int], workers: int) -> None:
    assert seen(workers, each(*numbers)).equal == 0.0


def test_a_round_is_not_enough() -> None:
    assert seen(2, each(1, 1)).equal == 0.0
    assert LEAST_ROUNDS == 2


def test_where_one_was_not_seen_it_is_not_known_whose_turn_it_is() -> None:
    assert seen(2, each(1, 1, 2, 2, 3, 3, 4, 4), skipped=1).equal == 0.0


def test_each_value_counts() -> None:
    changed = batch(1)
    changed[0][-1, -1] = 7
    assert seen(2, [batch(1), changed, batch(2), batch(2)]).equal == 0.5


def test_another_loader_beside_it_is_not_mixed_in() -> None:
    found = Workers()
    train, val = (SimpleNamespace(_num_workers=2, _dataset=object(), _num_yielded=0) for _ in range(2))
    for number in (1, 1, 2, 2):
        for iterator, shown in ((train, batch(number)), (val, batch(9))):
            iterator._num_yielded += 1
            found.fetched(iterator, shown)
    assert found.equal == 1.0
