"""Opens terminals, and ends what is left of them."""

from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from sgdb_engine.recording.folder import find_runs, is_alive, read_status
from tests.terminal.pseudo_terminal import Terminal


@pytest.fixture
def open_terminal(tmp_path: Path) -> Iterator[Callable[..., Terminal]]:
    """Opens programs on terminals, and ends what is left of them."""
    opened: list[Terminal] = []

    def start(command: list[str], **options: object) -> Terminal:
        opened.append(Terminal(command, tmp_path, **options))  # type: ignore[arg-type]
        return opened[-1]

    yield start
    for terminal in opened:
        if not terminal.child.closed:
            terminal.child.close(force=True)
    for run in find_runs(tmp_path / "runs"):  # of a test that failed
        status = read_status(run)
        if is_alive(status):
            psutil.Process(status.pid).kill()
