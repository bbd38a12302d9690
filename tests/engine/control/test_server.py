"""The server answers those who behave, whatever the others do."""

import contextlib
import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sgdb_engine.control import Checkpoint, ControlClient, ControlServer, Outcome, Pause, Ping, Step
from sgdb_engine.control import server as server_module
from sgdb_engine.control.commands import MAX_LINE_BYTES
from sgdb_engine.errors import ControlError
from tests.engine.control.conftest import Engine

Connect = Callable[[], socket.socket]
PING = b'{"id":5,"command":{"type":"ping"}}\n'
PATIENCE_S = 20.0


def ping(server: ControlServer) -> bool:
    return ControlClient(server.path).send(Ping(), PATIENCE_S).ok


def read_reply(connection: socket.socket) -> dict[str, object]:
    return dict(json.loads(connection.makefile("rb").readline()))


def test_a_command_reaches_the_engine_with_who_sent_it(server: ControlServer, engine: Engine) -> None:
    reply = ControlClient(server.path).send(Step(3))
    assert (reply.ok, reply.step, reply.state) == (True, 7, "running")
    assert engine.asked == [(Step(3), f"pid {os.getpid()}")]


def test_one_connection_can_ask_many_times_and_is_answered_in_order(connect: Connect) -> None:
    connection = connect()
    connection.sendall(b"".join(PING.replace(b"5", b"%d" % number) for number in range(20)))
    lines = connection.makefile("rb")
    assert [json.loads(lines.readline())["id"] for _ in range(20)] == list(range(20))


def test_a_request_may_come_byte_by_byte_and_its_sender_may_stop_listening_for_more(
    connect: Connect,
) -> None:
    connection = connect()
    for byte in PING:
        connection.send(bytes([byte]))
    connection.shutdown(socket.SHUT_WR)
    assert read_reply(connection)["id"] == 5


def test_a_pause_is_answered_when_it_took_effect_and_others_are_served_meanwhile(
    server: ControlServer, engine: Engine, connect: Connect
) -> None:
    engine.hold = lambda command: command == Pause()
    waiting = connect()
    waiting.sendall(b'{"id":9,"command":{"type":"pause"}}\n')
    assert ping(server)
    assert ping(server)
    threading.Thread(target=lambda: engine.held[0].set_result(Outcome(1234, "paused", "held"))).start()
    assert read_reply(waiting) == {"id": 9, "ok": True, "step": 1234, "state": "paused", "message": "held"}


@pytest.mark.parametrize(
    ("finish", "message"),
    [
        (
            lambda future: future.set_result(Outcome(8, "running", "refused: no room", ok=False)),
            "refused: no room",
        ),
        (lambda future: future.set_exception(OSError("disk full")), "The engine could not do it: disk full"),
        (lambda future: future.cancel(), "The engine could not do it: CancelledError"),
    ],
)
def test_what_the_engine_cannot_do_is_said_in_the_reply(
    server: ControlServer, engine: Engine, finish: Callable[["Future[Outcome]"], object], message: str
) -> None:
    engine.finish = finish
    reply = ControlClient(server.path).send(Checkpoint(), PATIENCE_S)
    assert (reply.ok, reply.message) == (False, message)


def test_an_engine_that_raises_is_a_refusal_and_the_server_lives(folder: Path) -> None:
    def submit(command: object, by: str) -> "Future[Outcome]":
        raise RuntimeError("not started yet")

    server = ControlServer(folder / "s", submit)
    with contextlib.closing(server):
        for _ in range(2):
            reply = ControlClient(server.path).send(Ping(), PATIENCE_S)
            assert (reply.ok, reply.message) == (False, "The engine could not take it: not started yet")


@pytest.mark.parametrize(
    "junk",
    [
        b"\n",
        b"GET / HTTP/1.1\r\n",
        b"\x00\xff\xfe\n",
        b'{"id":1}\n',
        b'{"id":-1,"command":{"type":"ping"}}\n',
        b'{"id":1,"command":{"type":"eval","code":"1"}}\n',
        b"[" * 60000 + b"\n",
        b'{"id":' + b"9" * 60000 + b',"command":{"type":"ping"}}\n',
        b"x" * 200_000,
    ],
    ids=lambda junk: repr(junk[:20]),
)
def test_junk_is_answered_with_an_error_and_the_connection_is_closed(
    server: ControlServer, engine: Engine, connect: Connect, junk: bytes
) -> None:
    connection = connect()
    with contextlib.suppress(BrokenPipeError):
        connection.sendall(junk)
    lines = connection.makefile("rb")
    reply = json.loads(lines.readline())
    assert (reply["id"], reply["ok"]) == (0, False)
    assert reply["message"].startswith("Not a request")
    with contextlib.suppress(ConnectionResetError):
        assert lines.readline() == b""
    assert ping(server)
    assert len(engine.asked) == 1


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(junk=st.binary(max_size=300))
def test_no_bytes_end_the_server(server: ControlServer, connect: Connect, junk: bytes) -> None:
    connection = connect()
    connection.sendall(junk)
    connection.close()
    assert server._thread.is_alive()
    assert ping(server)


def test_a_request_of_the_largest_size_is_taken_and_one_byte_more_is_not(connect: Connect) -> None:
    for size, ok in ((MAX_LINE_BYTES, True), (MAX_LINE_BYTES + 1, False)):
        connection = connect()
        connection.sendall(PING.rstrip().ljust(size) + b"\n")
        assert read_reply(connection)["ok"] is ok


def test_half_a_line_and_silence_hold_up_nobody(server: ControlServer, connect: Connect) -> None:
    connect()
    connect().sendall(PING[:10])
    assert ping(server)


def test_a_client_that_never_reads_is_no_longer_listened_to(
    server: ControlServer, engine: Engine, connect: Connect
) -> None:
    stuck = connect()
    stuck.setblocking(False)
    sent = 0
    with contextlib.suppress(BlockingIOError):
        while sent < 50_000_000:  # far more than the kernel keeps for us
            sent += stuck.send(PING * 1000)
    assert sent < 50_000_000
    assert ping(server)


def test_a_flood_from_one_client_leaves_room_for_the_others(server: ControlServer, connect: Connect) -> None:
    flood = connect()
    stop = threading.Event()

    def pour() -> None:
        with contextlib.suppress(OSError):
            while not stop.is_set():
                flood.sendall(PING * 100)

    def drain() -> None:
        with contextlib.suppress(OSError):
            while flood.recv(65536):
                pass

    threads = [threading.Thread(target=work, daemon=True) for work in (pour, drain)]
    for thread in threads:
        thread.start()
    assert all(ping(server) for _ in range(5))
    stop.set()
    flood.shutdown(socket.SHUT_RDWR)
    for thread in threads:
        thread.join()


def test_among_too_many_connections_the_one_silent_longest_makes_room(
    server: ControlServer, engine: Engine, connect: Connect
) -> None:
    engine.hold = lambda command: command == Pause()
    waiting = connect()
    waiting.sendall(b'{"id":9,"command":{"type":"pause"}}\n')
    assert ping(server)
    silent = connect()
    for _ in range(2 * server_module.MAX_CLIENTS):
        connect()
        assert ping(server)
    assert silent.recv(1) == b""
    engine.held[0].set_result(Outcome(3, "paused"))
    assert read_reply(waiting)["step"] == 3, "who waits for an answer is kept"


def test_a_socket_file_that_was_removed_comes_back(
    folder: Path, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_module, "LOOK_EVERY_S", 0.02)
    path = folder / "sock" / "s"
    with contextlib.closing(ControlServer(path, engine.submit)):
        for remove in (path.unlink, lambda: (path.unlink(), path.parent.rmdir())):
            before = path.stat().st_ino
            remove()
            while not path.exists() or path.stat().st_ino == before:
                time.sleep(0.01)
            time.sleep(0.1)  # the file is there a moment before anybody listens at it
            assert ControlClient(path).send(Ping(), PATIENCE_S).ok


def test_the_socket_file_goes_when_the_server_closes(folder: Path, engine: Engine) -> None:
    server = ControlServer(folder / "s", engine.submit)
    assert server.path.stat().st_mode & 0o777 == 0o600
    server.close()
    server.close()
    assert not server.path.exists()
    assert not server._thread.is_alive()


def test_closing_leaves_a_socket_file_that_is_not_its_own(folder: Path, engine: Engine) -> None:
    old = ControlServer(folder / "s", engine.submit)
    new = ControlServer(folder / "s", engine.submit)
    old.close()
    with contextlib.closing(new):
        assert ping(new)


def test_closing_gives_the_last_answers(folder: Path, engine: Engine) -> None:
    engine.hold = lambda command: True
    server = ControlServer(folder / "s", engine.submit)
    connections = []
    for _ in range(2):
        connection = socket.socket(socket.AF_UNIX)
        connection.settimeout(PATIENCE_S)
        connection.connect(str(server.path))
        connection.sendall(PING)
        connections.append(connection)
    while len(engine.held) < 2:
        threading.Event().wait(0.01)
    engine.held[0].set_result(Outcome(99, "stopped"))
    server.close()
    replies = sorted(
        (read_reply(connection) for connection in connections), key=lambda reply: bool(reply["ok"])
    )
    assert "ended before" in str(replies[0]["message"])
    assert (replies[1]["state"], replies[1]["step"]) == ("stopped", 99)
    engine.held[1].set_result(Outcome(100, "stopped"))  # too late, and harms nobody
    for connection in connections:
        connection.close()


def test_a_dead_runs_socket_is_replaced_but_not_a_file(folder: Path, engine: Engine) -> None:
    left = socket.socket(socket.AF_UNIX)
    left.bind(str(folder / "s"))
    left.close()
    with contextlib.closing(ControlServer(folder / "s", engine.submit)) as server:
        assert ping(server)
    (folder / "s").write_text("precious")
    with pytest.raises(ControlError, match="in the way"):
        ControlServer(folder / "s", engine.submit)
    assert (folder / "s").read_text() == "precious"


def test_a_folder_that_others_can_enter_is_refused(folder: Path, engine: Engine) -> None:
    folder.chmod(0o755)
    with pytest.raises(ControlError, match="must be 0700"):
        ControlServer(folder / "s", engine.submit)


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_forked_child_neither_keeps_the_sockets_open_nor_removes_the_file(
    server: ControlServer, connect: Connect, folder: Path
) -> None:
    connection = connect()
    connection.sendall(PING)
    assert read_reply(connection)["ok"]
    os.link(server.path, folder / "other name")  # the first goes when the server closes
    end_of_parent, end_of_child = socket.socketpair()
    child = os.fork()
    if child == 0:
        server.close()
        end_of_parent.close()
        end_of_child.recv(1)
        os._exit(0)
    with end_of_parent, end_of_child:
        assert ping(server)
        server.close()
        assert connection.recv(1) == b""
        with socket.socket(socket.AF_UNIX) as late, pytest.raises(ConnectionRefusedError):
            late.connect(str(folder / "other name"))
    assert os.waitpid(child, 0)[1] == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be somebody else")
class TestAnotherUser:
    """Uid 65534, who knows the path."""

    ATTACK = (
        "import os, socket, sys; os.setgroups([]); os.setgid(65534); os.setuid(65534);"
        "s = socket.socket(socket.AF_UNIX); s.settimeout(20); s.connect(sys.argv[1]);"
        's.sendall(b\'{"id":5,"command":{"type":"stop"}}\\n\'); sys.exit(len(s.recv(100)))'
    )

    def attack(self, path: Path) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [sys.executable, "-I", "-c", self.ATTACK, str(path)], capture_output=True, text=True
        )

    def test_cannot_reach_the_socket(self, server: ControlServer, engine: Engine) -> None:
        assert "PermissionError" in self.attack(server.path).stderr
        assert engine.asked == []

    def test_is_refused_by_his_uid_even_where_the_modes_let_him_in(
        self, server: ControlServer, engine: Engine
    ) -> None:
        server.path.parent.chmod(0o755)
        server.path.chmod(0o777)
        attack = self.attack(server.path)
        assert attack.returncode == 0 or "BrokenPipeError" in attack.stderr or "ResetError" in attack.stderr
        assert engine.asked == []
        assert ping(server)
