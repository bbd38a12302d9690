"""Law 3: whatever fails in sgdb, the training goes on as if nothing had happened, and it is told once."""

from collections.abc import Callable
from typing import Any

import pytest
import torch

from sgdb_engine.observe.hooks import observe
from sgdb_engine.observe.measurements import Measurements
from sgdb_engine.observe.models import Models
from sgdb_engine.observe.observer import Observer
from sgdb_engine.observe.readback import Readback

from .conftest import Bench

STEPS = 6


def train(bench: Bench) -> list[torch.Tensor]:
    """Uses everything that is hooked."""
    loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(bench.x, bench.y), batch_size=5)
    for _ in range(STEPS):
        for x, y in loader:
            bench.optimizer.zero_grad()
            torch.nn.functional.mse_loss(bench.model(x), y).backward()
            torch.nn.utils.clip_grad_norm_(bench.model.parameters(), 0.5)
            bench.optimizer.step()
        with torch.no_grad():
            bench.model(bench.x)
    return [p.detach().clone() for p in bench.model.parameters()]


PARTS: dict[str, tuple[type, str]] = {
    "data": (Observer, "fetched"),
    "names": (Models, "_consider"),
    "ranges": (Measurements, "read_ranges"),
    "model": (Observer, "called"),
    "model (in an evaluation)": (Observer, "evaluated"),
    "model (found)": (Models, "settle"),
    "loss": (Observer, "went_backward"),
    "statistics": (Measurements, "before_clip"),
    "statistics (before the update)": (Measurements, "before_update"),
    "statistics (after the update)": (Measurements, "after_update"),
    "clip": (Observer, "clipped"),
    "row": (Observer, "_end_step"),
    "row (readback)": (Readback, "take"),
    "findings": (Observer, "_look_for_nonfinite"),
    "histograms": (Measurements, "histograms"),
    "readback": (Readback, "drain"),
}


@pytest.mark.parametrize("name", PARTS)
@pytest.mark.parametrize("error", [RuntimeError("a bug of ours"), MemoryError(), RecursionError()], ids=type)
def test_a_part_that_raises_is_told_once_and_the_training_ends_with_the_same_bits(
    name: str, error: Exception, recorded: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(0)
    plain = train(Bench())

    def broken(*args: object, **kwargs: object) -> None:
        raise error

    monkeypatch.setattr(*PARTS[name], broken)
    torch.manual_seed(0)
    with observe(recorded, budget=1.0) as observer:
        observed = train(Bench())
    assert all(torch.equal(a, b) for a, b in zip(plain, observed, strict=True))
    assert observer.step == STEPS
    assert recorded.failed_probes == [name.partition(" (")[0]]


def test_a_row_is_still_written_when_a_measurement_fails(
    recorded: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Measurements, "after_update", _raise)
    with observe(recorded, budget=1.0):
        train(Bench())
    assert len(recorded.column("train/loss")) == STEPS
    assert len(recorded.column("input/mean")) == STEPS
    assert recorded.tensor_rows == {}


def test_a_listener_that_raises_ends_nothing(recorded: Any) -> None:
    bench = Bench()
    bench.x[0, 0] = float("nan")
    with observe(recorded, found=_raise) as observer:
        train(bench)
    assert observer.step == STEPS
    assert recorded.failed_probes == ["findings"]


def test_a_safe_point_with_a_bug_ends_nothing(recorded: Any) -> None:
    with observe(recorded, safe_point=_raise) as observer:
        train(Bench())
    assert observer.step == STEPS
    assert recorded.failed_probes == ["safe point"]


@pytest.mark.parametrize(
    "odd",
    [
        lambda model: setattr(model, "parameters", _raise),
        lambda model: setattr(model, "named_parameters", _raise),
    ],
)
def test_a_model_with_odd_habits_is_trained_all_the_same(odd: Callable[[Any], None], recorded: Any) -> None:
    bench = Bench()
    odd(bench.model)
    with observe(recorded, budget=1.0) as observer:
        bench.step(3)
    assert observer.step == 3
    assert recorded.failed_probes in (["names"], ["names", "model"])


def _raise(*args: object) -> None:
    raise RuntimeError("a bug of ours")
