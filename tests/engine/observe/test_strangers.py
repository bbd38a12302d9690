"""The ways in which people train: each is observed rightly, or it is said what is not."""

import functools
import math
import threading
import warnings
from collections.abc import Iterator
from typing import Any

import cloudpickle
import pytest
import torch
import torch.nn.functional as F
import torch.utils.checkpoint
from torch import nn
from torch.utils.data import DataLoader, IterableDataset, TensorDataset

from sgdb_engine.events import RunDescribed
from sgdb_engine.observe.hooks import observe
from sgdb_engine.observe.told import Told

from .conftest import Bench, Net


class Heard:
    """Is told all that there is to say."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        self.described: list[RunDescribed] = []
        self.epochs: list[int] = []
        self.validated: list[dict[str, float]] = []
        self.told = Told(
            noted=self.notes.append,
            described=self.described.append,
            epoch_ended=self.epochs.append,
            validated=self.validated.append,
        )


@pytest.fixture
def heard() -> Heard:
    return Heard()


def norm_of(parameters: Any) -> float:
    return math.sqrt(sum(p.grad.double().square().sum().item() for p in parameters if p.grad is not None))


def rows_with(recorded: Any, column: str) -> list[dict[str, float]]:
    return [row for row in recorded.rows if column in row]


# -- scaled losses ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("fused", [False, True])
@pytest.mark.parametrize("clip", [False, True])
def test_losses_and_gradients_under_a_grad_scaler_are_the_unscaled_ones(
    fused: bool, clip: bool, recorded: Any, bench: Bench
) -> None:
    bench.optimizer = torch.optim.AdamW(bench.model.parameters(), lr=0.01, fused=fused)  # type: ignore[assignment]
    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
    losses, norms = [], []
    with observe(recorded, budget=1.0):
        for _ in range(4):
            bench.optimizer.zero_grad()
            loss = bench.loss()
            losses.append(loss.item())
            scaler.scale(loss).backward()
            norms.append(norm_of(bench.model.parameters()) / scaler.get_scale())
            if clip:
                scaler.unscale_(bench.optimizer)
                torch.nn.utils.clip_grad_norm_(bench.model.parameters(), 0.01)
            scaler.step(bench.optimizer)
            scaler.update()
    assert recorded.column("train/loss") == pytest.approx(losses)
    assert recorded.column("grad_norm") == pytest.approx(norms, rel=1e-5)
    assert recorded.column("amp/scale") == [1024.0] * 4
    if clip:
        assert recorded.column("clip_coef") == pytest.approx(
            [0.01 / (norm + 1e-6) for norm in norms], rel=1e-4
        )
    assert recorded.failed_probes == []


@pytest.mark.parametrize("fused", [False, True])
def test_a_step_that_the_scaler_leaves_out_is_no_step_and_its_loss_is_nobodys(
    fused: bool, recorded: Any, bench: Bench
) -> None:
    bench.optimizer = torch.optim.AdamW(bench.model.parameters(), lr=0.01, fused=fused)  # type: ignore[assignment]
    scaler = torch.amp.GradScaler("cpu", init_scale=4.0)
    losses = []
    with observe(recorded, budget=1.0) as observer:
        for i in range(4):
            bench.optimizer.zero_grad()
            loss = bench.loss() * (math.inf if i == 1 else 1.0)
            losses.append(loss.item())
            scaler.scale(loss).backward()
            scaler.step(bench.optimizer)
            scaler.update()
    assert observer.step == 3
    assert recorded.column("train/loss") == pytest.approx([losses[0], losses[2], losses[3]])
    assert recorded.column("amp/skipped") == [1.0]
    assert [row["amp/scale"] for row in rows_with(recorded, "train/loss")] == [4.0, 2.0, 2.0]


def test_a_scaler_that_is_switched_off_changes_nothing(recorded: Any, bench: Bench) -> None:
    scaler = torch.amp.GradScaler("cpu", enabled=False)
    expected = bench.loss().item()
    with observe(recorded, budget=1.0):
        scaler.scale(bench.loss()).backward()
        scaler.step(bench.optimizer)
        scaler.update()
    assert recorded.column("train/loss") == [expected]
    assert recorded.column("amp/scale") == []


def test_autocast_without_a_scaler_is_seen_as_it_is(recorded: Any, bench: Bench) -> None:
    with observe(recorded, budget=1.0):
        for _ in range(2):
            bench.optimizer.zero_grad()
            with torch.autocast("cpu", dtype=torch.bfloat16):
                loss = bench.loss()
            loss.backward()
            expected = norm_of(bench.model.parameters())
            bench.optimizer.step()
    assert recorded.rows[-1]["train/loss"] == loss.item()
    assert recorded.rows[-1]["grad_norm"] == pytest.approx(expected, rel=1e-5)


# -- clipping ---------------------------------------------------------------------------------------------


def test_the_gradient_norm_is_the_one_before_a_clip_by_value(recorded: Any, bench: Bench) -> None:
    with observe(recorded, budget=1.0):
        for _ in range(2):
            bench.optimizer.zero_grad()
            bench.loss().backward()
            expected = norm_of(bench.model.parameters())
            torch.nn.utils.clip_grad_value_(bench.model.parameters(), 1e-3)
            bench.optimizer.step()
    assert recorded.rows[-1]["grad_norm"] == pytest.approx(expected, rel=1e-5)


def test_clipping_with_a_norm_that_was_computed_before_is_seen(recorded: Any, bench: Bench) -> None:
    with observe(recorded, budget=0.0):
        for _ in range(2):
            bench.optimizer.zero_grad()
            bench.loss().backward()
            expected = norm_of(bench.model.parameters())
            gradients = [p.grad for p in bench.model.parameters() if p.grad is not None]
            norm = torch.nn.utils.get_total_norm(gradients)
            torch.nn.utils.clip_grads_with_norm_(bench.model.parameters(), 0.1, norm)
            bench.optimizer.step()
    assert recorded.rows[-1]["grad_norm"] == pytest.approx(expected, rel=1e-5)
    assert recorded.rows[-1]["clip_coef"] == pytest.approx(0.1 / (expected + 1e-6), rel=1e-4)


def test_a_clip_function_that_was_imported_before_is_seen_all_the_same(recorded: Any, bench: Bench) -> None:
    clip = torch.nn.utils.clip_grad_norm_
    with observe(recorded, budget=0.0):
        bench.loss().backward()
        expected = norm_of(bench.model.parameters())
        clip(bench.model.parameters(), 0.1)
        bench.optimizer.step()
    assert recorded.rows[0]["grad_norm"] == pytest.approx(expected, rel=1e-5)


def test_a_warning_blames_the_line_of_the_user(recorded: Any, bench: Bench, heard: Heard) -> None:
    def train() -> None:
        bench.step(2)
        bench.model.eval()
        with torch.no_grad():
            F.mse_loss(bench.model(bench.x), torch.ones(5))
        bench.model.train()
        F.mse_loss(bench.model(bench.x), torch.ones(5)).backward()
        torch.nn.utils.clip_grad_norm_((p for p in []), 1.0)

    with observe(recorded, told=heard.told), warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        train()
    assert {warning.filename for warning in caught} == {__file__}
    assert len(caught) == 3


@pytest.mark.filterwarnings("error")
def test_clipping_nothing_warns_as_without_us(recorded: Any) -> None:
    with observe(recorded), pytest.warns(UserWarning, match="empty generator"):
        torch.nn.utils.clip_grad_norm_((p for p in []), 1.0)


# -- several optimizers -----------------------------------------------------------------------------------


class Generator(nn.Sequential):
    pass


class Discriminator(nn.Sequential):
    pass


def test_the_two_optimizers_of_a_gan_have_values_of_their_own(recorded: Any, heard: Heard) -> None:
    with observe(recorded, budget=1.0, told=heard.told) as observer:
        netG, netD = Generator(nn.Linear(2, 3)), Discriminator(nn.Linear(3, 1))  # noqa: N806
        of_d, of_g = torch.optim.SGD(netD.parameters(), lr=0.1), torch.optim.Adam(netG.parameters(), lr=0.2)
        for _ in range(3):
            of_d.zero_grad()
            real = F.softplus(-netD(torch.randn(4, 3))).mean()
            real.backward()
            made = netG(torch.randn(4, 2))
            false = F.softplus(netD(made.detach())).mean()
            false.backward()
            of_d.step()
            of_g.zero_grad()
            fooled = F.softplus(-netD(made)).mean()
            fooled.backward()
            norm = norm_of(netG.parameters())
            of_g.step()
        observer.flush()
    assert observer.step == 3
    rows = rows_with(recorded, "train/loss")
    assert [row["netD.train/loss"] for row in rows[1:]] == [row["train/loss"] for row in rows[1:]]
    assert rows[-1]["netD.train/loss"] == pytest.approx((real + false).item())
    last = rows_with(recorded, "netG.grad_norm")[-1]
    assert (rows[-1]["netD.lr"], last["netG.lr"]) == (0.1, 0.2)
    assert last["netG.train/loss"] == pytest.approx(fooled.item())
    assert last["netG.grad_norm"] == pytest.approx(norm, rel=1e-5)
    tensors = {name for row in recorded.tensor_rows.values() for name in row if name.startswith("grad_norm/")}
    assert {"grad_norm/netD.0.weight", "grad_norm/netG.0.weight"} <= tensors
    assert {name for shape in heard.described[-1].tensors for name in [shape.name]} == {
        "netD.0.weight", "netD.0.bias", "netG.0.weight", "netG.0.bias",
    }  # fmt: skip
    assert recorded.failed_probes == []


def test_two_optimizers_on_the_same_gradients_share_their_loss(recorded: Any) -> None:
    with observe(recorded, budget=1.0) as observer:
        model = Net()
        encoder = torch.optim.SGD(model.hidden.parameters(), lr=0.1)
        decoder = torch.optim.AdamW(model.out.parameters(), lr=0.2)
        for _ in range(3):
            encoder.zero_grad()
            decoder.zero_grad()
            loss = model(torch.randn(4, 3)).square().mean()
            loss.backward()
            norms = norm_of(model.hidden.parameters()), norm_of(model.out.parameters())
            encoder.step()
            decoder.step()
    assert observer.step == 3
    last = rows_with(recorded, "SGD.train/loss")[-1] | rows_with(recorded, "AdamW.train/loss")[-1]
    assert last["SGD.train/loss"] == last["AdamW.train/loss"] == pytest.approx(loss.item())
    assert (last["SGD.grad_norm"], last["AdamW.grad_norm"]) == pytest.approx(norms, rel=1e-5)
    assert "grad_norm/hidden.weight" in recorded.tensor_rows[2]


def test_the_more_frequent_of_two_optimizers_makes_the_steps(recorded: Any) -> None:
    with observe(recorded, budget=1.0) as observer:
        critic, actor = nn.Linear(2, 1), nn.Linear(2, 1)
        rare = torch.optim.SGD(actor.parameters(), lr=0.1)
        often = torch.optim.SGD(critic.parameters(), lr=0.1)
        for _ in range(4):
            actor(torch.randn(3, 2)).mean().backward()
            rare.step()
            for _ in range(5):
                critic(torch.randn(3, 2)).mean().backward()
                often.step()
    assert observer.trainees.leader.name == "critic"
    assert observer.step >= 4 * 5 - 1


def test_two_trainings_one_after_the_other_are_told_apart(recorded: Any, heard: Heard) -> None:
    with observe(recorded, told=heard.told) as observer:
        for count in (60, 30):
            bench = Bench(nn.Sequential(nn.Linear(3, count), nn.Linear(count, 1)))
            bench.step(count)
            del bench
    assert observer.step == 90
    assert recorded.column("step") == list(range(1, 91))
    assert heard.described[0].parameters == 3 * 60 + 60 + 60 + 1
    assert heard.described[-1].parameters == 3 * 30 + 30 + 30 + 1
    assert [
        note.startswith("Another training begins after step 60: SGD on model") for note in heard.notes
    ] == [True]


def test_the_model_of_an_ended_training_is_not_kept_alive(recorded: Any) -> None:
    with observe(recorded, budget=1.0):
        bench = Bench()
        bench.step(3)
        import weakref

        gone = weakref.ref(bench.model), weakref.ref(bench.optimizer)
        del bench
        other = Bench()
        other.step(3)
        assert [reference() for reference in gone] == [None, None]


# -- weights that are moved by hand -----------------------------------------------------------------------


def by_hand(model: nn.Module, lr: float) -> None:
    for p in model.parameters():
        assert p.grad is not None
        p.data.add_(p.grad, alpha=-lr)


def test_updates_by_hand_are_counted_and_their_learning_rate_is_measured(
    recorded: Any, bench: Bench, heard: Heard
) -> None:
    losses = []
    held = []
    with observe(recorded, budget=1.0, told=heard.told, safe_point=held.append) as observer:
        for _ in range(5):
            bench.model.zero_grad()
            loss = bench.loss()
            losses.append(loss.item())
            loss.backward()
            by_hand(bench.model, 0.25)
    assert observer.step == 5, "the last one is seen at the end"
    assert recorded.column("train/loss") == losses
    assert recorded.column("lr") == pytest.approx([0.25] * 5, rel=1e-3)
    assert held == [1, 2, 3, 4]
    assert recorded.tensor_rows[3]["update_ratio/out.weight"] > 0
    assert recorded.tensor_rows[3]["grad_norm/out.weight"] > 0
    assert any("No optimizer of PyTorch's is used" in note for note in heard.notes)
    assert any("learning rate is measured" in note for note in heard.notes)


def test_the_learning_rate_is_that_of_the_clipped_gradient(recorded: Any, bench: Bench) -> None:
    with observe(recorded, budget=1.0):
        for _ in range(4):
            bench.model.zero_grad()
            bench.loss().backward()
            torch.nn.utils.clip_grad_norm_(bench.model.parameters(), 0.01)
            by_hand(bench.model, 20.0)
    assert recorded.column("lr") == pytest.approx([20.0] * 4, rel=1e-3)


def test_accumulated_gradients_are_one_update_by_hand(recorded: Any, bench: Bench) -> None:
    with observe(recorded, budget=1.0) as observer:
        for _ in range(3):
            bench.model.zero_grad()
            first, second = bench.loss(), bench.loss() * 2
            first.backward()
            second.backward()
            expected, norm = (first + second).item(), norm_of(bench.model.parameters())
            by_hand(bench.model, 0.1)
    assert observer.step == 3
    assert recorded.rows[-1]["train/loss"] == pytest.approx(expected)
    assert recorded.rows[-1]["grad_norm"] == pytest.approx(norm, rel=1e-5)


class Momentum:
    """An optimizer that is none of PyTorch's."""

    def __init__(self, parameters: Iterator[nn.Parameter]) -> None:
        self.parameters = list(parameters)
        self.speeds = [torch.zeros_like(p) for p in self.parameters]

    @torch.no_grad()
    def step(self) -> None:
        for p, speed in zip(self.parameters, self.speeds, strict=True):
            assert p.grad is not None
            speed.mul_(0.9).add_(p.grad)
            p.sub_(0.1 * speed)


def test_an_optimizer_that_is_none_of_pytorchs_is_seen_but_has_no_learning_rate_to_measure(
    recorded: Any, bench: Bench
) -> None:
    optimizer = Momentum(bench.model.parameters())
    with observe(recorded, budget=1.0) as observer:
        for _ in range(5):
            bench.model.zero_grad()
            bench.loss().backward()
            optimizer.step()
    assert observer.step == 5
    assert len(recorded.column("train/loss")) == 5
    assert len(recorded.column("lr")) <= 1, "the first step of momentum is plain descent"


def test_tensors_without_any_module_are_trained(recorded: Any) -> None:
    w = torch.zeros(3, requires_grad=True)
    x, y = torch.randn(20, 3), torch.randn(20)
    with observe(recorded, budget=1.0) as observer:
        for _ in range(4):
            loss = (x @ w - y).square().mean()
            loss.backward()
            with torch.no_grad():
                w -= 0.1 * w.grad  # type: ignore[operator]
            w.grad = None
    assert observer.step == 4
    assert recorded.column("lr") == pytest.approx([0.1] * 4, rel=1e-3)
    assert "grad_norm/param.0" in recorded.tensor_rows[2]


def test_a_backward_without_an_update_is_no_step(recorded: Any, bench: Bench) -> None:
    with observe(recorded) as observer:
        for _ in range(3):
            bench.loss().backward()
    assert observer.step == 0


# -- optimizers that step in unusual places ---------------------------------------------------------------


def test_optimizers_that_step_within_backward_are_one_update_and_what_is_not_measured_is_said(
    recorded: Any, bench: Bench, heard: Heard
) -> None:
    optimizers = {p: torch.optim.SGD([p], lr=0.1) for p in bench.model.parameters()}

    def step(p: torch.Tensor) -> None:
        optimizers[p].step()  # type: ignore[index]
        optimizers[p].zero_grad()  # type: ignore[index]

    for p in bench.model.parameters():
        p.register_post_accumulate_grad_hook(step)
    losses = []
    with observe(recorded, budget=1.0, told=heard.told) as observer:
        for _ in range(3):
            loss = bench.loss()
            losses.append(loss.item())
            loss.backward()
    assert observer.step == 3
    assert recorded.column("train/loss") == losses
    assert recorded.column("lr") == [0.1] * 3
    assert any("Optimizers step within backward" in note for note in heard.notes)
    assert recorded.failed_probes == []


def test_gradients_that_no_backward_made_train_without_a_loss(recorded: Any, bench: Bench) -> None:
    with observe(recorded, budget=1.0) as observer:
        for _ in range(3):
            parameters = list(bench.model.parameters())
            for p, gradient in zip(parameters, torch.autograd.grad(bench.loss(), parameters), strict=True):
                p.grad = gradient
            bench.optimizer.step()
    assert observer.step == 3
    assert recorded.column("train/loss") == []
    assert len(recorded.column("grad_norm")) == 3


def test_the_loss_of_lbfgs_is_that_of_the_first_evaluation_of_each_step(recorded: Any, bench: Bench) -> None:
    optimizer = torch.optim.LBFGS(bench.model.parameters(), lr=0.1, max_iter=3)
    firsts: list[float] = []

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        loss = bench.loss()
        if new[0]:
            firsts.append(loss.item())
            new[0] = False
        loss.backward()
        return loss

    new = [True]
    with observe(recorded, budget=1.0):
        for _ in range(3):
            new[0] = True
            optimizer.step(closure)
    assert recorded.column("train/loss") == pytest.approx(firsts)


# -- schedulers, epochs, loaders --------------------------------------------------------------------------


@pytest.mark.parametrize("per", ["step", "epoch"])
def test_the_learning_rate_is_the_one_that_the_update_used(per: str, recorded: Any, bench: Bench) -> None:
    scheduler = torch.optim.lr_scheduler.StepLR(bench.optimizer, step_size=1, gamma=0.5)
    with observe(recorded):
        for _ in range(2):
            for _ in range(2):
                bench.step()
                if per == "step":
                    scheduler.step()
            if per == "epoch":
                scheduler.step()
    expected = [0.1, 0.05, 0.025, 0.0125] if per == "step" else [0.1, 0.1, 0.05, 0.05]
    assert recorded.column("lr") == pytest.approx(expected)


def epoch_loop(bench: Bench, loader: Any, val: Any = None) -> float:
    """One epoch, and a validation after it; returns its mean loss."""
    bench.model.train()
    for x, y in loader:
        bench.optimizer.zero_grad()
        F.mse_loss(bench.model(x), y).backward()
        bench.optimizer.step()
    if val is None:
        return math.nan
    bench.model.eval()
    total = rows = 0.0
    with torch.no_grad():
        for x, y in val:
            total += F.mse_loss(bench.model(x), y).item() * len(x)
            rows += len(x)
    return total / rows


def data(rows: int) -> TensorDataset:
    return TensorDataset(torch.randn(rows, 3), torch.randn(rows, 1))


def test_epochs_are_passes_over_the_training_data_and_the_validation_loss_is_seen(
    recorded: Any, bench: Bench, heard: Heard
) -> None:
    train, val = DataLoader(data(10), 4, shuffle=True), DataLoader(data(7), 3)
    with observe(recorded, told=heard.told):
        expected = [epoch_loop(bench, train, val) for _ in range(3)]
    assert heard.epochs == [1, 2, 3]
    assert [metrics["val/loss"] for metrics in heard.validated] == pytest.approx(expected, rel=1e-5)
    assert [(row["step"], row["val/loss"]) for row in rows_with(recorded, "val/loss")] == [
        (3 * (i + 1), pytest.approx(loss, rel=1e-5)) for i, loss in enumerate(expected)
    ]


def test_who_knows_how_many_batches_there_are_never_asks_for_one_more(
    recorded: Any, bench: Bench, heard: Heard
) -> None:
    train, val = DataLoader(data(12), 4), DataLoader(data(4), 4)
    with observe(recorded, told=heard.told) as observer:
        steps_at_end = []
        for _ in range(3):
            batches = iter(train)
            epoch_loop(bench, [next(batches) for _ in range(len(train))])
            steps_at_end.append(observer.step)
            x, _ = next(iter(val))
            with torch.no_grad():
                bench.model(x)
    assert heard.epochs == [1, 2, 3]
    assert steps_at_end == [3, 6, 9]


def test_an_evaluation_on_the_training_data_is_not_taken_for_a_validation(
    recorded: Any, bench: Bench, heard: Heard
) -> None:
    train, val = DataLoader(data(8), 4), DataLoader(data(6), 3)
    with observe(recorded, told=heard.told):
        for _ in range(2):
            epoch_loop(bench, train)
            epoch_loop(Bench(), [])
            bench.model.eval()
            with torch.no_grad():
                for x, y in train:
                    F.mse_loss(bench.model(x), y)
            expected = epoch_loop(bench, [], val)
    assert heard.validated[-1]["val/loss"] == pytest.approx(expected, rel=1e-5)


def test_a_validation_with_gradients_left_on_is_one_all_the_same(
    recorded: Any, bench: Bench, heard: Heard
) -> None:
    x, y = torch.randn(6, 3), torch.randn(6, 1)
    with observe(recorded, told=heard.told):
        for _ in range(2):
            bench.model.train()
            bench.step(2)
            bench.model.eval()
            expected = F.mse_loss(bench.model(x), y).item()
    assert [metrics["val/loss"] for metrics in heard.validated][-1] == pytest.approx(expected)
    assert len(heard.validated) == 2


def test_training_in_eval_mode_is_no_validation(recorded: Any, bench: Bench, heard: Heard) -> None:
    bench.model.eval()
    with observe(recorded, told=heard.told):
        bench.step(5)
    assert heard.validated == []
    assert len(recorded.column("train/loss")) == 5


def test_the_terms_of_a_validation_loss_are_summed(recorded: Any, bench: Bench, heard: Heard) -> None:
    x, y = torch.randn(6, 3), torch.randn(6, 1)
    with observe(recorded, told=heard.told):
        bench.step(2)
        bench.model.eval()
        with torch.no_grad():
            for part in (slice(0, 4), slice(4, 6)):
                output = bench.model(x[part])
                F.mse_loss(output, y[part])
                F.l1_loss(output, y[part])
            whole = F.mse_loss(bench.model(x), y)
    with torch.no_grad():
        expected = F.mse_loss(bench.model(x), y) + F.l1_loss(bench.model(x), y)
    assert whole < expected
    assert heard.validated[0]["val/loss"] == pytest.approx(expected.item(), rel=0.35)


def test_a_loss_that_is_computed_inside_the_model_is_seen(recorded: Any, heard: Heard) -> None:
    class WithLoss(Net):
        def forward(self, x: torch.Tensor, y: torch.Tensor) -> Any:  # type: ignore[override]
            output = super().forward(x)
            return output, F.mse_loss(output, y)

    x, y = torch.randn(6, 3), torch.randn(6, 1)
    with observe(recorded, told=heard.told):
        model = WithLoss()
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        for _ in range(2):
            model.train()
            for _ in range(2):
                optimizer.zero_grad()
                loss = model(x, y)[1]
                loss.backward()
                optimizer.step()
            model.eval()
            with torch.no_grad():
                expected = model(x, y)[1].item()
    assert recorded.column("train/loss")[-1] == loss.item()
    assert heard.validated[-1]["val/loss"] == pytest.approx(expected)
    assert {"input.0/mean", "input.1/mean", "output.0/mean", "output.1/mean"} <= set(recorded.rows[0])


def test_a_measure_that_is_taken_without_gradients_in_each_step_is_no_validation(
    recorded: Any, bench: Bench, heard: Heard
) -> None:
    with observe(recorded, told=heard.told):
        for _ in range(5):
            bench.step()
            with torch.no_grad():
                F.l1_loss(bench.y, bench.y + 1)
    assert heard.validated == []


class Endless(IterableDataset[Any]):
    def __iter__(self) -> Iterator[Any]:
        while True:
            yield torch.randn(3), torch.randn(1)


def test_an_iterable_dataset_has_no_epochs_until_it_ends(recorded: Any, bench: Bench, heard: Heard) -> None:
    with observe(recorded, told=heard.told) as observer:
        for x, y in DataLoader(Endless(), batch_size=4):
            bench.optimizer.zero_grad()
            F.mse_loss(bench.model(x), y).backward()
            bench.optimizer.step()
            if observer.step == 5:
                break
    assert heard.epochs == []
    assert all(row["time/data"] > 0 for row in rows_with(recorded, "time/data"))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:This process")
@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_workers_of_every_start_method_are_waited_for_and_not_observed(
    method: str, recorded: Any, bench: Bench, heard: Heard
) -> None:
    loader = DataLoader(data(12), 4, num_workers=2, multiprocessing_context=method)
    with observe(recorded, told=heard.told):
        for _ in range(2):
            epoch_loop(bench, loader)
    assert recorded.column("step") == list(range(1, 7))
    assert heard.epochs == [1, 2]


class TrainsInWorker(TensorDataset):
    """Runs a model of its own for each item."""

    def __init__(self) -> None:
        super().__init__(torch.randn(8, 3))
        self.inner = Bench()

    def __getitem__(self, i: int) -> Any:
        self.inner.step()
        return super().__getitem__(i)[0], torch.zeros(1)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:This process")
def test_a_model_that_runs_inside_a_worker_is_not_observed(recorded: Any, bench: Bench) -> None:
    loader = DataLoader(TrainsInWorker(), 4, num_workers=1, multiprocessing_context="fork")
    with observe(recorded) as observer:
        epoch_loop(bench, loader)
    assert observer.step == 2


def test_batches_that_are_indexed_by_hand_need_no_loader(recorded: Any, bench: Bench, heard: Heard) -> None:
    x, y = torch.randn(20, 3), torch.randn(20, 1)
    with observe(recorded, budget=1.0, told=heard.told):
        for i in range(4):
            bench.optimizer.zero_grad(set_to_none=i % 2 == 0)
            part = torch.randperm(20)[:5]
            F.mse_loss(bench.model(x[part]), y[part]).backward()
            bench.optimizer.step()
    assert recorded.column("step") == [1, 2, 3, 4]
    assert heard.epochs == []


# -- parameters -------------------------------------------------------------------------------------------


def test_sparse_gradients_are_measured(recorded: Any) -> None:
    with observe(recorded, budget=1.0):
        model = nn.Sequential(nn.EmbeddingBag(50, 4, mode="sum", sparse=True), nn.Linear(4, 1))
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        for _ in range(2):
            optimizer.zero_grad()
            model(torch.tensor([[1, 2], [2, 3]])).sum().backward()
            expected = model[0].weight.grad.to_dense().norm().item()  # type: ignore[union-attr, operator]
            optimizer.step()
    assert recorded.tensor_rows[2]["grad_norm/0.weight"] == pytest.approx(expected, rel=1e-5)
    assert recorded.failed_probes == []


def test_parameters_that_are_created_at_the_first_call_are_measured_under_their_names(recorded: Any) -> None:
    class Growing(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first = nn.LazyLinear(4)
            self.second: nn.Module | None = None

        def forward(self, x: torch.Tensor) -> Any:
            return self.first(x) if self.second is None else self.second(self.first(x))

    with observe(recorded, budget=1.0):
        model = Growing()
        model(torch.randn(2, 3))
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        for i in range(4):
            if i == 2:
                model.second = nn.Linear(4, 1)
                optimizer.add_param_group({"params": model.second.parameters()})
            model(torch.randn(2, 3)).sum().backward()
            optimizer.step()
    assert "grad_norm/first.weight" in recorded.tensor_rows[1]
    assert "grad_norm/second.weight" in recorded.tensor_rows[4]


def test_a_model_that_is_built_twice_is_the_one_that_trains(recorded: Any, heard: Heard) -> None:
    with observe(recorded, budget=1.0, told=heard.told):
        model = Net()
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        model = Net()
        optimizer = torch.optim.SGD(model.parameters(), lr=0.2)
        for _ in range(3):
            model(torch.randn(4, 3)).mean().backward()
            optimizer.step()
    assert recorded.column("lr") == [0.2] * 3
    assert [shape.name for shape in heard.described[-1].tensors] == [n for n, _ in model.named_parameters()]


def test_a_method_other_than_forward_hides_the_inputs_but_not_the_names(recorded: Any, heard: Heard) -> None:
    class Unusual(Net):
        def training_loss(self, x: torch.Tensor) -> torch.Tensor:
            return self.forward(x).square().mean()

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.tanh(x @ self.hidden.weight.T).sum(1) * self.out.weight.sum()

    with observe(recorded, budget=1.0, told=heard.told):
        model = Unusual()
        optimizer = torch.optim.SGD([model.hidden.weight, model.out.weight], lr=0.1)
        for _ in range(5):
            model.training_loss(torch.randn(4, 3)).backward()
            optimizer.step()
    assert "grad_norm/hidden.weight" in recorded.tensor_rows[1]
    assert recorded.column("input/mean") == []
    assert any("never called" in note for note in heard.notes)


def test_parts_that_are_called_by_themselves_keep_the_names_of_their_owner(recorded: Any) -> None:
    class System(nn.Module):
        """As a LightningModule: its step calls parts of it, it is never called itself."""

        def __init__(self) -> None:
            super().__init__()
            self.encoder = nn.Linear(3, 2)
            self.decoder = nn.Linear(2, 3)

        def training_step(self, x: torch.Tensor) -> torch.Tensor:
            return F.mse_loss(self.decoder(self.encoder(x)), x)

    with observe(recorded, budget=1.0):
        system = System()
        optimizer = torch.optim.SGD(system.parameters(), lr=0.1)
        for _ in range(3):
            optimizer.zero_grad()
            system.training_step(torch.randn(4, 3)).backward()
            optimizer.step()
    names = [n.partition("/")[2] for n in recorded.tensor_rows[3] if n.startswith("grad_norm/")]
    assert names == ["encoder.weight", "encoder.bias", "decoder.weight", "decoder.bias"]
    columns = {name for row in recorded.rows for name in row}
    assert {"input/mean", "output/mean"} <= columns


def test_wrappers_are_no_part_of_a_name(recorded: Any) -> None:
    with observe(recorded, budget=1.0):
        model = nn.DataParallel(Net())
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        model(torch.randn(4, 3)).mean().backward()
        optimizer.step()
    assert "grad_norm/hidden.weight" in recorded.tensor_rows[1]


def test_activation_checkpointing_calls_the_model_once(recorded: Any) -> None:
    class Checkpointed(Net):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.utils.checkpoint.checkpoint(super().forward, x, use_reentrant=False)  # type: ignore[no-any-return]

    bench = Bench(Checkpointed())
    with observe(recorded, budget=1.0):
        bench.step(3)
    assert len(recorded.column("input/mean")) == 3
    assert recorded.column("step") == [1, 2, 3]


# -- what users do with their objects meanwhile -----------------------------------------------------------


def test_a_class_that_is_pickled_by_value_while_it_is_watched_works_elsewhere(recorded: Any) -> None:
    class Local(Net):
        """Has no importable name: cloudpickle takes the class itself, with all that is on it."""

    with observe(recorded, budget=1.0):
        bench = Bench(Local())
        bench.step(3)
        content = cloudpickle.dumps(bench.model)
    assert b"sgdb_engine.observe.observer" not in content
    copy = cloudpickle.loads(content)
    assert torch.equal(copy(bench.x), bench.model(bench.x))


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_torch_script_compiles_losses_while_a_training_is_observed(recorded: Any, heard: Heard) -> None:
    class Scripted(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = nn.Linear(3, 1)
            self.loss = nn.MSELoss()

        def forward(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
            return self.loss(self.inner(x), y) + F.l1_loss(self.inner(x), y)

    x, y = torch.randn(4, 3), torch.randn(4, 1)
    with observe(recorded, budget=1.0, told=heard.told):
        plain = Scripted()
        model = torch.jit.script(plain)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        for _ in range(2):
            optimizer.zero_grad()
            model(x, y).backward()
            optimizer.step()
    assert model(x, y) == plain(x, y)
    assert recorded.column("step") == [1, 2]
    assert recorded.failed_probes == []


def test_loss_functions_keep_their_names_and_signatures(recorded: Any, heard: Heard) -> None:
    import inspect

    plain = inspect.signature(F.cross_entropy)
    with observe(recorded, told=heard.told):
        assert F.cross_entropy.__name__ == "cross_entropy"
        assert inspect.signature(F.cross_entropy) == plain


def test_a_thread_that_trains_when_the_first_one_has_ended_is_observed_as_well(
    recorded: Any, bench: Bench
) -> None:
    with observe(recorded, any_thread=True) as observer:
        thread = threading.Thread(target=functools.partial(bench.step, 3))
        thread.start()
        thread.join()
        Bench().step(5)
    assert observer.step == 3 + 4, "the first one might have been another optimizer's"


def test_a_quick_training_has_every_step_too(recorded: Any, bench: Bench, heard: Heard) -> None:
    losses = []
    with observe(recorded, told=heard.told) as observer:
        for _ in range(300):
            losses.append(bench.loss().item())
            bench.step()
        assert observer.quick or observer.budget.step_s > 2e-3
    assert recorded.column("step") == list(range(1, 301))
    assert recorded.column("train/loss") == losses
    assert recorded.column("lr") == [0.1] * 300


@pytest.mark.parametrize("trained", ["mean", "sum"])
def test_a_validation_loss_that_is_summed_is_made_comparable_with_the_training_loss(
    trained: str, recorded: Any, bench: Bench, heard: Heard
) -> None:
    x, y = torch.randn(6, 3), torch.randn(6, 1)
    with observe(recorded, told=heard.told):
        for _ in range(3):
            bench.optimizer.zero_grad()
            F.mse_loss(bench.model(bench.x), bench.y, reduction=trained).backward()
            bench.optimizer.step()
        bench.model.eval()
        with torch.no_grad():
            parts = [
                F.mse_loss(bench.model(x[i]), y[i], reduction="sum").item()
                for i in (slice(0, 4), slice(4, 6))
            ]
    expected = sum(parts) / (6 if trained == "mean" else 2)
    assert heard.validated[0]["val/loss"] == pytest.approx(expected, rel=1e-5)


def test_another_optimizer_on_the_same_model_goes_on_with_its_training(recorded: Any, heard: Heard) -> None:
    with observe(recorded, told=heard.told) as observer:
        model = Net()
        for kind in (torch.optim.SGD, torch.optim.Adam):
            optimizer = kind(model.parameters(), lr=0.01)  # type: ignore[operator]
            for _ in range(60):
                optimizer.zero_grad()
                model(torch.randn(4, 3)).square().mean().backward()
                optimizer.step()
    assert observer.step == 120
    assert heard.notes == ["From step 61 on Adam trains model"]
