"""How much outputs differ from row to row."""

import pytest
import torch
from torch import nn

from sgdb_engine.findings.facts import Dependencies
from sgdb_engine.witness.outputs import LATER, Outputs

X = torch.randn(16, 4, generator=torch.Generator().manual_seed(0))


def seen(*looks: tuple[torch.Tensor | None, object, int]) -> Dependencies | None:
    outputs = Outputs()
    for look in looks:
        outputs.look(*look)
    return outputs.dependencies


def test_the_largest_difference_to_the_first_row_by_the_largest_value() -> None:
    output = torch.tensor([[1.0, 4.0], [1.5, 4.0], [1.0, 4.0]])
    found = seen((X[:3], output, 0), (X[:3], 2 + 0 * output, LATER), (X[:3], output, LATER + 1))
    assert found == Dependencies(other_input=0.125, other_input_later=0.125)


def test_a_constant_output_is_one_however_large() -> None:
    found = seen((X, torch.full((16, 2), 3e5), 0), (X, torch.full((16, 2), 7.0), 20))
    assert found == Dependencies(other_input=0.0, other_input_later=0.0)


def test_what_comes_later_is_not_known_before() -> None:
    assert seen((X, X, LATER - 1)) == Dependencies(other_input=pytest.approx(1.0, abs=1.0))


@pytest.mark.parametrize(
    ("given", "output"),
    [
        (None, X),
        (X[:1], X[:1]),
        (torch.ones(16, 4), torch.ones(16, 2)),
        (X, torch.zeros(16, 2)),
        (X, torch.full((16, 2), torch.nan)),
        (X, torch.ones(())),
        (X, torch.ones(16, 16)),
        (X, torch.ones(16, dtype=torch.long)),
        (X, torch.ones(7, 3)),
        (X, "text"),
    ],
)
def test_what_says_nothing_is_not_taken(given: torch.Tensor | None, output: object) -> None:
    assert seen((given, output, 0)) is None


def test_of_several_outputs_the_first_with_a_row_for_each_input_counts() -> None:
    found = seen((X, {"loss": torch.ones(()), "scores": torch.ones(16, 3), "features": X}, 0))
    assert found is not None
    assert found.other_input == 0.0


def test_a_model_that_uses_its_input_differs() -> None:
    found = seen((X, nn.Linear(4, 3)(X), 0))
    assert found is not None
    assert found.other_input is not None
    assert found.other_input > 0.1
