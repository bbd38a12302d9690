"""A training that was saved and restored goes on as if nothing had happened, to the last bit."""

import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.optim import lr_scheduler
from torch.optim.lr_scheduler import LRScheduler

from sgdb_engine.checkpoint import capture, load_checkpoint, restore, save_checkpoint
from sgdb_engine.errors import CheckpointError


class TiedModel(nn.Module):
    """BatchNorm (buffers), dropout (random numbers), and one weight that is used twice."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Linear(8, 16, bias=False)
        self.norm = nn.BatchNorm1d(16)
        self.body = nn.Sequential(nn.Linear(16, 16), nn.ReLU(), nn.Dropout(0.3))
        self.head = nn.Linear(16, 8, bias=False)
        self.head.weight = nn.Parameter(self.embed.weight.detach().T.contiguous())
        self.again = nn.Linear(16, 8, bias=False)
        self.again.weight = self.head.weight
        self.register_buffer("steps_seen", torch.tensor(0))
        self.register_buffer("nothing", torch.empty(0, 3))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.steps_seen += 1
        hidden: torch.Tensor = self.body(self.norm(self.embed(x)))
        return self.head(hidden) + self.again(hidden)  # type: ignore[no-any-return]


class Training:
    """A small training that draws from all random generators."""

    def __init__(
        self,
        make_optimizer: Callable[..., torch.optim.Optimizer] = torch.optim.AdamW,
        make_schedule: Callable[..., LRScheduler] | None = None,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        self.model = TiedModel().to(dtype)
        self.optimizer = make_optimizer(self.model.parameters(), lr=0.01)
        self.schedule = make_schedule(self.optimizer) if make_schedule else None
        self.dtype = dtype

    def step(self) -> float:
        x = torch.randn(16, 8, dtype=self.dtype) + float(np.random.rand()) + random.random()
        loss = (self.model(x) - x).square().mean()
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        if isinstance(self.schedule, lr_scheduler.ReduceLROnPlateau):
            self.schedule.step(loss.item())
        elif self.schedule is not None:
            self.schedule.step()
        return loss.item()

    def capture(self) -> dict[str, Any]:
        return capture(self.model, self.optimizer, self.schedule)

    def restore(self, state: Any) -> tuple[str, ...]:
        return restore(state, self.model, self.optimizer, self.schedule)

    def numbers(self) -> list[float]:
        """Ten more losses, and then all weights, buffers and learning rates."""
        losses = [self.step() for _ in range(10)]
        tensors = [tensor.double().sum().item() for tensor in self.model.state_dict().values()]
        return losses + tensors + [float(group["lr"]) for group in self.optimizer.param_groups]


@pytest.fixture(autouse=True)
def global_generators() -> Iterator[None]:
    """Whatever a test does with them, the next finds them as they were."""
    saved = random.getstate(), np.random.get_state(), torch.get_rng_state()
    yield
    random.setstate(saved[0])
    np.random.set_state(saved[1])
    torch.set_rng_state(saved[2])


OPTIMIZERS: dict[str, Callable[..., torch.optim.Optimizer]] = {
    "SGD": lambda parameters, lr: torch.optim.SGD(parameters, lr, momentum=0.9, nesterov=True),
    "Adam": lambda parameters, lr: torch.optim.Adam(parameters, lr, amsgrad=True),
    "AdamW": torch.optim.AdamW,
    "AdamW, lr a tensor": lambda parameters, lr: torch.optim.AdamW(
        parameters, torch.tensor(lr), foreach=False
    ),
    "RMSprop": lambda parameters, lr: torch.optim.RMSprop(parameters, lr, centered=True),
    "Adagrad": torch.optim.Adagrad,
    "NAdam": torch.optim.NAdam,
    "groups": lambda parameters, lr: torch.optim.AdamW(
        [{"params": [parameter], "lr": lr * index} for index, parameter in enumerate(parameters, 1)]
    ),
}
SCHEDULES: dict[str, Callable[..., LRScheduler]] = {
    "step": lambda optimizer: lr_scheduler.StepLR(optimizer, 3),
    "milestones": lambda optimizer: lr_scheduler.MultiStepLR(optimizer, [2, 9, 9]),
    "cosine": lambda optimizer: lr_scheduler.CosineAnnealingLR(optimizer, 30),
    "restarts": lambda optimizer: lr_scheduler.CosineAnnealingWarmRestarts(optimizer, 4, 2),
    "one cycle": lambda optimizer: lr_scheduler.OneCycleLR(optimizer, 0.05, total_steps=40),
    "lambda": lambda optimizer: lr_scheduler.LambdaLR(optimizer, lambda step: 1 / (1 + step)),
    "plateau": lambda optimizer: lr_scheduler.ReduceLROnPlateau(optimizer, patience=1),
    "cyclic": lambda optimizer: lr_scheduler.CyclicLR(optimizer, 0.001, 0.1, 5, cycle_momentum=False),
    "warm-up, then cosine": lambda optimizer: lr_scheduler.SequentialLR(
        optimizer,
        [lr_scheduler.LinearLR(optimizer, total_iters=4), lr_scheduler.CosineAnnealingLR(optimizer, 20)],
        [4],
    ),
}


def assert_goes_on_exactly(folder: Path, make: Callable[[], Training]) -> None:
    original = make()
    for _ in range(7):
        original.step()
    save_checkpoint(folder, 7, original.capture())
    expected = original.numbers()
    resumed = make()
    resumed.step()  # whatever it did before is overwritten
    assert resumed.restore(load_checkpoint(folder).state) == ()
    assert resumed.numbers() == expected


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_with_any_optimizer(tmp_path: Path, name: str) -> None:
    assert_goes_on_exactly(tmp_path, lambda: Training(OPTIMIZERS[name]))


@pytest.mark.parametrize("name", SCHEDULES)
def test_with_any_schedule(tmp_path: Path, name: str) -> None:
    assert_goes_on_exactly(tmp_path, lambda: Training(make_schedule=SCHEDULES[name]))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_with_any_dtype(tmp_path: Path, dtype: torch.dtype) -> None:
    assert_goes_on_exactly(tmp_path, lambda: Training(dtype=dtype))


def test_before_the_first_step_too(tmp_path: Path) -> None:
    original = Training()
    save_checkpoint(tmp_path, 0, original.capture())
    expected = original.numbers()
    resumed = Training()
    resumed.restore(load_checkpoint(tmp_path).state)
    assert resumed.numbers() == expected


def test_one_checkpoint_can_be_restored_many_times(tmp_path: Path) -> None:
    training = Training(make_schedule=Remembering)
    training.step()
    save_checkpoint(tmp_path, 1, training.capture())
    state = load_checkpoint(tmp_path).state
    runs = []
    for _ in range(3):
        training.restore(state)
        runs.append(training.numbers())
    assert runs[0] == runs[1] == runs[2]


class Remembering(lr_scheduler.LRScheduler):
    """A schedule that depends on a list which it changes in place."""

    def __init__(self, optimizer: torch.optim.Optimizer) -> None:
        self.seen: list[float] = []
        super().__init__(optimizer)

    def get_lr(self) -> list[float | torch.Tensor]:
        self.seen.append(0.01)
        return [base / len(self.seen) for base in self.base_lrs]


def test_a_module_is_told_the_version_of_its_state(tmp_path: Path) -> None:
    class Versioned(nn.Linear):
        _version = 3
        told: int | None = None

        def _load_from_state_dict(
            self, state_dict: Any, prefix: str, local_metadata: Any, *rest: Any
        ) -> None:
            self.told = local_metadata.get("version")
            super()._load_from_state_dict(state_dict, prefix, local_metadata, *rest)

    training = Training()
    training.model.head = Versioned(16, 8)
    save_checkpoint(tmp_path, 0, training.capture())
    training.restore(load_checkpoint(tmp_path).state)
    assert training.model.head.told == 3


def test_tied_weights_stay_tied(tmp_path: Path) -> None:
    training = Training()
    save_checkpoint(tmp_path, 0, training.capture())
    training.restore(load_checkpoint(tmp_path).state)
    assert training.model.again.weight is training.model.head.weight


def test_float32_state_of_bfloat16_weights_keeps_its_bits(tmp_path: Path) -> None:
    def with_float32_momentum() -> Training:
        return Training(lambda parameters, lr: Float32Momentum(parameters, {"lr": lr}), dtype=torch.bfloat16)

    assert_goes_on_exactly(tmp_path, with_float32_momentum)


class Float32Momentum(torch.optim.Optimizer):
    """Keeps its state more precisely than its parameters."""

    @torch.no_grad()
    def step(self) -> None:  # type: ignore[override]
        for group in self.param_groups:
            for parameter in group["params"]:
                momentum = self.state[parameter].setdefault("momentum", torch.zeros(parameter.shape))
                momentum.mul_(0.9).add_(parameter.grad.float(), alpha=1.0)
                parameter.sub_((group["lr"] * momentum).to(parameter.dtype))


def test_keys_of_the_callers_own_travel_along(tmp_path: Path) -> None:
    training = Training()
    generator = torch.Generator().manual_seed(3)
    loader = {"epoch": 2, "batch": 17, "generator": generator.get_state()}
    save_checkpoint(tmp_path, 1, {**training.capture(), "loader": loader})
    state = load_checkpoint(tmp_path).state
    training.restore(state)
    assert state["loader"]["batch"] == 17
    assert torch.equal(state["loader"]["generator"], generator.get_state())


def test_what_keeps_it_from_being_exact_is_said(tmp_path: Path) -> None:
    training = Training()
    state = training.capture()
    state["environment"] |= {"torch": "1.13", "threads": 99}
    assert training.restore(state) == (
        f"torch: 1.13 then, {torch.__version__} now",
        f"threads: 99 then, {torch.get_num_threads()} now",
    )


def wider(training: Training) -> None:
    training.model.norm = nn.BatchNorm1d(32)


def another_layer(training: Training) -> None:
    training.model.add_module("extra", nn.Linear(2, 2))


def a_layer_less(training: Training) -> None:
    del training.model.norm


def more_groups(training: Training) -> None:
    training.optimizer.add_param_group({"params": [nn.Parameter(torch.zeros(1))]})


def no_schedule(training: Training) -> None:
    training.schedule = None


def half_precision(training: Training) -> None:
    training.model.bfloat16()


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (wider, r"norm.weight is float32\[32\] here, float32\[16\] in the checkpoint"),
        (another_layer, "extra.weight is not in the checkpoint"),
        (a_layer_less, "norm.weight is not in the model"),
        (more_groups, r"groups hold \[6, 1\] tensors here, \[6\] in the checkpoint"),
        (no_schedule, "a schedule is on one side only"),
        (half_precision, r"embed.weight is bfloat16\[16, 8\] here"),
    ],
)
def test_a_state_that_does_not_fit_is_refused_and_changes_nothing(
    tmp_path: Path, change: Callable[[Training], None], problem: str
) -> None:
    training = Training(make_schedule=SCHEDULES["cosine"])
    save_checkpoint(tmp_path, 0, training.capture())
    training.step()
    change(training)
    before = {name: tensor.clone() for name, tensor in training.model.state_dict().items()}
    generator_before = torch.get_rng_state()
    with pytest.raises(CheckpointError, match=problem):
        training.restore(load_checkpoint(tmp_path).state)
    after = training.model.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert torch.equal(torch.get_rng_state(), generator_before)


def test_a_state_of_something_else_is_refused() -> None:
    with pytest.raises(CheckpointError, match="does not fit"):
        Training().restore({"weights": 1})


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_on_a_gpu_with_its_generator(tmp_path: Path) -> None:
    def make() -> Training:
        training = Training()
        training.model.cuda()
        training.optimizer = torch.optim.AdamW(training.model.parameters(), lr=0.01, fused=True)
        return training

    def numbers(training: Training) -> list[float]:
        values = []
        for _ in range(5):
            x = torch.randn(16, 8, device="cuda")
            loss = (training.model(x) - x).square().mean()
            training.optimizer.zero_grad()
            loss.backward()
            training.optimizer.step()
            values.append(loss.item())
        return values

    original = make()
    numbers(original)
    save_checkpoint(tmp_path, 5, original.capture())
    expected = numbers(original)
    resumed = make()
    resumed.restore(load_checkpoint(tmp_path).state)
    assert numbers(resumed) == expected
