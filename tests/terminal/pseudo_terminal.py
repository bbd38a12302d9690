"""A program in a pseudo-terminal, and a screen that shows what it draws."""

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pexpect
import pyte

ROOT = Path(__file__).parents[2]
SGDB = f"{sys.executable} -m sgdb"
PATIENCE_S = 40


class Terminal:
    """A program on a terminal of `rows` × `columns`, whose screen can be read and whose keys can be pressed."""

    def __init__(self, command: list[str], cwd: Path, rows: int = 24, columns: int = 80) -> None:
        self._screen = pyte.Screen(columns, rows)
        self._stream = pyte.ByteStream(self._screen)
        env = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join(sys.path),
            "TERM": "xterm-256color",
            "OMP_NUM_THREADS": "1",
        }
        env.pop("NO_COLOR", None)
        self.child = pexpect.spawn(
            command[0], command[1:], cwd=str(cwd), env=env, dimensions=(rows, columns), timeout=PATIENCE_S
        )

    def text(self) -> str:
        """What is on the screen now."""
        self._read(0.05)
        return "\n".join(self._screen.display)

    def wait_for(self, wanted: Callable[[str], object] | str) -> str:
        """Reads until a word is on the screen, or until what is on it fulfils a condition; fails after a while."""
        fulfilled = wanted if callable(wanted) else lambda text: wanted in text
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            text = self.text()
            if fulfilled(text):
                return text
        raise AssertionError(f"{wanted!r} did not appear on:\n{self.text()}")

    def press(self, keys: str) -> None:
        """Types."""
        self.child.send(keys)

    def wait_for_exit(self) -> int:
        """The exit code of the program."""
        deadline = time.monotonic() + PATIENCE_S
        while self.child.isalive() and time.monotonic() < deadline:
            self._read(0.1)
        self._read(0.1)
        assert not self.child.isalive(), f"still running; on its screen:\n{self.text()}"
        self.child.close()
        return int(self.child.exitstatus if self.child.exitstatus is not None else -self.child.signalstatus)

    def hang_up(self) -> None:
        """The terminal goes away, as when a connection drops."""
        self.child.ptyproc.fileobj.close()
        self.child.ptyproc.closed = self.child.closed = True
        self.child.ptyproc.fd = self.child.child_fd = -1

    def _read(self, seconds: float) -> None:
        if self.child.closed:
            return
        try:
            while True:
                self._stream.feed(self.child.read_nonblocking(65536, timeout=seconds))
        except (pexpect.TIMEOUT, pexpect.EOF):
            return
