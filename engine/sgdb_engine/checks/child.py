"""An experiment in a forked child: the script goes on there, and what is measured comes back through a pipe."""

import ctypes
import os
import select
import signal
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn, Protocol

import msgspec
import torch

from sgdb_engine.checks.landlock import Net
from sgdb_engine.checks.scratch import protect_files

GRACE_S = 3.0
"""What a child that is over its time gets to come to an end by itself."""
PR_SET_PDEATHSIG = 1
LENGTH_BYTES = 4
leave_at_once = os._exit


class Tell(Protocol):
    """Sends something measured to the parent."""

    def __call__(self, kind: str, value: Any) -> None: ...


@dataclass
class Outcome:
    """What came back."""

    seconds: float = 0.0
    result: Any = None
    """What the experiment ended with, as plain data; None where it did not come to its end."""
    told: dict[str, list[Any]] = field(default_factory=dict)
    """All else, by kind."""
    failure: str = ""
    """Why there is no result."""


class Child:
    """The child's side: talks to the parent, and ends the process."""

    def __init__(self, pipe: int) -> None:
        self._pipe = pipe

    def tell(self, kind: str, value: Any) -> None:
        """Sends one measurement."""
        content = msgspec.msgpack.encode((kind, value))  # of JSON's numbers, NaN is none
        message = len(content).to_bytes(LENGTH_BYTES, "little") + content
        while message:
            message = message[os.write(self._pipe, message) :]

    def end(self, result: Any) -> NoReturn:
        """The experiment is over. No `finally`, no destructor and no exit handler of the script runs."""
        try:
            self.tell("result", result)
        finally:
            leave_at_once(0)

    def give_up(self, why: str) -> NoReturn:
        """There is no result."""
        try:
            self.tell("failure", why)
        finally:
            leave_at_once(0)


def fork(told: Callable[[str, Any], None], seconds: float, scratch: Path) -> "Child | Outcome":
    """Returns twice: in the child what it talks through; in the parent, when that one has ended, what came back.

    Args:
        told: called in the parent with each measurement as it comes.
        seconds: after which, and some grace, the child is ended.
        scratch: folder below which the child may write.

    Raises:
        OSError: no process can be made.
    """
    reading, writing = os.pipe()
    place = Path(tempfile.mkdtemp(dir=scratch))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of forking beside threads: the child has one
        pid = os.fork()
    if pid == 0:
        os.close(reading)
        return _become_child(Child(writing), place)
    os.close(writing)
    return hear(pid, reading, told, seconds)


def _become_child(child: Child, scratch: Path) -> Child:
    try:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_DFL)
        signal.set_wakeup_fd(-1)
        die_with_the_parent()
        become_silent()
        torch.set_num_threads(1)
        if protect_files(scratch) is not Net.CLOSED:
            child.tell("open", True)
    except BaseException as error:
        child.give_up(f"{type(error).__name__}: {error}")
    return child


def die_with_the_parent() -> None:
    """Also when that one is killed."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def become_silent() -> None:
    """What the script prints was printed by its own process, as far as that went."""
    nothing = os.open(os.devnull, os.O_RDWR)
    for number in (0, 1, 2):
        os.dup2(nothing, number)
    os.close(nothing)
    sys.stdout = sys.stderr = open(os.devnull, "w")  # noqa: SIM115, PTH123  (fresh: the locks of the old ones may be held)


def hear(pid: int, pipe: int, told: Callable[[str, Any], None], seconds: float) -> Outcome:
    """Listens until the child has ended, or its time and some grace are over; then it is gone."""
    started = time.monotonic()
    outcome = Outcome()
    deadline = started + seconds + GRACE_S
    buffer = b""
    try:
        while (left := deadline - time.monotonic()) > 0:
            if not select.select([pipe], [], [], left)[0]:
                continue
            data = os.read(pipe, 1 << 16)
            if not data:
                break
            messages, buffer = _split(buffer + data)
            for kind, value in messages:
                _take(outcome, kind, value, told)
        else:
            outcome.failure = outcome.failure or f"it did not come to an end within {seconds:g} s"
    finally:
        os.close(pipe)
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        outcome.seconds = time.monotonic() - started
    if outcome.result is None and not outcome.failure:
        outcome.failure = "the script ended its process"
    return outcome


def _split(data: bytes) -> tuple[list[tuple[str, Any]], bytes]:
    """The messages that are whole, and what is left."""
    messages = []
    while len(data) >= LENGTH_BYTES:
        end = LENGTH_BYTES + int.from_bytes(data[:LENGTH_BYTES], "little")
        if len(data) < end:
            break
        messages.append(msgspec.msgpack.decode(data[LENGTH_BYTES:end]))
        data = data[end:]
    return messages, data


def _take(outcome: Outcome, kind: str, value: Any, told: Callable[[str, Any], None]) -> None:
    if kind == "result":
        outcome.result = value
    elif kind == "failure":
        outcome.failure = value
    else:
        outcome.told.setdefault(kind, []).append(value)
        told(kind, value)
