"""What the training prints in a headless run: passed on unchanged, and kept in output.log."""

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

from sgdb_engine.recording.output_log import OutputLog


class Kept:
    """A stream that keeps what is written to it. In all else it is the stream that it passes it on to."""

    def __init__(self, stream: TextIO, descriptor: int) -> None:
        self._stream = stream
        self._descriptor = descriptor

    def write(self, text: str) -> int:
        """Keeps a text and passes it on; a full disk keeps it from the log only."""
        with contextlib.suppress(OSError):
            os.write(self._descriptor, text.encode("utf-8", "replace"))
        return self._stream.write(text)

    def writelines(self, lines: list[str]) -> None:
        """Writes one after the other."""
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@contextlib.contextmanager
def output_kept(folder: Path) -> Iterator[OutputLog]:
    """Keeps what this process prints in the run folder."""
    log = OutputLog(folder)
    out, err = Kept(sys.stdout, log.fd), Kept(sys.stderr, log.fd)
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            yield log
    finally:
        log.close()
