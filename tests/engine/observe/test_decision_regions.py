"""What a classifier of points predicts over the plane: right, and without a trace in the training."""

import io
import random
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from sgdb_engine.config import load_config
from sgdb_engine.loop import train_workload
from sgdb_engine.observe.decision_regions import HEIGHT, MARGIN, WIDTH, DecisionRegions, extent_of, grid
from sgdb_engine.observe.hooks import observe
from sgdb_engine.observe.labelled import labelled
from sgdb_engine.recording.pictures import NO_CLASS, Regions
from sgdb_engine.workload import build
from tests.engine.observe.conftest import Recorded
from tests.engine.observe.test_identity import state_of

FIVE_POINTS = Path(__file__).parents[3] / "sample_configs" / "five_points.toml"
STEPS = 30


def points(count: int = 20) -> tuple[torch.Tensor, torch.Tensor]:
    x = torch.randn(count, 2)
    return x, (x[:, 0] > 0).long() + (x[:, 1] > 0).long()


def net(classes: int = 3) -> nn.Module:
    return nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.Linear(8, classes))


def picture_of(model: nn.Module, loss: Callable[[Any, Any], Any], x: Any, y: Any) -> Regions | None:
    """Of one call with this loss."""
    output = model(x)
    name, given = loss(output, y)
    regions = DecisionRegions()
    regions.see((x,), labelled((x,), output, [(name, given, {})]))
    taken = regions.picture(model, 7, 1e9)
    if taken is None:
        return None
    landing, make = taken
    return make(landing.arrays())


def of_classes(output: Any, y: Any) -> Any:
    return "cross_entropy", (output, y)


def asked_point_by_point(model: nn.Module, x: torch.Tensor) -> tuple[np.ndarray, list[float], list[float]]:
    """The slow, obvious twin: the grid cell by cell, the model point by point."""
    low, high = [], []
    for axis in (0, 1):
        values = [float(v) for v in x[:, axis]]
        size = max(values) - min(values)
        low.append(min(values) - MARGIN * size)
        high.append(max(values) + MARGIN * size)
    cells = np.zeros((HEIGHT, WIDTH), int)
    for row in range(HEIGHT):
        for column in range(WIDTH):
            at_x = low[0] + (column + 0.5) / WIDTH * (high[0] - low[0])
            at_y = high[1] - (row + 0.5) / HEIGHT * (high[1] - low[1])
            scores = model(torch.tensor([[at_x, at_y]]))[0].tolist()
            cells[row, column] = scores.index(max(scores))
    return cells, low, high


def test_the_picture_is_that_of_the_model_asked_point_by_point() -> None:
    model = net().eval()
    x, y = points()
    picture = picture_of(model, of_classes, x, y)
    assert picture is not None
    cells, low, high = asked_point_by_point(model, x)
    assert picture.low == pytest.approx(low, abs=1e-6)
    assert picture.high == pytest.approx(high, abs=1e-6)
    assert (picture.grid == cells).mean() > 0.999  # on a border between two classes rounding decides
    assert (picture.step, picture.wall) == (7, 1e9)


def test_each_example_stands_there_once_with_its_class() -> None:
    x, y = points()
    picture = picture_of(net(), of_classes, torch.cat([x, x]), torch.cat([y, y]))
    assert picture is not None
    found, classes = picture.examples
    wanted = {(*map(float, point), int(label)) for point, label in zip(x, y, strict=True)}
    assert {(*map(float, p), int(c)) for p, c in zip(found, classes, strict=True)} == wanted


@pytest.mark.parametrize(
    ("last", "loss"),
    [
        (nn.Identity(), lambda o, y: ("binary_cross_entropy_with_logits", (o, y))),
        (nn.Flatten(0), lambda o, y: ("binary_cross_entropy_with_logits", (o, y[:, 0]))),
        (nn.Sigmoid(), lambda o, y: ("binary_cross_entropy", (o, y))),
        (nn.Identity(), lambda o, y: ("binary_cross_entropy", (o.sigmoid(), y))),
    ],
    ids=["(N, 1) logits", "(N,) logits", "probabilities", "a sigmoid before the loss"],
)
def test_yes_and_no_are_two_classes(last: nn.Module, loss: Any) -> None:
    linear = nn.Linear(2, 1)
    with torch.no_grad():
        linear.weight.copy_(torch.tensor([[1.0, 0.0]]))
        linear.bias.zero_()
    x = torch.tensor([[-1.0, 0.0], [1.0, 1.0]])
    picture = picture_of(nn.Sequential(linear, last), loss, x, torch.tensor([[0.0], [1.0]]))
    assert picture is not None
    assert (picture.grid[:, : WIDTH // 2] == 0).all()
    assert (picture.grid[:, WIDTH // 2 :] == 1).all()
    assert picture.examples[1].tolist() == [0, 1]


def test_where_scores_are_not_finite_there_is_no_class() -> None:
    model = net()
    with torch.no_grad():
        model[2].bias.fill_(torch.nan)
    picture = picture_of(model, of_classes, *points())
    assert picture is not None
    assert (picture.grid == NO_CLASS).all()


def test_points_that_are_not_finite_or_all_the_same_still_have_an_extent() -> None:
    low, high = extent_of(torch.tensor([[1.0, torch.nan], [1.0, torch.inf]]))
    assert low.isfinite().all()
    assert (high > low).all()
    assert grid(low, high, 2, 3).shape == (6, 2)


def test_dropout_is_off_and_batch_norm_uses_what_it_has_learnt() -> None:
    model = nn.Sequential(nn.Linear(2, 8), nn.BatchNorm1d(8), nn.Dropout(0.5), nn.Linear(8, 3)).train()
    x, y = points()
    buffers = [b.clone() for b in model.buffers()]
    first, second = (picture_of(model, of_classes, x, y) for _ in range(2))
    assert first is not None
    assert second is not None
    assert model.training
    model.eval()
    with torch.no_grad():
        low, high = (torch.tensor(each, dtype=torch.float64) for each in (second.low, second.high))
        expected = model(grid(low, high).float()).argmax(1).numpy()
    assert (second.grid.ravel() == expected).mean() > 0.999
    assert len(buffers) == 3


# -- what is left alone -----------------------------------------------------------------------------------

calls = 0


class Counting(nn.Module):
    """Sets a global variable."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = net()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.count(self.inner(x))

    def count(self, x: torch.Tensor) -> torch.Tensor:
        global calls
        calls += 1
        return x


class Printing(Counting):
    def count(self, x: torch.Tensor) -> torch.Tensor:
        print(x.shape)
        return x


class WithLogger(Counting):
    def __init__(self, log: Any) -> None:
        super().__init__()
        self.log = log

    def count(self, x: torch.Tensor) -> torch.Tensor:
        self.log.write("called")
        return x


class KeepsItsActivation(nn.Module):
    """Copies of it are refused by PyTorch: a tensor with history."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = net()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.kept = self.inner(x)
        return self.kept


class OfTwenty(Counting):
    def count(self, x: torch.Tensor) -> torch.Tensor:
        assert len(x) == 20
        return x


def hooked(kept: list[Any]) -> nn.Module:
    model = net()
    model[0].register_forward_hook(lambda *args: kept.append(args[2]))
    return model


def test_a_model_whose_call_would_be_noticed_has_no_picture(
    capsys: pytest.CaptureFixture[str],
) -> None:
    kept: list[Any] = []
    log = io.StringIO()
    models = [
        Counting(),
        Printing(),
        WithLogger(log),
        KeepsItsActivation(),
        hooked(kept),
        OfTwenty(),
    ]
    for model in models:
        x, y = points()
        model(x)
        before = calls, len(kept), log.getvalue()
        capsys.readouterr()
        with torch.no_grad():
            output = model.inner(x) if hasattr(model, "inner") else torch.zeros(20, 3)
        regions = DecisionRegions()
        regions.see((x,), labelled((x,), output, [("cross_entropy", (output, y), {})]))
        assert regions.picture(model, 1, 0.0) is None, type(model).__name__
        assert (calls, len(kept), log.getvalue()) == before
        assert capsys.readouterr().out == ""


def test_weight_norm_of_pytorch_is_no_hook_of_the_users() -> None:
    model = nn.Sequential(nn.utils.parametrizations.weight_norm(nn.Linear(2, 3)))
    assert picture_of(model, of_classes, *points()) is not None


@pytest.mark.parametrize(
    "inputs",
    [torch.randn(20, 3), torch.randn(20, 2, 2), torch.ones(20, 2, dtype=torch.int64)],
    ids=["three features", "sequences", "integers"],
)
def test_other_inputs_have_none(inputs: torch.Tensor, recorded: Recorded) -> None:
    class Any3(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.out = nn.Linear(inputs[0].numel(), 3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.out(x.float().flatten(1))

    train(Any3(), inputs, torch.arange(20) % 3, "cross_entropy", recorded)
    assert not of_kind(recorded, Regions)


def test_a_regression_on_points_has_none(recorded: Recorded) -> None:
    train(net(1), torch.randn(20, 2), torch.randn(20, 1), "mse_loss", recorded)
    assert not of_kind(recorded, Regions)


def train(model: nn.Module, x: Any, y: Any, loss: str, recorded: Recorded | None, **options: Any) -> Any:
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with observe(recorded, **{"budget": 1.0, **options}) if recorded else nullcontext():  # type: ignore[arg-type]
        for _ in range(STEPS):
            optimizer.zero_grad()
            getattr(F, loss)(model(x), y).backward()
            optimizer.step()
    return optimizer


def of_kind(recorded: Recorded, kind: type) -> list[Any]:
    return [picture for picture in recorded.pictures if isinstance(picture, kind)]


def test_the_first_step_has_one_and_the_end_of_the_training(recorded: Recorded) -> None:
    train(net(), *points(), "cross_entropy", recorded)
    assert [picture.step for picture in of_kind(recorded, Regions)] == [1, STEPS]
    assert recorded.failed_probes == []


def test_an_input_that_is_given_by_its_name_is_one_too(recorded: Recorded) -> None:
    class Named(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = net()

        def forward(self, points: torch.Tensor) -> torch.Tensor:
            return self.inner(points)

    model = Named()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    x, y = points()
    with observe(recorded, budget=1.0):  # type: ignore[arg-type]
        F.cross_entropy(model(points=x), y).backward()
        optimizer.step()
    assert of_kind(recorded, Regions)


def test_without_a_budget_there_is_none(recorded: Recorded) -> None:
    train(net(), *points(), "cross_entropy", recorded, budget=0.0)
    assert recorded.pictures == []


# -- not one bit --------------------------------------------------------------------------------------------


def five_points(recorded: Recorded | None) -> bytes:
    config = load_config(FIVE_POINTS, [f"train.steps={STEPS}", "run.device=cpu", "model.dropout=0.2"])
    workload = build(config, FIVE_POINTS.parent)
    watching = observe(recorded, budget=1.0) if recorded else observe(Recorded(), budget=0.0)  # type: ignore[arg-type]
    with watching as observer:
        train_workload(workload, config.train, observer, epoch_ended=lambda _: None, validated=lambda _: None)
    return state_of(workload.model, workload.optimizer)


def test_five_points_train_to_the_same_bits_with_and_without_pictures(
    recorded: Recorded, at_every_step: None
) -> None:
    plain = five_points(None)
    assert five_points(recorded) == plain
    assert len(of_kind(recorded, Regions)) >= STEPS
    assert recorded.failed_probes == []


class Noisy(nn.Module):
    """Draws from all generators, in eval mode too, and counts its calls."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(2, 8), nn.BatchNorm1d(8), nn.Dropout(0.3), nn.Linear(8, 3))
        self.register_buffer("seen", torch.zeros(()))
        self.calls = 0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        self.seen += 1
        x = x + 0.01 * torch.randn_like(x) * random.random() * np.random.rand()
        return self.layers(x) * (1 + 0.001 * self.calls)


def script(recorded: Recorded | None) -> tuple[bytes, int, bool]:
    torch.manual_seed(3)
    random.seed(3)
    np.random.seed(3)
    model = Noisy()
    x, y = points(40)
    optimizer = train(model, x, y, "cross_entropy", recorded)
    return state_of(model, optimizer), model.calls, model.training


def test_a_script_with_dropout_batch_norm_and_noise_trains_to_the_same_bits(
    recorded: Recorded, at_every_step: None
) -> None:
    plain = script(None)
    assert script(recorded) == plain
    assert len(of_kind(recorded, Regions)) >= STEPS
    assert recorded.failed_probes == []


@pytest.fixture
def at_every_step(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pictures are taken at each step."""
    monkeypatch.setattr("sgdb_engine.observe.pace.Pace.due", lambda self, now: self.is_on)


def test_the_call_beside_the_training_is_not_observed(recorded: Recorded, at_every_step: None) -> None:
    train(net(), *points(), "cross_entropy", recorded)
    assert len(of_kind(recorded, Regions)) >= STEPS
    assert len(set(recorded.column("input/max"))) == 1  # that of the batch, not of the grid
