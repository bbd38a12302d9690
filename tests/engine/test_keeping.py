"""After each validation: the best is marked and kept, epochs are saved, a training that gains nothing ends."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from sgdb_engine.checkpoint import load_checkpoint
from sgdb_engine.config import parse_config
from sgdb_engine.ending import End
from sgdb_engine.errors import ConfigError
from sgdb_engine.events import CheckpointSaved, Noted, Validated
from sgdb_engine.keeping import Best
from sgdb_engine.recording.reader import RunReader
from sgdb_engine.session import Engine
from sgdb_engine.training import training_of

TIMEOUT_S = 60.0

CONFIG = """
[run]
device = "cpu"
[data]
name = "spirals"
points = 40
[model]
name = "mlp"
width = 4
[[loss]]
name = "cross_entropy"
[optimizer]
name = "sgd"
lr = 0.1
[train]
epochs = 5
batch_size = 16
"""


class Ran:
    """A run of the config that is over."""

    def __init__(
        self, folder: Path, *overrides: str, text: str = CONFIG, max_steps: int | None = None
    ) -> None:
        config = parse_config(text, origin="run.toml", overrides=overrides)
        engine = Engine(folder, training_of(config, Path()), max_steps=max_steps)
        engine.start()
        end = engine.wait(TIMEOUT_S)
        assert end is not None
        self.end: End = end
        self.epochs = engine.epoch
        self.events: Sequence[Any] = RunReader(folder).poll().events
        self.notes = [event.text for event in self.events if isinstance(event, Noted)]
        self.saved = [event.path for event in self.events if isinstance(event, CheckpointSaved)]
        self.validations = [event for event in self.events if isinstance(event, Validated)]


def names(folder: Path) -> list[str]:
    return sorted(path.name.rsplit("-", 1)[0] for path in folder.iterdir())


def test_each_epoch_is_saved_and_the_newest_are_kept(tmp_path: Path) -> None:
    ran = Ran(tmp_path, "train.checkpoint={ keep = 2 }")
    assert ran.end.state == "finished"
    assert len(ran.saved) == 5
    assert names(tmp_path / "checkpoints") == ["step-00000008", "step-00000010"]
    assert not (tmp_path / "best").exists()
    last = load_checkpoint(tmp_path / "checkpoints")
    assert (last.step, last.state["epoch"], last.state["gradients"]) == (10, 5, {})


def test_a_number_of_epochs_between_two_checkpoints_is_kept_to(tmp_path: Path) -> None:
    Ran(tmp_path, "train.checkpoint={ every = 2 }")
    assert names(tmp_path / "checkpoints") == ["step-00000004", "step-00000008"]


@pytest.mark.parametrize(("metric", "choose"), [("val/loss", min), ("val/accuracy", max)])
def test_the_best_model_is_in_best_and_the_end_says_so(tmp_path: Path, metric: str, choose: Any) -> None:
    ran = Ran(tmp_path, f'train.checkpoint={{ best = "{metric}" }}')
    best = choose(ran.validations, key=lambda event: event.metrics[metric])
    marked = [event for event in ran.validations if event.best]
    assert marked[-1].step == best.step
    kept = load_checkpoint(tmp_path / "best")
    assert kept.step == best.step
    assert len(names(tmp_path / "best")) == 1
    assert sum(path.startswith("best/") for path in ran.saved) == len(marked)
    assert ran.notes[-1].startswith("The result is the model in best/")
    assert f"after step {best.step}" in ran.notes[-1]


def test_a_run_that_is_stopped_says_where_its_best_is_too(tmp_path: Path) -> None:
    ran = Ran(tmp_path, 'train.checkpoint={ best = "val/loss" }', max_steps=3)
    assert ran.end.state == "stopped"
    assert any("The result is the model in best/" in note for note in ran.notes)


def test_a_training_that_gains_nothing_ends_after_as_many_validations_as_patience(tmp_path: Path) -> None:
    ran = Ran(tmp_path, "train.early_stopping={ patience = 2 }", "optimizer.lr=0")
    assert (ran.end.state, ran.end.exit_code, ran.epochs) == ("finished", 0, 3)
    (note,) = ran.notes
    assert "Early stopping after epoch 3" in note
    assert "in epoch 1, after step 2" in note


def test_a_gain_below_min_delta_is_none(tmp_path: Path) -> None:
    ran = Ran(tmp_path, "train.early_stopping={ patience = 3, min_delta = 1e9 }")
    assert ran.epochs == 4


def test_without_the_keys_nothing_is_saved_and_nothing_noted(tmp_path: Path) -> None:
    ran = Ran(tmp_path, "optimizer.lr=0")
    assert (ran.epochs, ran.saved, ran.notes) == (5, [], [])
    assert [event.best for event in ran.validations] == [True, False, False, False, False]


def test_a_save_that_fails_is_told_and_the_training_goes_on(tmp_path: Path) -> None:
    (tmp_path / "checkpoints").write_text("in the way")
    ran = Ran(tmp_path, "train.checkpoint={}")
    assert (ran.end.state, ran.epochs) == ("finished", 5)
    assert len(ran.notes) == 5
    assert ran.notes[0].startswith("Not saved into checkpoints/")


@pytest.mark.parametrize("asked", ["early_stopping={}", 'checkpoint={ best = "val/loss" }'])
def test_what_needs_a_validation_set_is_refused_without_one(tmp_path: Path, asked: str) -> None:
    ran = Ran(tmp_path, f"train.{asked}", "data.validation=0")
    assert (ran.end.state, ran.end.exit_code) == ("failed", 2)
    assert "needs a validation set" in ran.end.message


def test_an_accuracy_that_the_loss_does_not_have_is_refused(tmp_path: Path) -> None:
    text = CONFIG.replace('"cross_entropy"', '"mse"').replace('"spirals"\npoints = 40', '"diabetes"')
    ran = Ran(tmp_path, 'train.checkpoint={ best = "val/accuracy" }', text=text)
    assert ran.end.exit_code == 2
    assert "has no accuracy" in ran.end.message


@pytest.mark.parametrize(
    ("override", "told"),
    [
        (
            "train.early_stopping={ patience = 0 }",
            "train.early_stopping.patience = 0: must be a whole number",
        ),
        ("train.early_stopping={ patienc = 1 }", "Did you mean 'patience'?"),
        ("train.early_stopping=5", "must be a table"),
        ('train.checkpoint={ every = "day" }', 'train.checkpoint.every = "day": must be'),
        ("train.checkpoint={ keep = 0 }", "train.checkpoint.keep = 0: must be a whole number, at least 1"),
        ('train.checkpoint={ best = "val/acuracy" }', "Did you mean 'val/accuracy'?"),
    ],
)
def test_a_wrong_value_is_told_with_its_key(override: str, told: str) -> None:
    with pytest.raises(ConfigError) as error:
        parse_config(CONFIG, origin="run.toml", overrides=[override])
    assert told in str(error.value)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_is_not_finite_is_never_the_best(value: float) -> None:
    best = Best("val/loss")
    assert not best.improved({"val/loss": value}, 1, 1)
    assert best.improved({"val/loss": 2.0}, 2, 2)
    assert not best.improved({"val/loss": value}, 3, 3)
    assert (best.value, best.epoch, best.waited) == (2.0, 2, 1)


def test_keeping_changes_no_weight(tmp_path: Path) -> None:
    for name, more in (("plain", ()), ("kept", ('train.checkpoint={ best = "val/loss" }',))):
        (tmp_path / name).mkdir()
        # the last state of both is saved in the same way
        Ran(tmp_path / name, "train.checkpoint={ every = 5 }", *more)
    plain, kept = (load_checkpoint(tmp_path / name / "checkpoints").state for name in ("plain", "kept"))
    assert all(torch.equal(plain["model"][key], kept["model"][key]) for key in plain["model"])


FACTORY = """
import torch
from torch import nn
import sgdb_engine.workload as workload

model = nn.Linear(1, 1, bias=False)

class Batches(list):
    epochs = 0
    def __iter__(self):
        self.epochs += 1
        if self.epochs == 6 and RAISES is not None:
            raise RAISES
        return super().__iter__()

def make():
    nn.init.zeros_(model.weight)
    x, y = torch.ones(4, 1), torch.full((4, 1), 10.0)
    return workload.Workload(
        model=model, optimizer=torch.optim.SGD(model.parameters(), lr=0.05), loss=nn.functional.mse_loss,
        train=Batches([(x, y)] * 2), val=[(x, torch.full((4, 1), 4.0))], epochs=8)
"""


@pytest.mark.parametrize("reason", ["finished", "stopped", "failed", "interrupted"])
def test_the_best_weights_are_put_back_however_the_run_ends(
    tmp_path: Path, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sgdb_engine import training as made
    from sgdb_engine.config.records import CheckpointPlan, TrainSection

    name = f"own_{reason}"
    raises = {"failed": "RuntimeError()", "interrupted": "KeyboardInterrupt()"}.get(reason)
    (tmp_path / f"{name}.py").write_text(f"RAISES = {raises}\n{FACTORY}")
    section = TrainSection(epochs=8, checkpoint=CheckpointPlan(best="val/loss"))
    monkeypatch.setattr(made, "TrainSection", lambda epochs: section)
    folder = tmp_path / "run"
    folder.mkdir()
    engine = Engine(folder, made.training_of_factory(f"{name}:make", tmp_path))

    def safe_point(step: int) -> None:
        if step == 10 and reason == "stopped":
            engine.stop()
        engine.gate.pass_through(step)

    engine.safe_point = safe_point
    engine.start()
    end = engine.wait(TIMEOUT_S)
    assert end is not None
    assert end.state == {"finished": "finished", "stopped": "stopped"}.get(reason, "failed")
    best = load_checkpoint(folder / "best").state["model"]["weight"]
    model = __import__(name).model
    assert torch.equal(model.weight.detach(), best)
    assert abs(float(model.weight.detach()) - 4) < 1.5
    if reason == "stopped":  # whoever goes on from where it was finds the last weights
        last = load_checkpoint(folder / "checkpoints").state["model"]["weight"]
        assert not torch.equal(last, best)


def test_a_plateau_without_a_validation_set_is_refused(tmp_path: Path) -> None:
    ran = Ran(tmp_path, 'schedule={name = "plateau"}', "data.validation=0")
    assert ran.end.refused
    assert 'schedule.name = "plateau" waits for val/loss' in ran.end.message


def test_a_plateau_lowers_the_rate_of_a_run(tmp_path: Path) -> None:
    Ran(tmp_path, 'schedule={name = "plateau", patience = 0, min_delta = 100, factor = 0.5}')
    rows = RunReader(tmp_path).poll().scalars
    rates = [
        float(value)
        for row in rows
        if "lr" in row.columns
        for value in row.values[:, row.columns.index("lr")]
    ]
    assert rates[0] == pytest.approx(0.1)
    assert rates[-1] < 0.1
