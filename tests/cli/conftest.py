"""The command line, called in this process, in an empty folder of its own."""

import os
import signal
import sys
import traceback
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
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


@dataclass(frozen=True)
class Ended:
    """How a command ended that had a process of its own."""

    exit_code: int
    stdout: str
    stderr: str


Forked = Callable[..., Ended]


@pytest.fixture
def forked(tmp_path: Path) -> Forked:
    """Calls `sgdb` in a fork of this process: a check ends its process, and this one has imported torch already."""

    def call(*arguments: str) -> Ended:
        outputs = [tmp_path / name for name in ("stdout", "stderr")]
        with warnings.catch_warnings():
            warnings.simplefilter(
                "ignore", DeprecationWarning
            )  # of forking beside threads: the child has one
            pid = os.fork()
        if pid == 0:
            _become_command(arguments, outputs)
        try:
            status = os.waitpid(pid, 0)[1]
            pid = 0
        finally:
            if pid:
                os.kill(pid, signal.SIGKILL)
        return Ended(os.waitstatus_to_exitcode(status), *(path.read_text() for path in outputs))

    return call


def _become_command(arguments: tuple[str, ...], outputs: list[Path]) -> None:
    code = 70
    try:
        for number, path in zip((0, 1, 2), (Path(os.devnull), *outputs), strict=True):
            opened = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC)
            os.dup2(opened, number)
            os.close(opened)
        sys.stdout = sys.__stdout__ = open(1, "w", closefd=False)  # noqa: SIM115
        sys.stderr = sys.__stderr__ = open(2, "w", closefd=False)  # noqa: SIM115
        sys.argv = ["sgdb", *arguments]
        warnings.resetwarnings()
        torch.set_num_threads(1)
        commands.main(arguments, prog_name="sgdb")
    except SystemExit as leaving:
        code = leaving.code if isinstance(leaving.code, int) else 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def files(folder: Path) -> set[str]:
    """All files and folders below, by their relative names."""
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}
