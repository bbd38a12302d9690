"""Unmodified scripts with Lightning, transformers' Trainer and accelerate, in an environment that has them."""

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from sgdb_engine.events import EpochEnded, ProbeFailed, RunDescribed, Validated
from sgdb_engine.recording.folder import find_runs, read_status
from sgdb_engine.recording.reader import RunReader, read_scalars

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

ROOT = Path(__file__).parents[2]
PYTHON = ROOT / ".venv-trainers" / "bin" / "python"
"""`make test-slow` makes it."""
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "PYTHONPATH": ""}


def run(script: str, folder: Path, *command: str) -> str:
    """What it prints, but for the lines that tell times."""
    folder.mkdir()
    done = subprocess.run(
        [str(PYTHON), *command, str(Path(__file__).parent / "scripts" / script)],
        cwd=folder,
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return "\n".join(
        line for line in done.stdout.splitlines() if "runtime" not in line and "it/s" not in line
    )


class Observed:
    """A script's run, once plain and once under sgdb."""

    def __init__(self, script: str, folder: Path) -> None:
        self.plain = run(script, folder / "plain")
        self.printed = run(script, folder / "observed", "-m", "sgdb", "run", "--headless")
        (self.folder,) = find_runs(folder / "observed" / "runs")
        batch = RunReader(self.folder).poll()
        self.events = batch.events
        self.tensors = {
            name for row in batch.tensors for name in row.columns if name.startswith("grad_norm/")
        }
        self.columns = {name for rows in batch.scalars for name in rows.columns}

    def of(self, kind: type) -> list[Any]:
        return [event for event in self.events if isinstance(event, kind)]

    def column(self, name: str) -> list[float]:
        return read_scalars(self.folder, [name], 0, 10**9)[name][1].tolist()


def test_lightning(tmp_path: Path) -> None:
    observed = Observed("with_lightning.py", tmp_path)
    assert observed.printed == observed.plain
    assert observed.of(ProbeFailed) == []
    assert read_status(observed.folder).step == 12
    assert [event.epoch for event in observed.of(EpochEnded)] == [1, 2, 3, 4]
    expected = float(observed.plain.splitlines()[-1])
    # before the first step Lightning tries two batches of the validation: its "sanity check"
    assert observed.of(Validated)[-1].metrics["val/loss"] == pytest.approx(expected, rel=1e-4)
    assert "grad_norm/net.0.weight" in observed.tensors
    assert observed.column("lr") == pytest.approx([0.01] * 3 + [0.005] * 3 + [0.0025] * 3 + [0.00125] * 3)
    assert {"clip_coef", "input/mean", "output/std"} <= observed.columns


def test_transformers(tmp_path: Path) -> None:
    observed = Observed("with_transformers.py", tmp_path)
    final = [line for line in observed.printed.splitlines() if line.startswith("final")]
    assert final == [line for line in observed.plain.splitlines() if line.startswith("final")]
    assert observed.of(ProbeFailed) == []
    assert read_status(observed.folder).step == 12
    assert [event.epoch for event in observed.of(EpochEnded)] == [1, 2, 3]
    assert observed.of(Validated)[-1].metrics["val/loss"] == pytest.approx(
        float(final[-1].split()[1]), rel=1e-3
    )
    (described, *_) = observed.of(RunDescribed)
    assert described.tensors[0].name == "bert.embeddings.word_embeddings.weight"
    assert {
        "input.input_ids/max",
        "input.labels/max",
        "output.loss/mean",
        "output.logits/std",
    } <= observed.columns
    assert len(observed.column("grad_norm")) == 12


def test_accelerate(tmp_path: Path) -> None:
    observed = Observed("with_accelerate.py", tmp_path)
    assert observed.printed == observed.plain
    assert observed.of(ProbeFailed) == []
    assert read_status(observed.folder).step == 9
    assert [event.epoch for event in observed.of(EpochEnded)] == [1, 2, 3]
    assert observed.tensors == {
        "grad_norm/first.weight", "grad_norm/first.bias", "grad_norm/last.weight", "grad_norm/last.bias",
    }  # fmt: skip
    assert len(observed.column("clip_coef")) == 9
