"""`sgdb lr-find`: a curve, two rates to use, and nothing left behind."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Ended, Forked, files

LrFind = Callable[..., Ended]

SCRIPT = """
import torch
from torch import nn
torch.manual_seed(0)
torch.set_num_threads(1)
x = torch.randn(512, 6)
y = (x @ torch.randn(6) > 0).long()
model = nn.Sequential(nn.Linear(6, 32), nn.ReLU(), nn.Linear(32, 2))
optimizer = torch.optim.SGD(model.parameters(), lr=1e-3)
print("begun")
for epoch in range(2):
    for start in range(0, 512, 32):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(x[start:start + 32]), y[start:start + 32]).backward()
        optimizer.step()
open("done.txt", "w").write("trained")
"""


@pytest.fixture
def lr_find(forked: Forked) -> LrFind:
    """The command, headless."""
    return lambda *arguments: forked("lr-find", "--headless", *arguments)


def test_a_config_is_swept_and_told_how_to_use_the_rates(folder: Path, lr_find: LrFind) -> None:
    before = files(folder)
    found = lr_find("run.toml")
    assert found.exit_code == 0, found.stderr
    assert "the loss falls fastest at lr" in found.stderr
    for rate in ("steepest", "minimum/10"):
        assert f"{rate}: " in found.stderr
    assert "sgdb run run.toml --set optimizer.lr=" in found.stderr
    assert files(folder) == before


def test_the_summary_holds_the_curve_and_both_rates(folder: Path, lr_find: LrFind) -> None:
    assert lr_find("--json", "found.json", "run.toml").exit_code == 0
    summary: dict[str, Any] = json.loads((folder / "found.json").read_text())
    assert summary["mode"] == "lr-find"
    curve = summary["lr_find"]
    assert curve["rates"][0] == pytest.approx(1e-7)
    assert curve["rates"] == sorted(curve["rates"])
    rates = summary["checks"][0]["evidence"]
    assert 1e-5 < rates["minimum/10"] < 1
    assert 1e-5 < rates["steepest"] < 10


@pytest.mark.parametrize("more", [("--set", "train.accumulate=2"), ("--set", "schedule.warmup_steps=5")])
def test_accumulation_and_a_warm_up_do_not_mislead_it(
    folder: Path, lr_find: LrFind, more: tuple[str, ...]
) -> None:
    """The rate that is told is the one that the weights were moved by."""
    rates = []
    for given in ((), more):
        assert lr_find("--json", "found.json", *given, "run.toml").exit_code == 0
        rates.append(json.loads((folder / "found.json").read_text())["checks"][0]["evidence"]["minimum/10"])
    assert 0.1 < rates[0] / rates[1] < 10


def test_a_script_is_swept_past_its_end_and_does_not_reach_it(folder: Path, lr_find: LrFind) -> None:
    (folder / "train.py").write_text(SCRIPT)
    before = files(folder)
    found = lr_find("train.py")
    assert found.exit_code in (0, 1), found.stderr
    assert files(folder) == before
    assert "Traceback" not in found.stderr


def test_what_cannot_be_swept_is_told(folder: Path, lr_find: LrFind) -> None:
    (folder / "no_training.py").write_text("print('nothing to train')\n")
    found = lr_find("no_training.py")
    assert "no update of weights was seen" in found.stderr
    missing = lr_find("missing.toml")
    assert missing.exit_code == 2
    assert "there is no such file" in missing.stderr


def test_a_model_whose_loss_never_falls_has_no_suggestion(folder: Path, lr_find: LrFind) -> None:
    config = (folder / "run.toml").read_text()
    (folder / "run.toml").write_text(config.replace('name = "wine"', 'name = "wine"\nrandom_labels = true'))
    found = lr_find("--to", "1e-6", "run.toml")
    assert "sgdb run run.toml --set" not in found.stderr
    assert "Traceback" not in found.stderr
