"""Does a dashboard that looks on slow the training? One run, looked at and left alone in turns.

    python benchmarks/attached.py [--seconds 6] [--rounds 8]

The dashboard runs on a pseudo-terminal of 120 × 40 whose output is thrown away, as a terminal over SSH takes it.
Printed is the speed of the training while it is looked at over its speed headless, as the median over pairs of
neighbouring phases, and the same for two headless phases (A/A): what differs from 1 there is the noise of the machine.
"""

import argparse
import contextlib
import os
import pty
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from sgdb_engine.recording.folder import find_runs
from sgdb_engine.recording.reader import RunReader

ROOT = Path(__file__).parents[1]
SGDB = [sys.executable, "-m", "sgdb"]
SETTLE_S = 2.0
"""Until a dashboard that was opened has read what there was, and one that was closed has gone."""
CONFIGS = ("digits_mlp", "digits_cnn")


class Run:
    """A headless training that does not end by itself."""

    def __init__(self, config: str, runs_dir: Path) -> None:
        target = str(ROOT / "sample_configs" / f"{config}.toml")
        self.process = subprocess.Popen(
            [
                *SGDB,
                "run",
                "--headless",
                "--runs-dir",
                str(runs_dir),
                "--set",
                "train.epochs=1000000",
                target,
            ],
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        while not (found := find_runs(runs_dir)):
            time.sleep(0.1)
        self.folder = found[0]
        self._reader = RunReader(self.folder)
        self._times: list[np.ndarray] = []

    def steps_between(self, start: float, end: float) -> int:
        """How many steps were recorded between two times of the monotonic clock."""
        while True:
            batch = self._reader.poll()
            self._times += [rows.monotonic for rows in batch.scalars if "train/loss" in rows.columns]
            if batch.caught_up:
                break
        times = np.concatenate([*self._times, np.empty(0)])
        return int(np.count_nonzero((times >= start) & (times < end)))

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait()


@contextlib.contextmanager
def looked_at(folder: Path) -> Iterator[None]:
    """A dashboard is open on the run."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.environ.update(TERM="xterm-256color", COLUMNS="120", LINES="40")
        os.execv(sys.executable, [*SGDB, "attach", str(folder)])
    threading.Thread(target=throw_away, args=(terminal,), daemon=True).start()
    yield
    os.write(terminal, b"q")
    for _ in range(50):
        if os.waitpid(pid, os.WNOHANG)[0]:
            break
        time.sleep(0.1)
    else:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        raise SystemExit("the dashboard did not end")
    os.close(terminal)


def throw_away(terminal: int) -> None:
    with contextlib.suppress(OSError):
        while os.read(terminal, 65536):
            pass


def measure(config: str, seconds: float, rounds: int) -> tuple[float, float, float]:
    """Steps a second headless; looked at / headless; headless / headless."""
    headless: list[float] = []
    attached: list[float] = []
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        run = Run(config, Path(folder))
        try:
            while not run.steps_between(0, time.monotonic()):
                time.sleep(0.1)
            headless.append(speed(run, seconds))
            for _ in range(rounds):
                with looked_at(run.folder):
                    attached.append(speed(run, seconds))
                headless += [speed(run, seconds), speed(run, seconds)]
        finally:
            run.stop()
    before, after, again = headless[0:-1:2], headless[1::2], headless[2::2]
    return (
        statistics.median(headless),
        statistics.median(
            2 * seen / (one + other) for seen, one, other in zip(attached, before, after, strict=True)
        ),
        statistics.median(one / other for one, other in zip(again, after, strict=True)),
    )


def speed(run: Run, seconds: float) -> float:
    """Steps a second, over a phase that begins when what changed has settled."""
    time.sleep(SETTLE_S)
    start = time.monotonic()
    time.sleep(seconds)
    end = time.monotonic()
    time.sleep(0.2)  # what was recorded last is written by then
    return run.steps_between(start, end) / (end - start)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=6)
    parser.add_argument("--rounds", type=int, default=8)
    options = parser.parse_args()
    print(f"{options.rounds} rounds of {options.seconds:g} s")
    print(f"{'run':<14}{'headless':>16}{'looked at / headless':>23}{'a/a':>8}")
    for config in CONFIGS:
        steps, ratio, again = measure(config, options.seconds, options.rounds)
        print(f"{config:<14}{steps:>9.0f} steps/s{ratio:>23.3f}{again:>8.3f}", flush=True)


if __name__ == "__main__":
    main()
