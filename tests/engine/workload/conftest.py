"""Configs for the tests, made from a few overrides."""

from collections.abc import Callable
from pathlib import Path

import pytest

from sgdb_engine.config import RunConfig, parse_config
from sgdb_engine.workload import Workload, build

TEXT = """
[run]
device = "cpu"
[data]
name = "five_points"
validation = 0
[model]
name = "mlp"
[[loss]]
name = "cross_entropy"
[optimizer]
name = "sgd"
lr = 0.1
[train]
epochs = 3
batch_size = 4
"""

Configure = Callable[..., RunConfig]
Build = Callable[..., Workload]


@pytest.fixture
def configure() -> Configure:
    """A small config with some keys set; the table of data or model can be replaced whole."""

    def configured(*overrides: str) -> RunConfig:
        return parse_config(TEXT, origin="run.toml", overrides=overrides)

    return configured


@pytest.fixture
def built(configure: Configure, tmp_path: Path) -> Build:
    """The workload of that config, its files and modules looked up in tmp_path."""

    def build_it(*overrides: str) -> Workload:
        return build(configure(*overrides), tmp_path)

    return build_it
