"""kill -9 loses nothing that was acknowledged."""

import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from sgdb_engine.recording.reader import Batch

WRITER = """
import sys
from pathlib import Path
from sgdb_engine.events import Noted
from sgdb_engine.recording.writer import Recorder
recorder = Recorder(Path(sys.argv[1]), segment_bytes=100_000)
step = int(sys.argv[2])
while True:
    for step in range(step, step + 50):
        recorder.scalars(("train/loss", "lr"), step, 0.0, float(step), [float(step), step / 2])
    recorder.event(Noted(text="flushed", step=step))
    step += 1
    if recorder.flush():
        print(step, flush=True)
"""


def killed_after(folder: Path, first_step: int, seconds: float) -> int:
    """Runs a writer, kills it, and returns how many steps it had acknowledged."""
    command = [sys.executable, "-c", WRITER, str(folder), str(first_step)]
    writer = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert writer.stdout is not None
    acknowledged = [writer.stdout.readline()]
    time.sleep(seconds)
    writer.send_signal(signal.SIGKILL)
    acknowledged += writer.stdout.readlines()
    writer.wait()
    writer.stdout.close()
    return int([line for line in acknowledged if line.endswith("\n")][-1])


@pytest.mark.parametrize("rounds", [2, pytest.param(30, marks=[pytest.mark.slow, pytest.mark.timeout(300)])])
def test_no_acknowledged_row_or_event_is_lost_however_often_it_is_killed(
    rounds: int, run_folder: Path, poll_all: Callable[..., Batch], steps_of: Callable[[Batch], list[int]]
) -> None:
    randomness = random.Random(0)
    steps: list[int] = []
    for _ in range(rounds):
        first_step = len(steps)
        acknowledged = killed_after(run_folder, first_step, randomness.uniform(0.01, 0.1))
        batch = poll_all()
        steps = steps_of(batch)
        assert steps == list(range(len(steps)))
        assert len(steps) >= acknowledged
        assert batch.missing_records == 0
        assert max(event.step for event in batch.events) >= acknowledged - 1
