"""The client says what is the matter, and what to do."""

import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sgdb_engine.control import ControlClient, ControlServer, Pause, Ping
from sgdb_engine.errors import ControlError
from tests.engine.control.conftest import Engine


def test_no_socket_is_a_run_that_has_ended(folder: Path) -> None:
    with pytest.raises(ControlError, match=r"No engine answers at .*/s"):
        ControlClient(folder / "s").send(Ping())


def test_a_socket_that_nobody_listens_at_is_a_run_that_was_killed(folder: Path) -> None:
    left = socket.socket(socket.AF_UNIX)
    left.bind(str(folder / "s"))
    left.close()
    with pytest.raises(ControlError, match="was killed"):
        ControlClient(folder / "s").send(Ping())


def test_an_address_too_long_for_a_socket_is_said(folder: Path) -> None:
    with pytest.raises(ControlError, match="too long"):
        ControlClient(folder / ("x" * 200)).send(Ping())


def test_no_answer_in_time_says_that_the_command_may_still_take_effect(
    server: ControlServer, engine: Engine
) -> None:
    engine.hold = lambda command: True
    with pytest.raises(ControlError, match=r"pause within 0.05 s .* may still come"):
        ControlClient(server.path).send(Pause(), timeout_s=0.05)
    assert [command for command, _ in engine.asked] == [Pause()]


@pytest.fixture
def impostor(folder: Path) -> Iterator[Callable[[bytes], Path]]:
    """Something else that listens: it answers with the given bytes and closes."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(folder / "i"))
    listener.listen()
    threads = []

    def answer(with_bytes: bytes) -> Path:
        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(1000)
                connection.sendall(with_bytes)

        threads.append(threading.Thread(target=serve))
        threads[0].start()
        return folder / "i"

    yield answer
    threads[0].join()
    listener.close()


@pytest.mark.parametrize("line", [b"hello\n", b'{"id":1}\n', b"\xff\n", b"x" * 70000])
def test_an_answer_that_is_none_is_an_error(impostor: Callable[[bytes], Path], line: bytes) -> None:
    with pytest.raises(ControlError, match="not an engine of this version"):
        ControlClient(impostor(line)).send(Ping())


def test_a_connection_closed_without_an_answer_is_an_error(impostor: Callable[[bytes], Path]) -> None:
    with pytest.raises(ControlError, match="without an answer"):
        ControlClient(impostor(b'{"id":1')).send(Ping())


def test_a_full_queue_is_waited_for(folder: Path) -> None:
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(folder / "q"))
    listener.listen(0)
    with listener, socket.socket(socket.AF_UNIX) as first:
        first.connect(str(folder / "q"))
        with pytest.raises(ControlError, match="No answer to ping"):
            ControlClient(folder / "q").send(Ping(), timeout_s=0.05)


def test_an_answer_cannot_bring_control_characters_to_the_terminal(impostor: Callable[[bytes], Path]) -> None:
    line = b'{"id":1,"ok":true,"step":1,"state":"\\u001b[2J","message":"\\u001b]52;c;eA\\u0007"}\n'
    reply = ControlClient(impostor(line)).send(Ping())
    assert "\x1b" not in reply.state + reply.message
