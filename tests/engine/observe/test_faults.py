"""Law 3: whatever fails in sgdb, the training goes on as if nothing had happened, and it is told once."""

from collections.abc import Callable
from typing import Any

import pytest
import torch

from sgdb_engine.observe.by_hand import PATIENCE, ByHand
from sgdb_engine.observe.hooks import observe
from sgdb_engine.observe.loaders import Loaders
from sgdb_engine.observe.losses import Validation
from sgdb_engine.observe.measurements import CallRanges, UpdateMeasurements
from sgdb_engine.observe.models import Models
from sgdb_engine.observe.observer import Observer
from sgdb_engine.observe.readback import Readback
from sgdb_engine.observe.rows import Rows
from sgdb_engine.observe.scaling import Scaling
from sgdb_engine.observe.told import Told
from sgdb_engine.observe.updates import Updates

from .conftest import Bench

STEPS = 6


class Listener:
    """Is told all that there is to say."""

    def validated(self, metrics: dict[str, float]) -> None: ...

    def epoch_ended(self, epoch: int) -> None: ...

    def described(self, description: Any) -> None: ...

    def all(self) -> Told:
        return Told(
            validated=lambda metrics: self.validated(metrics),
            epoch_ended=lambda epoch: self.epoch_ended(epoch),
            described=lambda description: self.described(description),
        )


def train(bench: Bench) -> list[torch.Tensor]:
    """Uses everything that is hooked."""
    loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(bench.x, bench.y), batch_size=5)
    scaler = torch.amp.GradScaler("cpu", init_scale=4.0)
    for _ in range(STEPS):
        for x, y in loader:
            bench.optimizer.zero_grad()
            scaler.scale(torch.nn.functional.mse_loss(bench.model(x), y)).backward()
            scaler.unscale_(bench.optimizer)
            torch.nn.utils.clip_grad_norm_(bench.model.parameters(), 0.5)
            scaler.step(bench.optimizer)
            scaler.update()
        bench.model.eval()
        with torch.no_grad():
            torch.nn.functional.mse_loss(bench.model(bench.x), bench.y)
        bench.model.train()
    return [p.detach().clone() for p in bench.model.parameters()]


PARTS: dict[str, tuple[type, str]] = {
    "data": (Observer, "fetched"),
    "epochs": (Loaders, "_fetched"),
    "epochs (at the end)": (Loaders, "_at_its_end"),
    "names": (Models, "_consider"),
    "ranges": (CallRanges, "read"),
    "model": (Observer, "called"),
    "model (in an evaluation)": (Observer, "evaluated"),
    "model (found)": (Models, "settle"),
    "loss": (Observer, "went_backward"),
    "updates by hand": (ByHand, "_keep"),
    "scaler": (Scaling, "_scaled"),
    "validation loss": (Validation, "_add"),
    "validation loss (at its end)": (Validation, "end"),
    "validation": (Listener, "validated"),
    "epochs (told)": (Listener, "epoch_ended"),
    "model (told)": (Listener, "described"),
    "statistics": (UpdateMeasurements, "read_gradients"),
    "statistics (before the update)": (UpdateMeasurements, "keep_weights"),
    "statistics (after the update)": (UpdateMeasurements, "read_weights"),
    "clip": (Observer, "clipped"),
    "row": (Observer, "_end_step"),
    "row (readback)": (Readback, "take"),
    "findings": (Rows, "_look_for_nonfinite"),
    "histograms": (UpdateMeasurements, "histograms"),
    "readback": (Readback, "drain"),
    "updates": (Updates, "before"),
    "updates (after)": (Updates, "after"),
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
    with observe(recorded, budget=1.0, told=Listener().all()) as observer:
        observed = train(Bench())
    assert all(torch.equal(a, b) for a, b in zip(plain, observed, strict=True))
    unseen = {"updates": PATIENCE, "updates (after)": STEPS}  # seen by the movement of the weights, later
    assert observer.step == STEPS - unseen.get(name, 0)
    assert recorded.failed_probes[0] == name.partition(" (")[0]
    assert len(recorded.failed_probes) == 1 or name == "row (readback)", "which many parts use"


def test_a_row_is_still_written_when_a_measurement_fails(
    recorded: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(UpdateMeasurements, "read_weights", _raise)
    with observe(recorded, budget=1.0):
        train(Bench())
    assert len(recorded.column("train/loss")) == STEPS
    assert len(recorded.column("input/mean")) == STEPS
    assert recorded.tensor_rows == {}


def test_a_listener_that_raises_ends_nothing(recorded: Any) -> None:
    bench = Bench()
    bench.x[0, 0] = float("nan")
    with observe(recorded, told=Told(found=_raise)) as observer:
        bench.step(3)
    assert observer.step == 3
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
