"""How long a user waits: `sgdb --help`, and the first paint of `sgdb run`, beside what Textual's import alone takes.

    python benchmarks/startup.py [--times 7]

Each command is started in turns with the others; printed are the medians and the best.
"""

import argparse
import os
import pty
import select
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).parents[1]
SGDB = [sys.executable, "-m", "sgdb"]
FIRST_WORD = b"STARTING"
"""Of the status line, which the first frame shows."""


def run_to_end(command: list[str]) -> float:
    """Seconds from start to end."""
    started = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - started


def first_paint() -> float:
    """Seconds from the start of `sgdb run` to its status line, in a pseudo-terminal of 120 × 40."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        config = ROOT / "sample_configs" / "digits_mlp.toml"
        command = [*SGDB, "run", "--runs-dir", folder, "--max-steps", "1", str(config)]
        started = time.perf_counter()
        pid, terminal = pty.fork()
        if pid == 0:
            os.environ.update(TERM="xterm-256color", COLUMNS="120", LINES="40")
            os.execv(command[0], command)
        try:
            return seconds_to(FIRST_WORD, terminal) - started
        finally:
            os.kill(pid, signal.SIGTERM)
            os.close(terminal)
            os.waitpid(pid, 0)
            time.sleep(
                1
            )  # the engine ends after its one step; the next start is not to share the cores with it


def seconds_to(word: bytes, terminal: int) -> float:
    """The time at which a word has appeared."""
    seen = b""
    while word not in seen:
        if not select.select([terminal], [], [], 20)[0]:
            raise SystemExit(f"{word!r} was not shown within 20 s")
        seen += os.read(terminal, 65536)
    return time.perf_counter()


MEASURED: dict[str, Callable[[], float]] = {
    "python -c pass": lambda: run_to_end([sys.executable, "-c", "pass"]),
    "sgdb --help": lambda: run_to_end([*SGDB, "--help"]),
    "python -c 'import textual'": lambda: run_to_end([sys.executable, "-c", "import textual"]),
    "python -c 'import textual.app'": lambda: run_to_end([sys.executable, "-c", "import textual.app"]),
    "first paint of sgdb run": first_paint,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--times", type=int, default=7)
    options = parser.parse_args()
    taken: dict[str, list[float]] = {name: [] for name in MEASURED}
    for _ in range(options.times):
        for name, measure in MEASURED.items():
            taken[name].append(measure())
    print(f"{'':<32}{'median':>8}{'best':>8}   of {options.times}")
    for name, seconds in taken.items():
        print(f"{name:<32}{statistics.median(seconds):>6.2f} s{min(seconds):>6.2f} s")


if __name__ == "__main__":
    main()
