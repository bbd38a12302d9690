"""A recorder that keeps what it is given in memory, and small trainings to be observed."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from sgdb_engine.events import AnyEvent, ProbeFailed
from sgdb_engine.recording.pictures import Picture


class Recorded:
    """In place of the recorder."""

    def __init__(self) -> None:
        self.rows: list[dict[str, float]] = []
        """Of each call: the values by column, and `step`."""
        self.tensor_rows: dict[int, dict[str, float]] = {}
        self.histogram_rows: dict[int, dict[str, float]] = {}
        self.events: list[AnyEvent] = []
        self.pictures: list[Picture] = []

    def scalars(
        self, columns: tuple[str, ...], step: int, wall: float, monotonic: float, values: Any
    ) -> None:
        self.rows.append({"step": step, **dict(zip(columns, values, strict=True))})

    def block(self, columns: tuple[str, ...], rows: Any, wall: float, monotonic: float) -> None:
        for step, moment, *values in rows:
            self.scalars(columns, step, moment + wall, moment + monotonic, values)

    def tensors(
        self, columns: tuple[str, ...], step: int, wall: float, monotonic: float, values: Any
    ) -> None:
        assert values.dtype == np.float32
        rows = self.histogram_rows if "hist_" in columns[0] else self.tensor_rows
        rows.setdefault(step, {}).update(zip(columns, values.tolist(), strict=True))

    def picture(self, picture: Picture) -> None:
        self.pictures.append(picture)

    def event(self, event: AnyEvent) -> None:
        self.events.append(event)

    def column(self, name: str) -> list[float]:
        return [row[name] for row in self.rows if name in row]

    @property
    def failed_probes(self) -> list[str]:
        return [event.probe for event in self.events if isinstance(event, ProbeFailed)]


@pytest.fixture
def recorded() -> Recorded:
    return Recorded()


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


Training = Callable[[int], None]


class Net(torch.nn.Module):
    """Two layers, so that there is something to lose."""

    def __init__(self) -> None:
        super().__init__()
        self.hidden = torch.nn.Linear(3, 4)
        self.out = torch.nn.Linear(4, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.out(torch.tanh(self.hidden(x)))


class Bench:
    """A model, an optimizer and a fixed batch; `step()` is a loop as a stranger would write it."""

    def __init__(self, model: torch.nn.Module | None = None, lr: float = 0.1) -> None:
        self.model = model or Net()
        self.optimizer = torch.optim.SGD(self.model.parameters(), lr=lr)
        self.x = torch.randn(5, 3)
        self.y = torch.randn(5, 1)

    def loss(self) -> torch.Tensor:
        return torch.nn.functional.mse_loss(self.model(self.x), self.y)

    def step(self, count: int = 1) -> None:
        for _ in range(count):
            self.optimizer.zero_grad()
            self.loss().backward()
            self.optimizer.step()


@pytest.fixture
def bench() -> Bench:
    return Bench()
