"""Checks of small configs whose model or data is written on the spot."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from sgdb_engine.checks.overfit import check_of
from sgdb_engine.config import load_config
from sgdb_engine.session import Engine

CLASSES = """
[run]
device = "cpu"
[data]
name = "wine"
[model]
{model}
[[loss]]
name = "cross_entropy"
[optimizer]
name = "adam"
lr = 0.01
[train]
epochs = 5
batch_size = 32
"""
NUMBERS = CLASSES.replace("wine", "diabetes").replace("cross_entropy", "mse")
MLP = 'name = "mlp"\nlayers = 2\nwidth = 64'
OWN = 'use = "{module}:Net"'

Checked = Callable[..., Engine]


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> None:
    """Small tensors on a busy machine: a second thread is mostly waited for."""
    torch.set_num_threads(1)


@pytest.fixture
def checked(tmp_path: Path) -> Checked:
    """Checks a config; `model` is the source of a class Net, in a module of a name of its own beside the config."""

    def check(*overrides: str, text: str = CLASSES, model: str | None = None) -> Engine:
        section = MLP
        if model is not None:
            module = f"model_of_{tmp_path.name}_{len(list(tmp_path.glob('*.py')))}"
            (tmp_path / f"{module}.py").write_text(f"import torch\nfrom torch import nn\n{model}")
            section = OWN.format(module=module)
        (tmp_path / "run.toml").write_text(text.format(model=section))
        folder = tmp_path / "recorded"
        folder.mkdir(exist_ok=True)
        engine = Engine(folder, check_of(load_config(tmp_path / "run.toml", overrides), tmp_path))
        engine.start()
        engine.wait()
        return engine

    return check


@pytest.fixture
def verdict(checked: Checked) -> Callable[..., tuple[str, str]]:
    """Status and reason of a check that ran to its end."""

    def check(*overrides: str, text: str = CLASSES, model: str | None = None) -> tuple[str, str]:
        engine = checked(*overrides, text=text, model=model)
        assert engine.end is not None
        assert engine.end.state == "finished", engine.end
        (stage,) = engine.checks
        assert engine.end.exit_code == (1 if stage.status == "fail" else 0)
        return stage.status, stage.reason

    return check
