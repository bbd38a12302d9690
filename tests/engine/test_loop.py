"""The training loop does what a careful reader of the config would expect."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from sgdb_engine.config import RunConfig, parse_config
from sgdb_engine.loop import batch_size, plan, train_workload, validate
from sgdb_engine.observe.hooks import observe
from sgdb_engine.workload import Workload, build

TEXT = """
[run]
device = "cpu"
[data]
name = "spirals"
points = 50
validation = 0.2
[model]
name = "mlp"
width = 8
[[loss]]
name = "cross_entropy"
[optimizer]
name = "sgd"
lr = 0.1
[train]
epochs = 2
batch_size = 16
"""


class Silent:
    """In place of a recorder."""

    def __init__(self) -> None:
        self.rows: list[dict[str, Any]] = []

    def scalars(self, columns: Any, step: int, wall: float, monotonic: float, values: Any) -> None:
        self.rows.append({"step": step, **dict(zip(columns, values, strict=True))})

    def block(self, columns: tuple[str, ...], rows: Any, wall: float, monotonic: float) -> None:
        for step, moment, *values in rows:
            self.scalars(columns, step, moment + wall, moment + monotonic, values)

    def tensors(self, *_: Any) -> None: ...

    def picture(self, *_: Any) -> None: ...

    def event(self, event: Any) -> None:
        raise AssertionError(event)


def config_of(*overrides: str, text: str = TEXT) -> RunConfig:
    return parse_config(text, origin="run.toml", overrides=overrides)


class Trained:
    """A training that has run to its end."""

    def __init__(self, config: RunConfig, workload: Workload | None = None) -> None:
        self.recorder: Any = Silent()
        self.epochs: list[tuple[int, int]] = []
        self.validations: list[dict[str, float]] = []
        self.workload = workload or build(config, Path())
        with observe(self.recorder) as observer:
            train_workload(
                self.workload,
                config.train,
                observer,
                epoch_ended=lambda epoch: self.epochs.append((epoch, observer.step)),
                validated=self.validations.append,
            )
        self.steps = observer.step

    def column(self, name: str) -> list[float]:
        return [row[name] for row in self.recorder.rows if name in row]


def test_an_epoch_sees_every_batch_once_and_is_followed_by_a_validation() -> None:
    trained = Trained(config_of())
    assert trained.steps == 2 * 3
    assert trained.epochs == [(1, 3), (2, 6)]
    assert [set(metrics) for metrics in trained.validations] == [{"val/loss", "val/accuracy"}] * 2
    assert trained.column("val/loss") == [metrics["val/loss"] for metrics in trained.validations]


@pytest.mark.parametrize(("steps", "epochs"), [(1, 0), (3, 1), (4, 1), (7, 2)])
def test_a_number_of_steps_is_met_exactly_and_only_whole_epochs_are_told(steps: int, epochs: int) -> None:
    trained = Trained(config_of(text=TEXT.replace("epochs = 2", f"steps = {steps}")))
    assert trained.steps == steps
    assert [epoch for epoch, _ in trained.epochs] == list(range(1, epochs + 1))
    assert len(trained.validations) == -(-steps // 3)


@pytest.mark.parametrize(("accumulate", "steps"), [(1, 3), (2, 2), (3, 1), (5, 1)])
def test_accumulation_makes_fewer_steps_and_the_last_may_have_fewer_batches(
    accumulate: int, steps: int
) -> None:
    config = config_of(f"train.accumulate={accumulate}", "train.epochs=1")
    trained = Trained(config)
    assert trained.steps == steps == plan(trained.workload, config.train).steps


def make(
    loss: Callable[..., torch.Tensor], batches: list[Any], val: list[Any] | None = None, **more: Any
) -> Workload:
    torch.manual_seed(0)
    model = nn.Linear(2, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    return Workload(model=model, optimizer=optimizer, loss=loss, train=batches, val=val, **more)


def test_accumulated_batches_of_one_size_make_the_step_of_one_large_batch() -> None:
    x, y = torch.randn(8, 2), torch.randn(8, 1)
    whole = Trained(config_of("train.epochs=1"), make(nn.functional.mse_loss, [(x, y)]))
    parts = [(x[i : i + 2], y[i : i + 2]) for i in range(0, 8, 2)]
    accumulated = Trained(
        config_of("train.epochs=1", "train.accumulate=4"), make(nn.functional.mse_loss, parts)
    )
    assert accumulated.steps == whole.steps == 1
    assert accumulated.column("train/loss") == pytest.approx(whole.column("train/loss"))
    for a, b in zip(whole.workload.model.parameters(), accumulated.workload.model.parameters(), strict=True):
        torch.testing.assert_close(a, b)


class Terms:
    """Two terms, as of a config with two [[loss]] tables."""

    def __init__(self) -> None:
        self.terms: dict[str, torch.Tensor] = {}

    def __call__(self, output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        self.terms = {
            "mse": (output - target).square().mean().detach(),
            "l1": (output - target).abs().mean().detach(),
        }
        return (output - target).square().mean() + 0.5 * (output - target).abs().mean()


def test_the_terms_of_a_loss_are_means_over_the_accumulated_batches_and_add_up() -> None:
    x, y = torch.randn(6, 2), torch.randn(6, 1)
    parts = [(x[i : i + 2], y[i : i + 2]) for i in range(0, 6, 2)]
    trained = Trained(config_of("train.epochs=1", "train.accumulate=3"), make(Terms(), parts))
    (mse,), (l1,), (loss,) = (trained.column(f"train/{name}") for name in ("mse", "l1", "loss"))
    assert loss == pytest.approx(mse + 0.5 * l1, rel=1e-5)


def test_a_validation_weighs_its_batches_by_their_rows_and_takes_no_gradient() -> None:
    x, y = torch.randn(7, 2), torch.randn(7, 1)
    workload = make(nn.functional.mse_loss, [(x, y)], val=[(x[:5], y[:5]), (x[5:], y[5:])])
    metrics = validate(workload, config_of().train)
    expected = nn.functional.mse_loss(workload.model(x), y).item()
    assert metrics == pytest.approx({"val/loss": expected})
    assert all(p.grad is None for p in workload.model.parameters())
    assert not workload.model.training


def test_every_epoch_trains_in_train_mode() -> None:
    modes: list[bool] = []

    class Noting(nn.Linear):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            modes.append(self.training)
            return super().forward(x)

    batch = (torch.randn(4, 2), torch.randn(4, 1))
    model = Noting(2, 1)
    workload = Workload(
        model=model,
        optimizer=torch.optim.SGD(model.parameters(), lr=0.1),
        loss=nn.functional.mse_loss,
        train=[batch],
        val=[batch],
    )
    Trained(config_of("train.epochs=3"), workload)
    assert modes == [True, False] * 3


def test_the_gradient_is_clipped_and_the_schedule_stepped_once_a_step() -> None:
    config = config_of("train.clip_norm=0.01", "schedule.name=cosine", "schedule.warmup_steps=2")
    trained = Trained(config)
    assert max(trained.column("clip_coef")) < 1
    assert min(trained.column("grad_norm")) > 0.01
    rates = trained.column("lr")
    assert rates[:2] == pytest.approx([0.05, 0.1])
    assert len(set(rates)) == len(rates) or rates[1] == pytest.approx(rates[2])


def test_a_workload_with_a_step_of_its_own_needs_no_loss() -> None:
    model = nn.Linear(2, 1)
    workload = Workload(
        model=model,
        optimizer=torch.optim.SGD(model.parameters(), lr=0.1),
        step=lambda net, batch: net(batch["x"]).square().mean(),
        train=[{"x": torch.randn(3, 2)}],
        val=[{"x": torch.randn(3, 2)}],
    )
    trained = Trained(config_of(), workload)
    assert trained.steps == 2
    assert set(trained.validations[0]) == {"val/loss"}


def test_bf16_computes_the_model_in_bfloat16_and_keeps_the_weights_in_float32() -> None:
    seen: list[torch.dtype] = []

    def loss(output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        seen.append(output.dtype)
        return nn.functional.mse_loss(output, target)

    workload = make(loss, [(torch.randn(4, 2), torch.randn(4, 1))])
    Trained(config_of('train.precision="bf16"', "train.epochs=1"), workload)
    assert seen == [torch.bfloat16]
    assert next(workload.model.parameters()).dtype == torch.float32


@pytest.mark.parametrize(
    ("batch", "rows"),
    [
        (torch.zeros(5, 2), 5),
        ((torch.zeros(3), torch.zeros(9)), 3),
        ({"x": torch.zeros(4, 1)}, 4),
        ([[torch.zeros(6)]], 6),
        (torch.tensor(1.0), 1),
        ("text", 1),
        ((), 1),
    ],
)
def test_the_rows_of_a_batch_are_those_of_its_first_tensor(batch: Any, rows: int) -> None:
    assert batch_size(batch) == rows


def test_accumulation_tells_the_gradient_noise_scale() -> None:
    x = torch.randn(64, 2, generator=torch.Generator().manual_seed(0))
    y = 5 * x.sum(1, keepdim=True)
    x[:8] *= 1.3  # the gradient of the first batch is longer than that of all
    parts = [(x[i : i + 8], y[i : i + 8]) for i in range(0, 64, 8)]
    workload = make(nn.functional.mse_loss, parts)
    squares = []
    for count in (8, 64):
        workload.model.zero_grad()
        nn.functional.mse_loss(workload.model(x[:count]), y[:count]).backward()
        squares.append(
            sum(float(p.grad.square().sum()) for p in workload.model.parameters() if p.grad is not None)
        )
    workload.model.zero_grad()
    small, big = squares
    expected = (small - big) / (1 / 8 - 1 / 64) / ((64 * big - 8 * small) / (64 - 8))
    trained = Trained(config_of("train.epochs=3", "train.accumulate=8"), workload)
    assert trained.column("grad_noise_scale") == pytest.approx([expected], rel=1e-3, nan_ok=True)
    alone = Trained(config_of("train.epochs=1"), make(nn.functional.mse_loss, parts))
    assert alone.column("grad_noise_scale") == []


def test_accumulation_gives_the_gradient_of_the_large_batch_to_the_last_digits_of_float64() -> None:
    """The course: one after the other with the least memory, or all in parallel; compared by norm."""
    x = torch.randn(32, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    y = x.prod(1, keepdim=True)
    moved = []
    for batches, accumulate in (([(x, y)], 1), ([(x[i : i + 4], y[i : i + 4]) for i in range(0, 32, 4)], 8)):
        workload = make(nn.functional.mse_loss, batches)
        workload.model.double()
        start = torch.cat([p.detach().flatten().clone() for p in workload.model.parameters()])
        Trained(config_of("train.epochs=1", f"train.accumulate={accumulate}"), workload)
        moved.append(torch.cat([p.detach().flatten() for p in workload.model.parameters()]) - start)
    assert float((moved[0] - moved[1]).norm() / moved[0].norm()) < 1e-12


def test_a_noise_scale_that_cannot_be_measured_does_not_end_the_training(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    told: list[Any] = []
    monkeypatch.setattr(Silent, "event", lambda _, event: told.append(event))
    monkeypatch.setattr("sgdb_engine.noise_scale.norm_of", lambda gradients: 1 / 0)
    trained = Trained(config_of("train.epochs=1", "train.accumulate=2"))
    assert trained.steps == 2
    assert [event.probe for event in told] == ["noise scale"]
    assert trained.column("grad_noise_scale") == []


def test_the_noise_scale_of_sparse_gradients_is_that_of_dense_ones() -> None:
    found = []
    for sparse in (True, False):
        torch.manual_seed(0)
        model = nn.Sequential(nn.Embedding(5, 1, sparse=sparse), nn.Flatten())
        parts = [(torch.tensor([[0], [0], [1], [1]]), torch.tensor([[9.0], [9], [9], [x]])) for x in (-9, 9)]
        workload = Workload(
            model=model,
            optimizer=torch.optim.SGD(model.parameters(), lr=0.1),
            loss=nn.functional.mse_loss,
            train=parts[::-1],
        )
        trained = Trained(config_of("train.epochs=1", "train.accumulate=2"), workload)
        found += trained.column("grad_noise_scale")
    assert found[0] > 0
    assert found[0] == pytest.approx(found[1])
