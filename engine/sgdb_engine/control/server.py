"""The engine's end of the control socket: one thread that takes commands, and that no client can hold up."""

import contextlib
import os
import selectors
import socket
import stat
import struct
import threading
import time
import weakref
from collections.abc import Callable
from concurrent.futures import CancelledError, Future
from pathlib import Path

import msgspec

from sgdb_engine.control.commands import MAX_LINE_BYTES, Command, Outcome, Reply, Request
from sgdb_engine.control.socket_file import make_private_folder
from sgdb_engine.errors import ControlError

MAX_CLIENTS = 32
LOOK_EVERY_S = 5.0
"""How often the socket file is looked for: cleaners of temporary folders remove it."""
PACE_S = 0.005
"""Rest after each round. One round takes at most one request from each client, so that a flood of them
cannot take the interpreter from the training."""

Submit = Callable[[Command, str], "Future[Outcome]"]


class ControlServer:
    """Listens at a path from construction to `close()`, in a daemon thread.

    `submit(command, by)` is called in that thread and must return at once; the reply is sent when its future
    is done. A connection has one request under way at a time; its next line is read after the reply.
    Raises ControlError when the socket cannot be made.
    """

    def __init__(self, path: Path, submit: Submit) -> None:
        self.path = Path(path)
        self._submit = submit
        self._clients: list[_Client] = []
        self._closing = threading.Event()
        self._pid = os.getpid()
        self._look_at = time.monotonic() + LOOK_EVERY_S
        try:
            self._listener, self._identity = _listen(self.path)
        except OSError as error:
            raise ControlError(f"No control socket at {self.path}: {error}") from error
        self._woken, self._waker = socket.socketpair()
        self._woken.setblocking(False)
        self._waker.setblocking(False)
        self._thread = threading.Thread(target=self._run, name="sgdb-control", daemon=True)
        self._thread.start()
        _SERVERS.add(self)

    def close(self) -> None:
        """Answer what is answered, refuse what is not, remove the socket file. Can be called again."""
        if os.getpid() != self._pid:
            return
        self._closing.set()
        self._wake()
        if threading.current_thread() is not self._thread:
            self._thread.join(timeout=2.0)

    def _run(self) -> None:
        while not self._closing.is_set():
            with contextlib.suppress(Exception):  # whatever happens, the run stays controllable
                self._round()
            self._closing.wait(PACE_S)
        with contextlib.suppress(Exception):
            self._end()

    def _round(self) -> None:
        ready = self._wait()
        with contextlib.suppress(BlockingIOError):
            self._woken.recv(4096)
        for client in list(self._clients):
            try:
                client.take_turn(client.connection in ready, self._submit, self._wake)
            except Exception:  # gone, or not one of ours: either way nobody to answer
                self._drop(client)
        if time.monotonic() >= self._look_at:
            self._look_at = time.monotonic() + LOOK_EVERY_S
            if _identity(self.path) != self._identity:
                self._listen_again()
        if self._listener in ready:  # last: out of descriptors, it fails, and the clients we have are served
            with contextlib.suppress(BlockingIOError):
                for _ in range(MAX_CLIENTS):
                    self._accept()

    def _wait(self) -> set[object]:
        """The sockets that have something for us, once there is any, or when it is time to look around."""
        timeout_s = max(0.0, self._look_at - time.monotonic())
        with selectors.PollSelector() as selector:  # new each time: nothing to keep in step, nothing to fork
            selector.register(self._woken, selectors.EVENT_READ)
            selector.register(self._listener, selectors.EVENT_READ)
            for client in self._clients:
                if client.has_work:
                    timeout_s = 0.0
                if client.interest:
                    selector.register(client.connection, client.interest)
            return {key.fileobj for key, _ in selector.select(timeout_s)}

    def _accept(self) -> None:
        connection, _ = self._listener.accept()
        connection.setblocking(False)
        pid, uid = peer_credentials(connection)
        if uid != os.geteuid():
            connection.close()
            return
        if len(self._clients) >= MAX_CLIENTS:
            self._drop(min(self._clients, key=lambda client: (client.is_waiting, client.heard_at)))
        self._clients.append(_Client(connection, f"pid {pid}"))

    def _drop(self, client: "_Client") -> None:
        self._clients.remove(client)
        client.connection.close()

    def _listen_again(self) -> None:
        old = self._listener
        self._listener, self._identity = _listen(self.path)
        old.close()

    def _end(self) -> None:
        with contextlib.suppress(OSError):
            if _identity(self.path) == self._identity:
                self.path.unlink()
        for client in self._clients:
            with contextlib.suppress(OSError):
                client.say_goodbye()
        self._let_go()

    def _wake(self) -> None:
        with contextlib.suppress(OSError):  # full: it is awake already; closed: nobody to wake
            self._waker.send(b"\0")

    def _let_go(self) -> None:
        """Close all; in a forked child too, or its copies would keep a dead run's socket open."""
        for client in self._clients:
            client.connection.close()
        for each in (self._listener, self._woken, self._waker):
            each.close()


class _Client:
    """One connection: what came in, what is being waited for, what is still to be sent."""

    def __init__(self, connection: socket.socket, by: str) -> None:
        self.connection = connection
        self.by = by
        self.heard_at = time.monotonic()
        self._received = bytearray()
        self._to_send = b""
        self._request_id = 0
        self._future: Future[Outcome] | None = None
        self._is_last = False

    @property
    def is_waiting(self) -> bool:
        return self._future is not None

    @property
    def has_work(self) -> bool:
        if self._future is not None:
            return self._future.done()
        return not self._to_send and self._has_line

    @property
    def interest(self) -> int:
        """What of the connection would let us go on; 0 while the engine is at work on the request."""
        if self._to_send:
            return selectors.EVENT_WRITE
        return 0 if self._future is not None else selectors.EVENT_READ

    @property
    def _has_line(self) -> bool:
        return b"\n" in self._received or len(self._received) > MAX_LINE_BYTES

    def take_turn(self, is_ready: bool, submit: Submit, wake: Callable[[], None]) -> None:
        """Send what is due, and take at most one request. Raises where the client is gone."""
        if self._future is not None and self._future.done():
            self._answer(_reply_of(self._request_id, self._future))
        if self._to_send:
            self._send()
        if self._to_send or self._future is not None:
            return
        if is_ready and not self._has_line:
            self._receive()
        if self._has_line:
            self._begin(submit, wake)

    def say_goodbye(self) -> None:
        """The last chance to answer: what the run did, or that it will not."""
        if self._future is not None:
            if self._future.done():
                self._answer(_reply_of(self._request_id, self._future))
            else:
                self._answer(Reply(self._request_id, False, 0, "", "The run ended before this took effect."))
        self._send()

    def _receive(self) -> None:
        chunk = self.connection.recv(MAX_LINE_BYTES + 1 - len(self._received))
        if not chunk:
            raise ConnectionError("closed")
        self._received += chunk

    def _begin(self, submit: Submit, wake: Callable[[], None]) -> None:
        line, newline, rest = self._received.partition(b"\n")
        self._received = rest
        self.heard_at = time.monotonic()
        try:
            if not newline:
                raise ValueError(f"longer than {MAX_LINE_BYTES} bytes")
            request = msgspec.json.decode(line, type=Request)
        except Exception as error:
            self._is_last = True  # it does not speak our language: there is no knowing where its next line is
            self._answer(Reply(0, False, 0, "", f"Not a request: {error}"))
            return
        self._request_id = request.id
        try:
            self._future = submit(request.command, self.by)
        except Exception as error:
            self._answer(Reply(request.id, False, 0, "", f"The engine could not take it: {error}"))
        else:
            self._future.add_done_callback(lambda _: wake())

    def _answer(self, reply: Reply) -> None:
        self._future = None
        self._to_send = msgspec.json.encode(reply) + b"\n"

    def _send(self) -> None:
        with contextlib.suppress(BlockingIOError):
            sent = self.connection.send(self._to_send)
            self._to_send = self._to_send[sent:]
        if self._is_last and not self._to_send:
            raise ConnectionError("answered for the last time")


def peer_credentials(connection: socket.socket) -> tuple[int, int]:
    """(pid, uid) of the other end of a Unix socket, told by the kernel."""
    packed = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("iII"))
    pid, uid, _ = struct.unpack("iII", packed)
    return pid, uid


def _reply_of(request_id: int, future: "Future[Outcome]") -> Reply:
    try:
        outcome = future.result(timeout=0)
    except (Exception, CancelledError) as error:
        return Reply(
            request_id, False, 0, "", f"The engine could not do it: {str(error) or type(error).__name__}"
        )
    return Reply(request_id, outcome.ok, outcome.step, outcome.state, outcome.message[:4000])


def _listen(path: Path) -> tuple[socket.socket, tuple[int, int] | None]:
    make_private_folder(path.parent)
    with contextlib.suppress(FileNotFoundError):
        if not stat.S_ISSOCK(path.lstat().st_mode):
            raise FileExistsError(f"{path} is in the way, and is no socket")
        path.unlink()  # left by a run that was killed: a run has one engine
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        listener.setblocking(False)
        listener.bind(str(path))
        path.chmod(0o600)
        listener.listen(MAX_CLIENTS)
    except OSError:
        listener.close()
        raise
    return listener, _identity(path)


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        found = path.lstat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


_SERVERS: weakref.WeakSet[ControlServer] = weakref.WeakSet()


def _let_go_in_child() -> None:
    for server in _SERVERS:
        server._let_go()


os.register_at_fork(after_in_child=_let_go_in_child)
