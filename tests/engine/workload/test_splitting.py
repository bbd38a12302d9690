"""Held out by the seed, normalised by the training examples."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sgdb_engine.config.records import DataSection
from sgdb_engine.errors import DataError
from sgdb_engine.workload.datasets.examples import Examples, with_target
from sgdb_engine.workload.datasets.splitting import normalised, split

SECTION = DataSection(name="wine", normalise=False)


def numbered(num_examples: int) -> Examples:
    """Examples that tell their number, of as many classes."""
    x = torch.arange(num_examples).float().unsqueeze(1)
    return with_target(x=x, y=torch.arange(num_examples), kind="table", classes=num_examples)


@given(st.integers(2, 200), st.floats(0, 0.5), st.integers(0, 2**31))
def test_each_example_is_on_exactly_one_side(num_examples: int, validation: float, seed: int) -> None:
    section = DataSection(name="wine", normalise=False, validation=validation)
    parts = split(numbered(num_examples), section, seed)
    held_out = parts.val[1]["y"].tolist() if parts.val else []
    assert sorted(parts.train[1]["y"].tolist() + held_out) == list(range(num_examples))
    assert len(held_out) == (max(1, round(num_examples * validation)) if validation else 0)


def test_the_same_seed_holds_out_the_same_examples() -> None:
    one, same, other = (split(numbered(100), SECTION, seed).val for seed in (1, 1, 2))
    assert one is not None
    assert same is not None
    assert other is not None
    assert torch.equal(one[1]["y"], same[1]["y"])
    assert not torch.equal(one[1]["y"], other[1]["y"])


def test_a_single_example_cannot_be_held_out() -> None:
    with pytest.raises(DataError, match="none left to train on"):
        split(numbered(1), SECTION, 0)


def test_statistics_are_those_of_the_training_examples() -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(50, 3, generator=generator) * torch.tensor([1.0, 100.0, 1e4]) + 7
    examples = with_target(x=x, y=torch.zeros(50, dtype=torch.int64), kind="table", classes=1)
    parts = split(examples, DataSection(name="wine"), 0)
    assert torch.allclose(parts.train[0].mean(0), torch.zeros(3), atol=1e-5)
    assert torch.allclose(parts.train[0].std(0, correction=0), torch.ones(3), atol=1e-5)
    assert parts.val is not None
    assert not torch.allclose(parts.val[0].mean(0), torch.zeros(3), atol=1e-5)


def test_images_are_normalised_per_channel() -> None:
    x = torch.randn(20, 2, 5, 5, generator=torch.Generator().manual_seed(0))
    x[:, 1] = x[:, 1] * 50 + 100
    found = normalised(x, x)
    assert torch.allclose(found.mean(dim=(0, 2, 3)), torch.zeros(2), atol=1e-4)
    assert torch.allclose(found.std(dim=(0, 2, 3), correction=0), torch.ones(2), atol=1e-4)


def test_a_constant_column_is_only_centred() -> None:
    x = torch.tensor([[3.1, 1.0], [3.1, 2.0]])
    assert normalised(x, x)[:, 0].tolist() == [0, 0]


def test_nan_stays_where_it_is_and_spoils_nothing_else() -> None:
    x = torch.tensor([[1.0, 1.0], [2.0, torch.nan], [3.0, 3.0], [4.0, torch.inf]])
    found = normalised(x, x)
    assert found.isfinite().tolist() == [[True, True], [True, False], [True, True], [True, False]]
    assert found[:, 1][[0, 2]].tolist() == [-1, 1]


def test_regression_targets_are_standardised_too() -> None:
    y = torch.tensor([[100.0], [200.0], [300.0]])
    parts = split(with_target(x=torch.randn(3, 2), y=y, kind="table"), DataSection(validation=0), 0)
    assert float(parts.train[1]["y"].mean()) == pytest.approx(0, abs=1e-6)
    assert float(parts.train[1]["y"].std(correction=0)) == pytest.approx(1, rel=1e-6)


def test_random_labels_permute_the_training_targets_only() -> None:
    plain = split(numbered(100), SECTION, 3)
    section = DataSection(name="wine", normalise=False, random_labels=True)
    shuffled, again = split(numbered(100), section, 3), split(numbered(100), section, 3)
    assert plain.val is not None
    assert shuffled.val is not None
    assert torch.equal(plain.val[1]["y"], shuffled.val[1]["y"])
    assert torch.equal(plain.train[0], shuffled.train[0])
    assert not torch.equal(plain.train[1]["y"], shuffled.train[1]["y"])
    assert sorted(plain.train[1]["y"].tolist()) == sorted(shuffled.train[1]["y"].tolist())
    assert torch.equal(shuffled.train[1]["y"], again.train[1]["y"])
