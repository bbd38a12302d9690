"""Parameters of optimizers that no gradient reaches."""

import gc
import weakref
from collections.abc import Callable, Sequence

import torch
from torch import nn

from sgdb_engine.witness.unreached import LEAST_UPDATES, UPDATES, Unreached


class Model(nn.Module):
    """One layer that learns, one behind a detach, one that is not used, one that only its shape is asked of."""

    def __init__(self) -> None:
        super().__init__()
        self.cut, self.learns, self.idle, self.asked = (nn.Linear(3, 3, bias=False) for _ in range(4))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        assert self.asked.weight.shape[0] == 3
        return self.learns(self.cut(x).detach())


def names_of(model: nn.Module) -> Callable[[Sequence[torch.Tensor]], list[str]]:
    names = {id(p): name for name, p in model.named_parameters()}
    return lambda each: [names[id(p)] for p in each]


def trained(model: nn.Module, steps: int, optimizer: torch.optim.Optimizer | None = None) -> Unreached:
    optimizer = optimizer or torch.optim.SGD(model.parameters(), lr=0.1)
    unreached = Unreached(names_of(model), {})
    for _ in range(steps):
        unreached.begin(model)
        loss = model(torch.randn(4, 3)).sum()
        unreached.end()
        unreached.go_through([loss])
        loss.backward()
        if unreached.may_be_known(last=False):
            unreached.graphs_are_known([optimizer], [model])
        unreached.before_update(optimizer)
        optimizer.zero_grad()
    return unreached


def test_what_is_computed_with_is_cut_off_and_the_rest_is_not_used() -> None:
    for steps in (LEAST_UPDATES + 4, UPDATES + 10):
        assert trained(Model(), steps).names() == (("cut.weight",), ("idle.weight", "asked.weight"))


def test_nothing_is_said_after_a_few_updates() -> None:
    assert trained(Model(), LEAST_UPDATES).names() == ((), ())


def test_what_the_optimizer_does_not_hold_is_left_alone() -> None:
    model = Model()
    optimizer = torch.optim.SGD([*model.learns.parameters(), *model.idle.parameters()], lr=0.1)
    assert trained(model, 30, optimizer).names() == ((), ("idle.weight",))


def test_what_is_frozen_is_left_alone() -> None:
    model = Model()
    model.cut.requires_grad_(False)
    assert trained(model, 30).names()[0] == ()


def test_what_gets_a_gradient_once_is_reached() -> None:
    class InTurns(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.one, self.other, self.turn = nn.Linear(3, 3), nn.Linear(3, 3), 0

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            self.turn += 1
            return self.other(x) if self.turn % 9 == 0 else self.one(x)

    assert trained(InTurns(), 30).names() == ((), ())


def test_nothing_of_the_users_is_held_when_it_is_settled() -> None:
    model = Model()
    left = weakref.ref(model.idle.weight)
    unreached = trained(model, 30)
    del model
    gc.collect()
    assert left() is None
    assert unreached.names()[1] == ("idle.weight", "asked.weight")
