"""Law 1: with and without observation not one bit differs."""

import io
import random
from collections.abc import Callable
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.optim.optimizer import register_optimizer_step_post_hook

from sgdb_engine.config import RunConfig, load_config, parse_config
from sgdb_engine.loop import train_workload
from sgdb_engine.observe.hooks import observe
from sgdb_engine.workload import Workload, build

STEPS = 200
SAMPLES = Path(__file__).parents[3] / "sample_configs"
WITH_DATA = sorted(path for path in SAMPLES.glob("*.toml") if path.stem != "cifar10_cnn")
"""Those that need no files of the user's."""

MLP = """
[data]
name = "spirals"
points = 300
[model]
name = "mlp"
layers = 2
width = 16
dropout = 0.3
"""
CNN = """
[data]
name = "npz"
path = "images.npz"
[model]
name = "cnn"
layers = 2
width = 4
batch_norm = true
dropout = 0.2
"""
TRANSFORMER = """
[data]
name = "text"
path = "text.txt"
context = 8
[model]
name = "transformer"
layers = 1
width = 8
heads = 2
dropout = 0.1
"""
REST = """
[run]
device = "cpu"
[[loss]]
name = "cross_entropy"
[optimizer]
name = "{optimizer}"
lr = 1e-2
[schedule]
name = "cosine"
warmup_steps = 20
[train]
steps = {steps}
batch_size = 8
{more}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Small images and a small text."""
    draw = np.random.default_rng(0)
    np.savez(tmp_path / "images.npz", x=draw.normal(size=(80, 1, 6, 6)), y=draw.integers(0, 3, 80))
    (tmp_path / "text.txt").write_text("the quick brown fox jumps over the lazy dog. " * 20)
    return tmp_path


def config_of(table: str, more: str = "", *, optimizer: str = "adamw", steps: int = STEPS) -> RunConfig:
    return parse_config(table + REST.format(more=more, optimizer=optimizer, steps=steps), origin="run.toml")


def state_of(model: nn.Module, optimizer: torch.optim.Optimizer) -> bytes:
    """Weights, buffers, optimizer state and all global random generators."""
    state = {
        "model": model.state_dict(),
        "gradients": [p.grad for p in model.parameters()],
        "optimizer": optimizer.state_dict(),
        "torch": torch.get_rng_state(),
        "python": random.getstate(),
        "numpy": np.random.get_state(),
    }
    file = io.BytesIO()
    torch.save(state, file)
    return file.getvalue()


@contextmanager
def unobserved() -> Any:
    """An observer that sees nothing, for our own loop."""

    class Blind:
        step = 0

        @property
        def logged(self) -> "Blind":
            return self

        def add(self, values: Any) -> None: ...

        def guarded(self, *_: Any) -> None: ...

        def log(self, values: Any) -> None: ...

        def log_now(self, values: Any) -> None: ...

    blind = Blind()

    def count(*_: Any) -> None:
        blind.step += 1

    handle = register_optimizer_step_post_hook(count)
    try:
        yield blind
    finally:
        handle.remove()


def run_workload(config: RunConfig, folder: Path, observing: Any) -> tuple[Workload, bytes]:
    workload = build(config, folder)
    with observing as observer:
        train_workload(workload, config.train, observer, epoch_ended=lambda _: None, validated=lambda _: None)
    return workload, state_of(workload.model, workload.optimizer)


TRAININGS = {
    "an MLP with dropout": (MLP, "", "adamw"),
    "a CNN with BatchNorm and dropout": (CNN, "", "sgd"),
    "a transformer": (TRANSFORMER, "", "adam"),
    "clipping": (MLP, "clip_norm = 0.5", "adamw"),
    "accumulation": (CNN, "accumulate = 3", "adamw"),
    "bf16 autocast": (MLP, 'precision = "bf16"', "adamw"),
    "all together": (TRANSFORMER, 'clip_norm = 0.5\naccumulate = 2\nprecision = "bf16"', "adamw"),
}


@pytest.mark.parametrize("name", TRAININGS)
def test_after_200_steps_every_bit_is_the_same_with_and_without_observation(
    name: str, folder: Path, recorded: Any
) -> None:
    table, more, optimizer = TRAININGS[name]
    config = config_of(table, more, optimizer=optimizer)
    _, plain = run_workload(config, folder, unobserved())
    for budget in (0.02, 1.0):
        _, observed = run_workload(config, folder, observe(recorded, budget=budget))
        assert observed == plain
    assert recorded.failed_probes == []
    assert len(recorded.column("train/loss")) == 2 * STEPS
    assert len(recorded.column("grad_norm")) >= STEPS
    assert len(recorded.tensor_rows) == STEPS


def a_loop_of_a_stranger(steps: int) -> bytes:
    """Has never heard of sgdb."""
    torch.manual_seed(7)
    random.seed(7)
    np.random.seed(7)
    model = nn.Sequential(nn.Linear(4, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(0.4), nn.Linear(16, 2))
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    scheduler = torch.optim.lr_scheduler.OneCycleLR(optimizer, 1e-2, total_steps=steps)
    loader = torch.utils.data.DataLoader(
        torch.utils.data.TensorDataset(torch.randn(50, 4), torch.randint(0, 2, (50,))), 16, shuffle=True
    )
    done = 0
    while done < steps:
        model.train()
        for x, y in loader:
            x = x + 0.01 * torch.randn_like(x) * random.random() * np.random.rand()
            loss = nn.functional.cross_entropy(model(x), y)
            optimizer.zero_grad(set_to_none=done % 2 == 0)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            scheduler.step()
            done += 1
            if done == steps:
                break
        model.eval()
        with torch.no_grad():
            model(torch.randn(3, 4))
    return state_of(model, optimizer)


def test_a_strangers_loop_computes_the_same_bits(recorded: Any) -> None:
    plain = a_loop_of_a_stranger(STEPS)
    for budget in (0.02, 1.0):
        with observe(recorded, budget=budget) as observer:
            assert a_loop_of_a_stranger(STEPS) == plain
            assert observer.step == STEPS
    assert recorded.failed_probes == []


@pytest.mark.parametrize("budget", [0.02, 1.0])
def test_lbfgs_computes_the_same_bits(budget: float, recorded: Any) -> None:
    def train(watching: Callable[[], Any]) -> bytes:
        torch.manual_seed(1)
        model = nn.Linear(3, 1)
        optimizer = torch.optim.LBFGS(model.parameters(), lr=0.1, max_iter=5)
        x, y = torch.randn(20, 3), torch.randn(20, 1)

        def closure() -> torch.Tensor:
            optimizer.zero_grad()
            loss = nn.functional.mse_loss(model(x), y)
            loss.backward()
            return loss

        with watching():
            for _ in range(5):
                optimizer.step(closure)
        return state_of(model, optimizer)

    assert train(lambda: observe(recorded, budget=budget)) == train(nullcontext)
    assert recorded.failed_probes == []


@pytest.mark.slow
@pytest.mark.parametrize("sample", WITH_DATA, ids=lambda path: path.stem)
def test_every_sample_config_computes_the_same_bits(sample: Path, recorded: Any) -> None:
    config = load_config(sample, ["train.steps=40", "run.device=cpu"])
    _, plain = run_workload(config, SAMPLES, unobserved())
    for budget in (0.02, 1.0):
        _, observed = run_workload(config, SAMPLES, observe(recorded, budget=budget))
        assert observed == plain
    assert recorded.failed_probes == []
