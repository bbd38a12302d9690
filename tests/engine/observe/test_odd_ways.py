"""Rarer ways to train and to evaluate: each is observed rightly, or it is said what is not."""

import copy
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.checkpoint import checkpoint
from torch.utils.data import DataLoader, SubsetRandomSampler, TensorDataset

from sgdb_engine.observe.hooks import observe

from .conftest import Bench, Net
from .test_strangers import Heard, heard, rows_with

__all__ = ["heard"]


# -- what only stands for tensors -------------------------------------------------------------------------


@pytest.mark.parametrize("rehearsal", [FakeTensorMode, lambda: torch.device("meta")])
def test_a_rehearsal_without_values_is_no_training(
    rehearsal: Callable[[], Any], recorded: Any, bench: Bench
) -> None:
    with observe(recorded, budget=1.0) as observer:
        with rehearsal():
            Bench().step(2)
        bench.step(3)
    assert observer.step == 3
    assert len(recorded.column("train/loss")) == 3
    assert recorded.failed_probes == []


class Counting(TorchDispatchMode):
    operations = 0

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        Counting.operations += 1
        return function(*args, **(kwargs or {}))


def test_a_counter_of_operations_counts_none_of_our_measurements(recorded: Any) -> None:
    def counted(watched: bool) -> int:
        bench = Bench()
        Counting.operations = 0
        with observe(recorded, budget=1.0 if watched else 0.0), Counting():
            bench.step(3)
        return Counting.operations

    assert counted(watched=True) == counted(watched=False)


def test_parameters_can_still_be_swapped(recorded: Any) -> None:
    torch.__future__.set_swap_module_params_on_conversion(True)
    try:
        with observe(recorded):
            assert nn.Linear(4, 8).double().weight.dtype == torch.float64
    finally:
        torch.__future__.set_swap_module_params_on_conversion(False)


# -- backward in odd places -------------------------------------------------------------------------------


def test_a_backward_within_a_backward_is_no_loss_of_its_own(recorded: Any, bench: Bench) -> None:
    losses = []
    with observe(recorded):
        for _ in range(100):
            bench.optimizer.zero_grad()
            hidden = checkpoint(bench.model.hidden, bench.x.requires_grad_(), use_reentrant=True)
            loss = F.mse_loss(bench.model.out(hidden).mean(0), bench.y.mean(0))
            loss.backward()
            losses.append(loss.item())
            bench.optimizer.step()
    assert recorded.column("train/loss") == losses


def test_a_backward_from_a_place_in_the_graph_is_let_through(recorded: Any, bench: Bench) -> None:
    with observe(recorded) as observer:
        for _ in range(3):
            bench.optimizer.zero_grad()
            edge = torch.autograd.graph.get_gradient_edge(bench.loss())
            torch.autograd.backward(edge, torch.tensor(1.0))
            bench.optimizer.step()
    assert observer.step == 3
    assert recorded.failed_probes == []


def test_the_time_of_a_frozen_part_belongs_to_the_step(recorded: Any) -> None:
    frozen, head = nn.Sequential(nn.Linear(3, 3), Slow()), nn.Sequential(nn.Linear(3, 1))
    optimizer = torch.optim.SGD(head.parameters(), lr=0.1)
    with observe(recorded):
        for _ in range(30):
            with torch.no_grad():
                features = frozen(torch.randn(4, 3))
            optimizer.zero_grad()
            head(features).square().mean().backward()
            optimizer.step()
    assert min(recorded.column("time/step")[1:]) >= 0.002


class Slow(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        time.sleep(0.002)
        return x


class Meta(nn.Module):
    """Trains within its forward."""

    def __init__(self) -> None:
        super().__init__()
        self.net = Net()
        self.optimizer = torch.optim.Adam(self.net.parameters())

    def forward(self, x: torch.Tensor) -> float:
        loss = self.net(x).square().mean()
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        return loss.item()


def test_a_training_within_a_forward_has_its_losses(recorded: Any) -> None:
    meta = Meta()
    with observe(recorded):
        losses = [meta(torch.randn(4, 3)) for _ in range(30)]
    assert recorded.column("train/loss") == losses


def test_steps_without_a_backward_have_no_loss_and_that_is_said(
    recorded: Any, bench: Bench, heard: Heard
) -> None:
    with observe(recorded, budget=1.0, told=heard.told) as observer:
        for _ in range(5):
            parameters = list(bench.model.parameters())
            for parameter, gradient in zip(
                parameters, torch.autograd.grad(bench.loss(), parameters), strict=True
            ):
                parameter.grad = gradient
            bench.optimizer.step()
    assert observer.step == 5
    assert recorded.column("train/loss") == []
    assert sum("torch.autograd.grad" in note for note in heard.notes) == 1


# -- whose weights move -----------------------------------------------------------------------------------


class LooksAhead(torch.optim.Optimizer):
    """Climbs first, then steps from where it was, as SAM does."""

    def __init__(self, parameters: Any, lr: float) -> None:
        super().__init__(parameters, {"lr": lr})
        self.base = torch.optim.SGD(self.param_groups, lr=lr)

    @torch.no_grad()
    def first_step(self) -> None:
        for group in self.param_groups:
            for p in group["params"]:
                p.add_(p.grad, alpha=0.05)

    def second_step(self) -> None:
        self.base.step()


def test_weights_that_an_optimizer_moves_besides_its_steps_make_no_steps(
    recorded: Any, bench: Bench, heard: Heard
) -> None:
    optimizer = LooksAhead(bench.model.parameters(), 0.1)
    with observe(recorded, told=heard.told) as observer:
        optimizer = LooksAhead(bench.model.parameters(), 0.1)
        for _ in range(10):
            optimizer.zero_grad()
            bench.loss().backward()
            optimizer.first_step()
            optimizer.zero_grad()
            bench.loss().backward()
            optimizer.second_step()
    assert observer.step == 10
    assert not any("by the movement" in note for note in heard.notes)


def test_a_learning_rate_that_is_measured_follows_a_change(recorded: Any, bench: Bench) -> None:
    with observe(recorded):
        for step in range(20):
            bench.model.zero_grad()
            bench.loss().backward()
            with torch.no_grad():
                for p in bench.model.parameters():
                    p -= (0.1 if step < 10 else 0.001) * p.grad
        bench.loss()
    assert recorded.column("lr")[:9] == pytest.approx([0.1] * 9, rel=1e-2)
    assert recorded.column("lr")[-1] == pytest.approx(0.001, rel=0.1)


# -- evaluations ------------------------------------------------------------------------------------------


def evaluated_by_an_average(bench: Bench) -> float:
    average = copy.deepcopy(bench.model).eval()
    with torch.no_grad():
        return F.mse_loss(average(bench.x + 1), bench.y).item()


def evaluated_by_parts(bench: Bench) -> float:
    with torch.no_grad():
        return F.mse_loss(torch.tanh(bench.x @ bench.model.hidden.weight.T)[:, :1], bench.y).item()


@pytest.mark.parametrize("evaluate", [evaluated_by_an_average, evaluated_by_parts])
def test_a_loss_without_gradients_between_steps_is_a_validation_whoever_is_called(
    evaluate: Callable[[Bench], float], recorded: Any, bench: Bench, heard: Heard
) -> None:
    losses = []
    with observe(recorded, told=heard.told):
        for _ in range(3):
            bench.step(20)
            losses.append(evaluate(bench))
    assert [each["val/loss"] for each in heard.validated] == losses
    assert recorded.failed_probes == []


def test_an_evaluation_before_the_first_step_counts(recorded: Any, bench: Bench, heard: Heard) -> None:
    with observe(recorded, told=heard.told):
        with torch.no_grad():
            expected = bench.loss().item()
        bench.step(3)
    assert [each["val/loss"] for each in heard.validated] == [expected]
    assert [row["step"] for row in rows_with(recorded, "val/loss")] == [0]


def test_parts_of_one_data_set_are_told_apart_by_their_samplers(
    recorded: Any, bench: Bench, heard: Heard
) -> None:
    data = TensorDataset(torch.randn(20, 3), torch.randn(20, 1))
    train = DataLoader(data, batch_size=4, sampler=SubsetRandomSampler(range(12)))
    rest = DataLoader(data, batch_size=8, sampler=SubsetRandomSampler(range(12, 20)))
    losses = []
    with observe(recorded, told=heard.told):
        for _ in range(3):
            for bench.x, bench.y in train:
                bench.step()
            with torch.no_grad():
                losses += [F.mse_loss(bench.model(x), y).item() for x, y in rest]
    assert [each["val/loss"] for each in heard.validated] == pytest.approx(losses)
    assert heard.epochs == [1, 2, 3]


def test_epochs_go_on_where_the_data_set_is_made_anew_for_each(
    recorded: Any, bench: Bench, heard: Heard
) -> None:
    with observe(recorded, told=heard.told):
        for _ in range(4):
            for bench.x, bench.y in DataLoader(TensorDataset(torch.randn(9, 3), torch.randn(9, 1)), 3):
                bench.step()
    assert heard.epochs == [1, 2, 3, 4]


# -- several optimizers -----------------------------------------------------------------------------------


def test_a_generator_that_steps_rarely_has_its_name_from_the_start_and_no_stale_values(recorded: Any) -> None:
    G, D = nn.Linear(2, 3), nn.Linear(3, 1)  # noqa: N806
    with observe(recorded):
        of_g = torch.optim.Adam(G.parameters(), lr=0.2)
        of_d = torch.optim.Adam(D.parameters(), lr=0.1)
        for step in range(15):
            with torch.no_grad():
                made = G(torch.randn(4, 2))
            of_d.zero_grad()
            F.softplus(D(made)).mean().backward()
            of_d.step()
            if step % 5 == 4:
                of_g.zero_grad()
                F.softplus(-D(G(torch.randn(4, 2)))).mean().backward()
                of_g.step()
    named = {name for row in recorded.rows for name in row if name.endswith("train/loss")}
    assert named == {"train/loss", "D.train/loss", "G.train/loss"}
    assert [row["step"] for row in rows_with(recorded, "G.train/loss")] == [5, 10, 15]


# -- threads ----------------------------------------------------------------------------------------------


def test_a_thread_that_trains_beside_the_first_is_not_observed_and_that_is_said(
    recorded: Any, bench: Bench, heard: Heard
) -> None:
    with observe(recorded, told=heard.told, any_thread=True) as observer:
        bench.step(3)
        other = threading.Thread(target=Bench().step, args=(3,))
        other.start()
        other.join()
        bench.step(2)
    assert observer.step == 5
    assert sum("Several threads" in note for note in heard.notes) == 1


def test_a_failure_while_clipping_by_value_is_looked_at_is_ours_alone(
    recorded: Any, bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def raises(parameters: Any) -> float:
        raise RuntimeError("ours")

    monkeypatch.setattr("sgdb_engine.observe.clipping._size", raises)
    with observe(recorded) as observer:
        for _ in range(3):
            bench.optimizer.zero_grad()
            bench.loss().backward()
            torch.nn.utils.clip_grad_value_(bench.model.parameters(), 1e-4)
            bench.optimizer.step()
    assert observer.step == 3
    assert max(float(p.grad.abs().max()) for p in bench.model.parameters()) <= 1e-4
    assert recorded.failed_probes == ["findings"]
