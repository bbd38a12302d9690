"""Control of a living run: a closed vocabulary of commands over a Unix socket, JSON lines both ways."""

from sgdb_engine.control.client import ControlClient
from sgdb_engine.control.commands import (
    Checkpoint,
    Command,
    Outcome,
    Pause,
    Ping,
    Reply,
    Request,
    Resume,
    Step,
    Stop,
)
from sgdb_engine.control.server import ControlServer
from sgdb_engine.control.socket_file import socket_path

__all__ = [
    "Checkpoint",
    "Command",
    "ControlClient",
    "ControlServer",
    "Outcome",
    "Pause",
    "Ping",
    "Reply",
    "Request",
    "Resume",
    "Step",
    "Stop",
    "socket_path",
]
