"""Runs to look at."""

from collections.abc import Callable
from pathlib import Path

import pytest

from sgdb_engine.events import State
from tests.tui.app.recorded import make_folder, record, write_state


@pytest.fixture(scope="session")
def gpt_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A live run as it stands after 2000 steps. Read-only: tests share it."""
    folder = make_folder(tmp_path_factory.mktemp("runs"))
    record(folder)
    write_state(folder, "running")
    (folder / "output.log").write_text("loading data\nepoch 0 begins\n")
    return folder


@pytest.fixture
def empty_run(tmp_path: Path) -> Path:
    """A run whose engine is just starting."""
    folder = make_folder(tmp_path)
    write_state(folder, "starting", step=0, message="importing torch")
    return folder


@pytest.fixture
def small_run(tmp_path: Path) -> Callable[..., Path]:
    """Makes a short run in the state asked for."""

    def make(state: State = "running", **more: object) -> Path:
        folder = make_folder(tmp_path)
        record(folder, num_steps=60)
        write_state(folder, state, step=60, **more)
        return folder

    return make
