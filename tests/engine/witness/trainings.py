"""What the trainings of the tests are made of, and what is told while one is observed."""

import inspect
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import nn

from sgdb_engine.events import AnyEvent, Finding, ProbeFailed
from sgdb_engine.observe.hooks import observe
from sgdb_engine.observe.told import Told

STEPS = 28


class Recorded:
    """In place of the recorder: keeps events."""

    def __init__(self) -> None:
        self.events: list[AnyEvent] = []

    def event(self, event: AnyEvent) -> None:
        self.events.append(event)

    def scalars(self, *row: Any) -> None: ...

    block = tensors = picture = scalars


def findings_of(training: Callable[[], object]) -> list[Finding]:
    """All that is told while it runs; nothing of ours fails meanwhile."""
    found: list[Finding] = []
    recorded = Recorded()
    with observe(recorded, told=Told(found=found.append)):
        training()
    assert [event.error for event in recorded.events if isinstance(event, ProbeFailed)] == []
    return found


def line_of(training: Callable[[], object], mark: str) -> str:
    """file:line of the line of its source that ends with `# <mark>`."""
    lines, first = inspect.getsourcelines(inspect.unwrap(training))
    (number,) = [i for i, line in enumerate(lines) if line.rstrip().endswith(f"# {mark}")]
    file = Path(inspect.getfile(training))
    return f"{file.relative_to(Path.cwd()) if file.is_relative_to(Path.cwd()) else file}:{first + number}"


def rows(count: int = 512, features: int = 8, classes: int = 3) -> tuple[torch.Tensor, torch.Tensor]:
    y = torch.randint(classes, (count,))
    return torch.randn(classes, features)[y] + torch.randn(count, features), y


def batches(count: int = STEPS, size: int = 32) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    x, y = rows()
    for _ in range(count):
        chosen = torch.randint(len(x), (size,))
        yield x[chosen], y[chosen]


def net(*last: nn.Module, features: int = 8, outputs: int = 3) -> nn.Sequential:
    return nn.Sequential(nn.Linear(features, 16), nn.ReLU(), nn.Linear(16, outputs), *last)


def adam(model: nn.Module, **options: Any) -> torch.optim.Optimizer:
    return torch.optim.Adam(model.parameters(), **{"lr": 1e-3} | options)
