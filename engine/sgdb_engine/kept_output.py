"""What the training prints in a headless run: passed on unchanged, and kept in output.log."""

import contextlib
import io
import os
import sys
from collections.abc import Iterator
from pathlib import Path

from sgdb_engine.recording.output_log import OutputLog

_all: "list[Kept]" = []
"""Loggers of a script may write to them until the process is gone; and the end of one would close the buffer."""


class Kept(io.TextIOWrapper):
    """Standard output or error as it is, on the same buffer, that also keeps what is written to it."""

    def __init__(self, stream: io.TextIOWrapper, descriptor: int) -> None:
        stream.flush()
        super().__init__(
            stream.buffer,
            encoding=stream.encoding,
            errors=stream.errors,
            line_buffering=stream.line_buffering,
            write_through=stream.write_through,
        )
        self.descriptor: int | None = descriptor
        """Of the log; None when nothing is kept any more."""
        self._stream = stream
        self.mode = getattr(stream, "mode", "w")  # type: ignore[misc]

    def write(self, text: str) -> int:
        """Keeps a text and passes it on; a full disk keeps it from the log only."""
        if self.descriptor is not None:
            with contextlib.suppress(OSError):
                os.write(self.descriptor, text.encode("utf-8", "replace"))
        return super().write(text)


@contextlib.contextmanager
def output_kept(folder: Path) -> Iterator[OutputLog]:
    """Keeps what this process prints in the run folder."""
    log = OutputLog(folder)
    with contextlib.ExitStack() as stack:
        stack.callback(log.close)
        for name in ("stdout", "stderr"):
            stream = getattr(sys, name)
            if isinstance(stream, io.TextIOWrapper):
                stack.enter_context(_replaced(stream, name, Kept(stream, log.fd)))
        yield log


@contextlib.contextmanager
def _replaced(stream: io.TextIOWrapper, name: str, kept: Kept) -> Iterator[None]:
    """In `sys`, under both its names; what the script has put in its place meanwhile stays."""
    _all.append(kept)
    names = [each for each in (name, f"__{name}__") if getattr(sys, each) is stream]
    for each in names:
        setattr(sys, each, kept)
    try:
        yield
    finally:
        kept.descriptor = None
        with contextlib.suppress(OSError, ValueError):
            kept.flush()
        for each in names:
            if getattr(sys, each) is kept:
                setattr(sys, each, stream)
