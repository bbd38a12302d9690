"""Validation passes: how many targets are right, and which classes are mixed up."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from sgdb_engine.config import load_config
from sgdb_engine.loop import train_workload
from sgdb_engine.observe.hooks import observe
from sgdb_engine.recording.pictures import Confusion
from sgdb_engine.workload import build
from tests.engine.observe.conftest import Recorded

SAMPLES = Path(__file__).parents[3] / "sample_configs"


def confusions(recorded: Recorded) -> list[Confusion]:
    return [picture for picture in recorded.pictures if isinstance(picture, Confusion)]


def counted(predicted: torch.Tensor, target: torch.Tensor, classes: int) -> list[list[int]]:
    """The slow, obvious twin."""
    counts = [[0] * classes for _ in range(classes)]
    for said, true in zip(predicted.tolist(), target.tolist(), strict=True):
        counts[true][said] += 1
    return counts


class Script:
    """Trains, and evaluates as a stranger would write it."""

    def __init__(self, classes: int = 4) -> None:
        self.model = nn.Linear(3, classes)
        self.optimizer = torch.optim.SGD(self.model.parameters(), lr=0.1)
        self.x, self.y = torch.randn(20, 3), torch.randint(classes, (20,))
        self.held_out = torch.randn(30, 3), torch.randint(classes, (30,))

    def step(self) -> None:
        self.model.train()
        self.optimizer.zero_grad()
        F.cross_entropy(self.model(self.x), self.y).backward()
        self.optimizer.step()

    @torch.no_grad()
    def evaluate(self) -> torch.Tensor:
        self.model.eval()
        x, y = self.held_out
        for part in (slice(0, 20), slice(20, None)):
            F.cross_entropy(self.model(x[part]), y[part])
        return self.model(x).argmax(1)


def test_an_evaluation_of_a_script_is_counted_over_its_batches(recorded: Recorded) -> None:
    script = Script()
    with observe(recorded, budget=1.0):  # type: ignore[arg-type]
        script.step()
        predicted = script.evaluate()
        script.step()
    (found,) = confusions(recorded)
    target = script.held_out[1]
    assert found.matrix.tolist() == counted(predicted, target, 4)
    assert (found.right, found.judged) == (int((predicted == target).sum()), 30)
    assert found.step == 1
    assert recorded.failed_probes == []


def test_the_last_evaluation_is_recorded_however_soon_it_comes_after_another(recorded: Recorded) -> None:
    script = Script()
    with observe(recorded, budget=1.0):  # type: ignore[arg-type]
        for _ in range(5):
            script.step()
            script.evaluate()
    assert [found.step for found in confusions(recorded)][-1] == 5


def test_of_two_heads_the_first_one_is_counted(recorded: Recorded) -> None:
    class TwoHeads(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = nn.Linear(3, 4), nn.Linear(3, 4)

        def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            return self.first(x), self.second(x)

    model = TwoHeads()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    x, y = torch.randn(20, 3), torch.randint(4, (20,))

    def loss() -> torch.Tensor:
        first, second = model(x)
        return F.cross_entropy(first, y) + F.cross_entropy(second, 3 - y)

    with observe(recorded, budget=1.0):  # type: ignore[arg-type]
        loss().backward()
        optimizer.step()
        with torch.no_grad():
            loss()
            predicted = model(x)[0].argmax(1)
    (found,) = confusions(recorded)
    assert found.matrix.tolist() == counted(predicted, y, 4)


def test_of_very_many_classes_only_the_accuracy_is_recorded(recorded: Recorded) -> None:
    script = Script(150)
    with observe(recorded, budget=1.0):  # type: ignore[arg-type]
        script.step()
        predicted = script.evaluate()
    (found,) = confusions(recorded)
    assert (found.classes, found.judged) == (0, 30)
    assert found.right == int((predicted == script.held_out[1]).sum())


@pytest.mark.parametrize("budget", [0.0, 1.0])
def test_a_regression_and_a_run_without_a_budget_have_none(budget: float, recorded: Recorded) -> None:
    script = Script()
    with observe(recorded, budget=budget):  # type: ignore[arg-type]
        script.step()
        if budget:
            with torch.no_grad():
                F.mse_loss(script.model(script.x), torch.zeros(20, 4))
        else:
            script.evaluate()
    assert confusions(recorded) == []


def test_a_config_has_one_of_its_last_validation(recorded: Any) -> None:
    config = load_config(SAMPLES / "digits_mlp.toml", ["train.steps=60", "run.device=cpu"])
    workload = build(config, SAMPLES)
    metrics: list[dict[str, float]] = []
    with observe(recorded, budget=0.02) as observer:
        train_workload(workload, config.train, observer, epoch_ended=lambda _: None, validated=metrics.append)
    found = confusions(recorded)[-1]
    assert found.classes == 10
    assert found.right / found.judged == pytest.approx(metrics[-1]["val/accuracy"])
    assert int(found.matrix.sum()) == found.judged
