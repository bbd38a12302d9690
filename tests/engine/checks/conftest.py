"""Checks of small configs whose model or data is written on the spot."""

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import torch

from sgdb_engine.events import CheckStage, Finding
from sgdb_engine.orders import engine_for
from sgdb_engine.session import Engine
from sgdb_engine.target import resolve

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
epochs = 200
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


def check_of(target: Path, folder: Path, *overrides: str) -> Engine:
    """The check of a config, over, recorded in `folder`."""
    folder.mkdir(exist_ok=True)
    engine = engine_for(resolve(str(target), overrides=overrides).order(folder, "check"), Engine)
    engine.start()
    engine.wait()
    return engine


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
        engine = check_of(tmp_path / "run.toml", tmp_path / "recorded", *overrides)
        assert engine.end is not None
        return engine

    return check


def stages(engine: Engine) -> dict[str, CheckStage]:
    """By their names."""
    assert len({stage.name for stage in engine.checks}) == len(engine.checks)
    return {stage.name: stage for stage in engine.checks}


def found(engine: Engine, severities: Sequence[str] = ("error", "warning")) -> dict[str, Finding]:
    """What is told of a check, by its code."""
    return {finding.code: finding for finding in engine.findings if finding.severity in severities}


def fails(engine: Engine) -> bool:
    """Whether a host would end this check with exit code 1."""
    return bool(found(engine, ("error",))) or any(stage.status == "fail" for stage in engine.checks)
