"""Whatever happens to a workload within the block, behind it not one bit differs."""

import io
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from sgdb_engine.gate import StopTraining
from sgdb_engine.snapshot import restored
from sgdb_engine.workload import Workload
from sgdb_engine.workload.batches import InMemory, in_memory_loader


class Net(nn.Module):
    """Has all that a snapshot must know: BatchNorm, dropout, a buffer that is replaced, one of no state dict."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(3, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.5), nn.Linear(8, 2)
        )
        self.register_buffer("calls", torch.zeros(()))
        self.register_buffer("hidden", torch.zeros(2), persistent=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.calls = self.calls + 1  # a new tensor each time
        self.hidden.add_(torch.randn(2))
        return self.layers(x)  # type: ignore[no-any-return]


def make(optimizer: Callable[..., torch.optim.Optimizer], **options: Any) -> Workload:
    torch.manual_seed(0)
    model = Net()
    made = optimizer(model.parameters(), **options)
    examples = InMemory(torch.randn(20, 3), {"y": torch.randint(0, 2, (20,))}, torch.device("cpu"))
    return Workload(
        model=model,
        optimizer=made,
        loss=nn.functional.cross_entropy,
        train=in_memory_loader(examples, 4, seed=0, shuffle=True),
        schedule=torch.optim.lr_scheduler.CosineAnnealingLR(made, 100),
    )


def train(workload: Workload, steps: int, interrupt: BaseException | None = None) -> None:
    """So many updates; the interruption comes in the midst of the last one."""
    done = 0
    while True:
        for x, y in workload.train:
            workload.optimizer.zero_grad()
            assert workload.loss is not None
            workload.loss(workload.model(x + random.random() + np.random.rand()), y).backward()
            if done == steps:
                if interrupt is not None:
                    raise interrupt
                return
            workload.optimizer.step()
            assert workload.schedule is not None
            workload.schedule.step()
            done += 1


def bits(workload: Workload) -> bytes:
    """All that a training goes on from."""
    optimizer, schedule, loader = workload.optimizer, workload.schedule, workload.train
    state = {
        "parameters": dict(workload.model.named_parameters()),
        "buffers": dict(workload.model.named_buffers()),
        "gradients": [p.grad for p in workload.model.parameters()],
        "trainable": [p.requires_grad for p in workload.model.parameters()],
        "modes": [m.training for m in workload.model.modules()],
        "optimizer": optimizer.state_dict(),
        "schedule": schedule.state_dict() if schedule else None,
        "counts": getattr(optimizer, "_step_count", None),
        "loader": [loader.generator.get_state(), loader.sampler.generator.get_state()],  # type: ignore[attr-defined]
        "random": [random.getstate(), np.random.get_state(), torch.get_rng_state()],
    }
    file = io.BytesIO()
    torch.save(state, file)
    return file.getvalue()


OPTIMIZERS: dict[str, tuple[Callable[..., torch.optim.Optimizer], dict[str, Any]]] = {
    "sgd": (torch.optim.SGD, {"lr": 0.1, "momentum": 0.9}),
    "adamw": (torch.optim.AdamW, {"lr": 0.01}),
    "amsgrad": (torch.optim.Adam, {"lr": 0.01, "amsgrad": True}),
    "lr as a tensor": (torch.optim.Adam, {"lr": torch.tensor(0.01)}),
}


@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize("steps_before", [0, 3])
def test_nothing_of_a_training_within_is_left(name: str, steps_before: int) -> None:
    kind, options = OPTIMIZERS[name]
    workload = make(kind, **options)
    train(workload, steps_before)
    before = bits(workload)
    with restored(workload):
        train(workload, 5)
        workload.model.eval()
        assert bits(workload) != before
    assert bits(workload) == before


def test_optimizer_state_that_was_made_within_goes_away_again() -> None:
    workload = make(torch.optim.AdamW)
    with restored(workload):
        train(workload, 2)
        assert workload.optimizer.state
    assert not workload.optimizer.state


@pytest.mark.parametrize("steps", range(6))
@pytest.mark.parametrize(
    "error", [StopTraining("asked", checkpoint=False), KeyboardInterrupt(), ValueError("mine")]
)
def test_an_interruption_at_any_step_leaves_no_trace(steps: int, error: BaseException) -> None:
    workload = make(torch.optim.AdamW)
    before = bits(workload)
    with pytest.raises(type(error)), restored(workload):
        train(workload, steps, error)
    assert bits(workload) == before


def test_a_training_after_it_is_the_one_that_would_have_been() -> None:
    trained = []
    for disturbed in (False, True):
        random.seed(0)
        np.random.seed(0)
        workload = make(torch.optim.AdamW)
        if disturbed:
            with restored(workload):
                train(workload, 3)
        train(workload, 6)
        trained.append(bits(workload))
    assert trained[0] == trained[1]


def test_values_that_are_not_finite_come_back_bit_for_bit() -> None:
    workload = make(torch.optim.SGD)
    with torch.no_grad():
        next(workload.model.parameters()).view(-1)[:3] = torch.tensor([float("nan"), float("inf"), -0.0])
    before = bits(workload)
    with restored(workload):
        train(workload, 2)
    assert bits(workload) == before


def test_moments_kept_in_more_digits_than_their_weights_lose_none() -> None:
    workload = make(torch.optim.SGD, momentum=0.9)
    workload.model.bfloat16()
    for parameter in workload.model.parameters():
        workload.optimizer.state[parameter]["momentum_buffer"] = torch.randn(parameter.shape)
    before = bits(workload)
    with restored(workload):
        pass
    assert bits(workload) == before


def test_what_was_added_frozen_or_replaced_within_is_undone() -> None:
    workload = make(torch.optim.SGD)
    model: Any = workload.model
    before, parameters = bits(workload), list(model.parameters())
    with restored(workload):
        model.register_buffer("new", torch.ones(1))
        model.layers[0].weight = nn.Parameter(torch.zeros(8, 3))
        model.layers[4].bias.requires_grad_(False)
        workload.optimizer.add_param_group({"params": [model.layers[0].weight]})
        workload.optimizer.param_groups[0]["lr"] = 99.0
    assert bits(workload) == before
    assert all(a is b for a, b in zip(parameters, model.parameters(), strict=True))


def test_a_part_that_cannot_be_put_back_does_not_keep_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    workload = make(torch.optim.SGD)
    weights = [p.detach().clone() for p in workload.model.parameters()]
    with pytest.raises(RuntimeError, match="broken"), restored(workload):  # noqa: PT012
        train(workload, 1)
        monkeypatch.setattr(workload.schedule, "load_state_dict", _broken)
    assert all(torch.equal(a, b) for a, b in zip(weights, workload.model.parameters(), strict=True))


def _broken(*args: object) -> None:
    raise RuntimeError("broken")


def test_nothing_is_written_to_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    workload = make(torch.optim.SGD)
    with restored(workload):
        train(workload, 1)
    assert list(tmp_path.iterdir()) == []
