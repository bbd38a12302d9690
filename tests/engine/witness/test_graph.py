"""The autograd graph: which parameters a loss reaches, what operation a tensor comes out of."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from sgdb_engine.witness.graph import operation_of, own_functions, parameters_reached

SAME_VALUES: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "itself": lambda t: t,
    "view": lambda t: t.view(-1),
    "reshape of what is not contiguous": lambda t: t.transpose(0, 1).reshape(-1),
    "squeeze": lambda t: t.unsqueeze(-1).squeeze(-1),
    "transpose": lambda t: t.transpose(0, 1),
    "permute": lambda t: t.permute(1, 0),
    "T": lambda t: t.T,
    "flatten": lambda t: t.unsqueeze(0).flatten(0, 1),
    "a part": lambda t: t[1:, :2],
    "a row": lambda t: t[0],
    "chunk": lambda t: t.chunk(2)[0],
    "split": lambda t: t.split([1, 5])[1],
    "unbind": lambda t: t.unbind(1)[0],
    "expand": lambda t: t.unsqueeze(0).expand(2, -1, -1),
    "clone": lambda t: t.clone(),
    "contiguous": lambda t: t.T.contiguous(),
    "float64": lambda t: t.double(),
    "bfloat16 and back": lambda t: t.bfloat16().float(),
    "as_strided": lambda t: t.as_strided((3, 2), (1, 1)),
    "several of them": lambda t: t.double().T.unsqueeze(1)[:, 0].contiguous().view(-1).float(),
}
OPERATIONS: dict[str, tuple[Callable[[torch.Tensor], torch.Tensor], str]] = {
    "softmax": (lambda t: t.softmax(1), "Softmax"),
    "log_softmax": (lambda t: F.log_softmax(t, 1), "LogSoftmax"),
    "sigmoid": (torch.sigmoid, "Sigmoid"),
    "relu": (torch.relu, "Relu"),
    "relu in place": (lambda t: F.relu(t * 1, inplace=True), "Relu"),
    "tanh": (torch.tanh, "Tanh"),
    "hardtanh": (F.hardtanh, "Hardtanh"),
    "softplus": (F.softplus, "Softplus"),
    "linear": (nn.Linear(4, 4), "Addmm"),
}


@pytest.fixture
def scores() -> torch.Tensor:
    return torch.randn(6, 4, requires_grad=True)


@pytest.mark.parametrize("view", SAME_VALUES)
def test_the_operation_is_seen_through_what_leaves_the_values_as_they_are(
    view: str, scores: torch.Tensor
) -> None:
    seen = {name: operation_of(SAME_VALUES[view](make(scores))) for name, (make, _) in OPERATIONS.items()}
    assert seen == {name: expected for name, (_, expected) in OPERATIONS.items()}


def test_what_changes_the_values_is_an_operation_of_its_own(scores: torch.Tensor) -> None:
    assert operation_of(2 * scores.softmax(1)) == "Mul"
    assert operation_of(scores.softmax(1).log()) == "Log"
    assert operation_of(scores.sigmoid().mean(1)) == "Mean"


@pytest.mark.parametrize("view", SAME_VALUES)
def test_what_was_not_computed_comes_out_of_nothing(view: str, scores: torch.Tensor) -> None:
    assert operation_of(SAME_VALUES[view](torch.randn(6, 4))) == ""
    assert operation_of(SAME_VALUES[view](scores)) not in {name for _, name in OPERATIONS.values()}


def test_under_autocast_the_cast_is_passed_over() -> None:
    layer = nn.Sequential(nn.Linear(4, 4), nn.Softmax(1))
    with torch.autocast("cpu", torch.bfloat16):
        assert operation_of(layer(torch.randn(6, 4)).float()) == "Softmax"


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Linear(4, 4)
        self.head = nn.Linear(4, 1)
        self.other = nn.Linear(4, 1)

    def forward(self, x: torch.Tensor, cut: bool = False) -> torch.Tensor:
        encoded = self.encoder(x)
        return self.head(encoded.detach() if cut else encoded)


def test_the_parameters_that_gradients_come_back_to_are_reached_each_once() -> None:
    net = Net()
    loss = (net(torch.randn(6, 4)) + net(torch.randn(6, 4))).sum()
    reached = parameters_reached(loss)
    assert len(reached) == 4
    assert {id(p) for p in reached} == {id(p) for p in (*net.encoder.parameters(), *net.head.parameters())}


def test_behind_a_detach_nothing_is_reached() -> None:
    net = Net()
    reached = parameters_reached(net(torch.randn(6, 4), cut=True).sum())
    assert {id(p) for p in reached} == {id(p) for p in net.head.parameters()}


def test_what_is_frozen_and_inputs_with_gradients_are_not_reached() -> None:
    net = Net()
    net.encoder.requires_grad_(False)
    reached = parameters_reached(net(torch.randn(6, 4, requires_grad=True)).sum())
    assert {id(p) for p in reached} == {id(p) for p in net.head.parameters()}


def test_of_several_losses_all_are_gone_through() -> None:
    net = Net()
    x = torch.randn(6, 4)
    losses = [net(x, cut=True).sum(), net.other(x).sum(), torch.tensor(0.0)]
    assert len(parameters_reached(losses)) == 4


def test_what_is_reached_is_what_backward_gives_gradients_to() -> None:
    net = Net()
    loss = F.mse_loss(net(torch.randn(6, 4)), torch.randn(6, 1)) + net.other.weight.square().sum()
    reached = {id(p) for p in parameters_reached(loss)}
    loss.backward()
    assert reached == {id(p) for p in net.parameters() if p.grad is not None}


class Swish(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(x)
        return x * x.sigmoid()

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> torch.Tensor:
        return gradient


class Twice(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: torch.Tensor) -> torch.Tensor:
        return 2 * x

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> torch.Tensor:
        return 2 * gradient


def test_functions_of_the_users_own_are_named_each_once(scores: torch.Tensor) -> None:
    loss = Twice.apply(Swish.apply(Swish.apply(scores))).sum()
    assert own_functions([loss]) == ("Swish", "Twice")


def test_pytorchs_functions_are_nobodys_own(scores: torch.Tensor) -> None:
    assert own_functions([Net()(scores).sum()]) == ()
    checkpointed = torch.utils.checkpoint.checkpoint(Net(), scores, use_reentrant=True)
    assert own_functions([checkpointed.sum()]) == ()
