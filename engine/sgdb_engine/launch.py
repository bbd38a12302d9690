"""Starting an engine in a process of its own, that survives the terminal it was started from."""

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import msgspec

from sgdb_engine.recording import liveness
from sgdb_engine.recording.folder import OUTPUT_LOG, RunStatus, write_status

Kind = Literal["config", "script", "module", "factory"]
"""What a target is: a run.toml, a Python file, what `python -m` runs, or a function that returns a Workload."""

SCRIPTS: tuple[Kind, ...] = ("script", "module")
"""Those that have arguments of their own, print for themselves, and need the main thread."""

FailOn = Literal["error", "warning", "never"]


class RateRange(msgspec.Struct, frozen=True, kw_only=True):
    """The learning rates of a range test, evenly spread over their logarithms."""

    lowest: float = 1e-7
    highest: float = 10.0
    steps: int = 100
    """Updates, one with each rate."""


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """What an engine process is to do; goes to its standard input as JSON."""

    folder: str
    mode: str
    """run, check or lr-find."""
    kind: Kind = "config"
    target: str
    """As the user wrote it."""
    arguments: tuple[str, ...] = ()
    """Of a script."""
    config_text: str = ""
    base: str
    """The folder against which paths and modules are resolved; that of a script is where it is started."""
    overrides: tuple[str, ...] = ()
    max_steps: int | None = None
    summary_path: str = ""
    """Where the summary goes besides the run folder."""
    report_path: str = ""
    """Where what a check has shown is told for people to read: a name that ends in .md or .html."""
    mute: tuple[str, ...] = ()
    """Codes of findings that are not told."""
    stop_on: tuple[str, ...] = ()
    """Codes of errors at which the run stops itself in good order: it goes nowhere any more."""
    fail_on: FailOn = "never"
    """The least severity of a finding that makes the exit code 1."""
    rates: RateRange = RateRange()
    """Of lr-find."""
    nproc: int = 0
    """Processes to start by torchrun, each of which carries out this order; 0: it is carried out right here."""
    launched: bool = False
    """It is one of those: whoever launched it says how all of them ended."""
    disposable: bool = False
    """The run folder is temporary: it goes with the process that asked for it, however that one ends."""
    detached: bool = False
    """The engine has a process of its own, without a terminal."""
    asked_by: int = 0
    """Process id of the command that waits for a disposable run in another process; 0: the run is in that process."""


def start_engine(order: Order, environment: Mapping[str, str] | None = None) -> "subprocess.Popen[bytes]":
    """Starts the engine in a session of its own, its output going to the run folder, its input closed.

    Args:
        order: what it is to do.
        environment: variables that it gets besides those of this process.

    Raises:
        OSError: the process cannot be started.
    """
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
    log = os.open(Path(order.folder) / OUTPUT_LOG, flags, 0o600)
    try:
        # -P: a module of the user's in this directory must not hide one of the standard library's
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "sgdb_engine.host"],
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=log,
            start_new_session=True,
            env={**os.environ, "PYTHONUNBUFFERED": "1", **(environment or {})},
        )
    finally:
        os.close(log)
    assert process.stdin is not None
    with contextlib.suppress(
        OSError
    ):  # a full disk is told by the engine; an engine that is gone is seen to be
        write_status(
            Path(order.folder), starting(process.pid)
        )  # before the order: the engine writes its own then
        process.stdin.write(
            msgspec.json.encode(msgspec.structs.replace(order, asked_by=os.getpid(), detached=True))
        )
        process.stdin.close()
    return process


def starting(pid: int, message: str = "") -> RunStatus:
    """What is known of an engine that cannot speak yet: from the first moment on one can see whether it lives."""
    host, boot_id = liveness.host_name(), liveness.boot_id()
    start_time = liveness.start_time_of(pid)
    return RunStatus(
        host=host,
        boot_id=boot_id,
        pid=pid,
        start_time=start_time,
        state="starting",
        wall=time.time(),
        message=message,
    )
