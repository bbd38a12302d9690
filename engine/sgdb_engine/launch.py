"""Starting an engine in a process of its own, that survives the terminal it was started from."""

import os
import subprocess
import sys
from pathlib import Path

import msgspec

from sgdb_engine.recording.folder import OUTPUT_LOG


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """What an engine process is to do; goes to its standard input as JSON."""

    folder: str
    mode: str
    """run or check."""
    target: str
    """As the user wrote it."""
    config_text: str
    base: str
    """The folder against which the config's paths and modules are resolved."""
    overrides: tuple[str, ...] = ()
    max_steps: int | None = None
    summary_path: str = ""
    """Where the summary goes besides the run folder."""


def start_engine(order: Order) -> "subprocess.Popen[bytes]":
    """Starts the engine in a session of its own, its output going to the run folder, its input closed.

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
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
        )
    finally:
        os.close(log)
    assert process.stdin is not None
    process.stdin.write(msgspec.json.encode(order))
    process.stdin.close()
    return process
