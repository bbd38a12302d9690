"""An experiment in a process that begins the script anew gives what a forked one gives."""

from pathlib import Path
from typing import Any

import pytest

from sgdb_engine.checks.fresh import begin_anew
from sgdb_engine.launch import Order

SCRIPT = """
import sys
import torch
from torch import nn
torch.manual_seed(0)
open("made_by_the_script", "w").write(sys.argv[1])
x = torch.randn(256, 6)
loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(x, (x[:, 0] > 0).long()), 32, shuffle=True)
model = nn.Sequential(nn.Linear(6, 32), nn.ReLU(), nn.Linear(32, 2))
optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
for epoch in range(3):
    for inputs, targets in loader:
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(inputs), targets)
        loss.backward()
        optimizer.step()
        torch.save(model.state_dict(), "checkpoint.pt")
"""


@pytest.fixture
def order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Order:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "train.py").write_text(SCRIPT)
    return Order(
        folder=str(tmp_path),
        mode="check",
        kind="script",
        target="train.py",
        arguments=("word",),
        base=str(tmp_path),
    )


def test_a_batch_is_learnt_by_heart_in_a_new_process_and_no_file_of_the_users_is_written(
    order: Order, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    told: list[tuple[str, Any]] = []
    scratch = tmp_path_factory.mktemp("s")
    outcome = begin_anew(order, "overfit", lambda kind, value: told.append((kind, value)), 60.0, scratch)
    assert outcome.failure == ""
    losses = outcome.result["losses"]
    assert losses[0] > 0.5
    assert losses[-1] < 0.1 * losses[0]
    assert [value for kind, value in told if kind == "loss"] == losses[1:]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["train.py"]


def test_a_script_that_never_updates_gives_a_reason(
    order: Order, tmp_path: Path, tmp_path_factory: Any
) -> None:
    (tmp_path / "train.py").write_text("import torch\n")
    outcome = begin_anew(order, "overfit", lambda kind, value: None, 60.0, tmp_path_factory.mktemp("s"))
    assert outcome.result is None
    assert "before its first update" in outcome.failure
