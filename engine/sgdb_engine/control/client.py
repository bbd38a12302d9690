"""The viewer's end of the control socket: one command, one answer."""

import os
import socket
import time
from pathlib import Path

import msgspec

from sgdb_engine.control.commands import MAX_LINE_BYTES, Command, Reply, Request
from sgdb_engine.control.server import peer_credentials
from sgdb_engine.errors import ControlError
from sgdb_engine.text import clean


class ControlClient:
    """Sends commands to the engine that listens at a path; each on its own connection, from any thread."""

    def __init__(self, path: Path) -> None:
        self.path = Path(path)

    def send(self, command: Command, timeout_s: float = 5.0) -> Reply:
        """The engine's answer, which comes when the command has taken effect: that can last a training step.

        A refusal is a Reply that is not ok. Raises ControlError when no engine listens there, when it is
        somebody else's, and when no answer came in time (the command may still take effect).
        """
        deadline = time.monotonic() + timeout_s
        name = type(command).__name__.lower()
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
                connection.settimeout(timeout_s)
                _connect(connection, self.path, deadline)
                _, uid = peer_credentials(connection)
                if uid != os.geteuid():
                    raise ControlError(f"{self.path} is served by user {uid}; only its owner controls a run.")
                connection.sendall(msgspec.json.encode(Request(1, command)) + b"\n")
                line = _read_line(connection, deadline)
        except TimeoutError as error:
            raise ControlError(
                f"No answer to {name} within {timeout_s:g} s at {self.path}. It is answered when it takes"
                " effect, at the end of a training step: it may still come, look at the state of the run."
            ) from error
        except (OSError, ValueError) as error:
            raise ControlError(
                f"No engine answers at {self.path}: {error}. The run has ended, or its engine was killed."
            ) from error
        return self._decode(line, name)

    def _decode(self, line: bytes, name: str) -> Reply:
        try:
            reply = msgspec.json.decode(line, type=Reply)
        except (msgspec.MsgspecError, UnicodeError) as error:
            raise ControlError(
                f"What answers {name} at {self.path} is not an engine of this version: {error}"
            ) from error
        return msgspec.structs.replace(reply, state=clean(reply.state), message=clean(reply.message, 4000))


def _connect(connection: socket.socket, path: Path, deadline: float) -> None:
    while True:
        try:
            return connection.connect(str(path))
        except BlockingIOError as error:  # so says the kernel where the queue of a Unix socket is full
            if time.monotonic() >= deadline:
                raise TimeoutError from error
            time.sleep(0.01)


def _read_line(connection: socket.socket, deadline: float) -> bytes:
    received = bytearray()
    while b"\n" not in received and len(received) <= MAX_LINE_BYTES:
        left_s = deadline - time.monotonic()
        if left_s <= 0:
            raise TimeoutError
        connection.settimeout(left_s)
        chunk = connection.recv(MAX_LINE_BYTES)
        if not chunk:
            raise ConnectionError("it closed the connection without an answer")
        received += chunk
    return bytes(received).partition(b"\n")[0]
