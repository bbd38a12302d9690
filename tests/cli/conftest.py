"""The command line, called in this process, in an empty folder of its own."""

import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner, Result

from sgdb.cli import commands

CONFIG = """
[run]
name = "small"
device = "cpu"
[data]
name = "wine"
[model]
name = "mlp"
[[loss]]
name = "cross_entropy"
[optimizer]
name = "adam"
lr = 0.01
[train]
epochs = 2
batch_size = 32
"""
"""Five steps an epoch."""

Sgdb = Callable[..., Result]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with run.toml in it; temporary files go beside it."""
    here, temporary = tmp_path / "here", tmp_path / "temporary"
    here.mkdir()
    temporary.mkdir()
    (here / "run.toml").write_text(CONFIG)
    monkeypatch.chdir(here)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("TMPDIR", str(temporary))
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path / "kernels"))
    monkeypatch.setattr("tempfile.tempdir", str(temporary))
    return here


@pytest.fixture
def sgdb() -> Iterator[Sgdb]:
    """Calls `sgdb`; what it does to signals and threads is undone."""
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGTTOU, signal.SIGTTIN)
    handlers = {number: signal.getsignal(number) for number in numbers}
    threads = torch.get_num_threads()
    torch.set_num_threads(1)

    def call(*arguments: str) -> Result:
        return CliRunner().invoke(commands, arguments, prog_name="sgdb")

    yield call
    torch.set_num_threads(threads)
    for number, handler in handlers.items():
        signal.signal(number, handler)


def files(folder: Path) -> set[str]:
    """All files and folders below, by their relative names."""
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}
