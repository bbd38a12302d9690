"""In a real terminal: it starts, it is left, it is terminated; the terminal is always given back."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pexpect
import pyte
import pytest

WATCH = "import sys; from pathlib import Path; from sgdb_tui.app import watch; " + (
    "o = watch(Path(sys.argv[1])); print('left', o.state, o.goes_on); sys.exit(o.exit_code)"
)


class Terminal:
    """The dashboard behind a pty, and the screen that its bytes make."""

    def __init__(self, folder: Path, **environment: str) -> None:
        env = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "COLORTERM")}
        env |= {"TERM": "xterm-256color", "TEXTUAL_ANIMATIONS": "none", **environment}
        self.child = pexpect.spawn(
            sys.executable, ["-c", WATCH, str(folder)], dimensions=(24, 80), env=env, timeout=20
        )
        self.received = b""
        self.screen = pyte.Screen(80, 24)
        self.stream = pyte.ByteStream(self.screen)

    def read(self) -> None:
        try:
            data = self.child.read_nonblocking(65536, timeout=0.1)
        except (pexpect.TIMEOUT, pexpect.EOF):
            return
        self.received += data
        self.stream.feed(data)

    def wait_for(self, text: str, timeout_s: float = 20.0) -> None:
        deadline = time.monotonic() + timeout_s
        while text not in "\n".join(self.screen.display):
            assert time.monotonic() < deadline, "\n".join(self.screen.display)
            self.read()

    def end(self) -> int:
        while self.child.isalive():
            self.read()
        self.read()
        self.child.close()
        return self.child.exitstatus if self.child.exitstatus is not None else -1


@pytest.mark.slow
def test_q_leaves_a_run_that_goes_on_and_gives_the_terminal_back(small_run: Callable[..., Path]) -> None:
    terminal = Terminal(small_run())
    terminal.wait_for("RUNNING")
    terminal.child.send("q")
    assert terminal.end() == 0
    assert b"\x1b[?1049l" in terminal.received, "the alternate screen is left"
    assert b"left running True" in terminal.received


@pytest.mark.slow
def test_sigterm_gives_the_terminal_back_and_exits_143(small_run: Callable[..., Path]) -> None:
    terminal = Terminal(small_run())
    terminal.wait_for("RUNNING")
    os.kill(terminal.child.pid, signal.SIGTERM)
    assert terminal.end() == 143
    assert b"\x1b[?1049l" in terminal.received
    assert b"\x1b[?1000l" in terminal.received, "the mouse is released"


@pytest.mark.slow
@pytest.mark.parametrize("environment", [{"TERM": "xterm"}, {"NO_COLOR": "1"}, {"TERM": "tmux-256color"}])
def test_poorer_terminals_say_the_same(small_run: Callable[..., Path], environment: dict[str, str]) -> None:
    terminal = Terminal(small_run("paused"), **environment)
    terminal.wait_for("PAUSED")
    terminal.wait_for("3 Gradients")
    terminal.child.send("q")
    assert terminal.end() == 0


def test_looking_at_a_run_imports_no_torch() -> None:
    code = (
        "import sys; import sgdb_tui.app, sgdb_tui.screens.overview, sgdb_tui.screens.check;"
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
