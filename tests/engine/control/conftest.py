"""A server on a short path, and an engine that answers at once or when the test says so."""

import shutil
import socket
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from pathlib import Path

import pytest

from sgdb_engine.control import Command, ControlServer, Outcome


class Engine:
    """Stands for the gate: remembers what it was asked, and answers at once unless told to hold."""

    def __init__(self) -> None:
        self.asked: list[tuple[Command, str]] = []
        self.held: list[Future[Outcome]] = []
        self.hold: Callable[[Command], bool] = lambda command: False
        self.finish: Callable[[Future[Outcome]], object] = lambda future: future.set_result(
            Outcome(7, "running")
        )

    def submit(self, command: Command, by: str) -> "Future[Outcome]":
        self.asked.append((command, by))
        future: Future[Outcome] = Future()
        if self.hold(command):
            self.held.append(future)
        else:
            self.finish(future)
        return future


@pytest.fixture
def engine() -> Engine:
    return Engine()


@pytest.fixture
def folder() -> Iterator[Path]:
    """A private folder whose name is short enough for the address of a socket."""
    path = Path(tempfile.mkdtemp(prefix="sgdb-"))
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture
def server(folder: Path, engine: Engine) -> Iterator[ControlServer]:
    server = ControlServer(folder / "s", engine.submit)
    yield server
    server.close()


@pytest.fixture
def connect(server: ControlServer) -> Iterator[Callable[[], socket.socket]]:
    """Raw connections to the server, for clients that do not behave."""
    opened: list[socket.socket] = []

    def open_one() -> socket.socket:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.settimeout(20)
        connection.connect(str(server.path))
        opened.append(connection)
        return connection

    yield open_one
    for connection in opened:
        connection.close()
