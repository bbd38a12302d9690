"""Recorded checks to look at: under way, passed, failed, ended by an error of the wiring."""

from pathlib import Path

import numpy as np

from sgdb_engine.events import (
    CheckStage,
    CheckStatus,
    Finding,
    FindingChanged,
    RangesMeasured,
    RunDescribed,
    StateChanged,
    ValueRange,
)
from sgdb_engine.recording.writer import Recorder
from tests.tui.app.recorded import CREATED, make_folder, write_state

START, FLOOR = 2.3, 0.02
SOUND = {
    "environment": "PyTorch 2.13.0, cpu, torch.float32; the same step twice gives the same loss",
    "data": "1024 rows, inputs from 0 to 1 (rms 0.485)",
    "wiring": "graph, optimizer, modes and loss fit together",
    "loss-at-init": "2.307; a model that knows nothing has 2.303",
    "dependencies": "outputs depend on their own input and on nothing else",
    "gradient-check": "autograd agrees with differences to 8e-09",
    "first-steps": "16 steps: an update moves the weights by 0.11 of their size",
    "overfit-one-batch": "the loss went from 2.3 to 0.022 in 109 steps: near zero, the batch is learnt by heart",
    "rescue": "the loss went from 2.3 to 0.022 in 67 steps: near zero, the batch is learnt by heart",
    "zero-input": "not needed: the batch was learnt",
    "lr-range": "lowest at 0.15; suggestion 0.015",
    "gradient-noise": "32% of a gradient is signal, noise scale 133 rows",
    "memory-and-time": "0.4 GiB so far",
}
RATE_HIGH = Finding(
    code="lr-high",
    severity="error",
    step=68,
    message="The learning rate 1 is too high: the sweep of learning rates diverged at 0.38. Try 0.02.",
    advice="Try a tenth. 1e-3 is a good start for Adam, 0.1 for SGD on scaled inputs.",
    location="train.py:34",
    evidence={"lr": 1.0},
)
NOT_LEARNT = Finding(
    code="cannot-overfit",
    severity="warning",
    step=16,
    message="One batch of 64 rows is not learnt by heart.",
    advice="Look at the model and its loss.",
    cause="lr-high",
)
NO_ZERO_GRAD = Finding(
    code="no-zero-grad",
    severity="error",
    step=2,
    message="The gradients of the step before are still there when backward() begins: they add up.",
    advice="Call optimizer.zero_grad() once in each step.",
    location="train.py:25",
)

RANGES = (
    ValueRange("input", "input", 0.0, 1.0, 0.304, 0.378),
    ValueRange("target", "target", 0.0, 9.0, 4.45, 2.86),
    ValueRange("output", "output", -0.31, 0.29, 0.004, 0.09),
    ValueRange("activation", "fc1", -1.4, 1.3, 0.01, 0.31),
    ValueRange("activation", "relu1", 0.0, 1.3, 0.13, 0.19),
    ValueRange("activation", "fc2", -0.31, 0.29, 0.004, 0.09),
    ValueRange("parameter", "fc1.weight", -0.125, 0.125, 0.0001, 0.072),
    ValueRange("parameter", "fc1.bias", -0.124, 0.121, 0.003, 0.07),
    ValueRange("parameter", "fc2.weight", -0.088, 0.088, 0.0002, 0.051),
    ValueRange("parameter", "fc2.bias", -0.05, 0.08, 0.01, 0.05, nonfinite=2),
)


class Recording:
    """Records a check stage by stage."""

    def __init__(self, folder: Path) -> None:
        self.recorder = Recorder(folder)
        self.recorder.event(RunDescribed(device="cpu", parameters=8970, wall=CREATED + 1))
        self.recorder.event(StateChanged(state="running", wall=CREATED + 1))
        self._row = 0

    def stage(
        self, name: str, status: CheckStatus = "pass", reason: str = "", **evidence: float | int | str
    ) -> None:
        seconds = 0.0 if status in ("running", "skipped") else 0.5
        reason = "" if status == "running" else reason or SOUND[name]
        stage = CheckStage(name=name, status=status, reason=reason, seconds=seconds, evidence=evidence)
        self.recorder.event(stage)

    def up_to(self, last: str) -> None:
        """Sound stages, as they are done."""
        for name in list(SOUND)[: list(SOUND).index(last)]:
            self.stage(name, "running")
            if name == "data":
                self.recorder.event(RangesMeasured(rows=RANGES))
            self.stage(name)

    def losses(self, column: str, values: np.ndarray[tuple[int], np.dtype[np.float64]]) -> None:
        for step, value in enumerate(values, start=1):
            self._write((f"overfit/{column}",), step, [float(value)])

    def sweep(self) -> None:
        rates = 1e-7 * 10 ** (np.arange(70) * 8 / 79)
        far = np.log10(rates) - np.log10(0.15)
        losses = START * np.where(far < 0, 0.3 + 0.7 / (1 + np.exp(4 * (far + 1.5))), 0.3 + 9 * far)
        for step, (rate, loss) in enumerate(zip(rates, losses, strict=True), start=1):
            self._write(("lr_range/lr", "lr_range/loss"), step, [float(rate), float(loss)])

    def _write(self, columns: tuple[str, ...], step: int, values: list[float]) -> None:
        self._row += 1
        self.recorder.scalars(columns, step, CREATED + 1 + 0.01 * self._row, 0.01 * self._row, values)

    def learnt(self) -> None:
        """One batch, by the user's step and by the safe one."""
        self.losses("overfit", FLOOR + (START - FLOOR) * np.exp(-np.arange(109) / 25))
        self.losses("rescue", FLOOR + (START - FLOOR) * np.exp(-np.arange(67) / 14))


def recorded_check(tmp_path: Path, how: str) -> Path:
    """A check that is under way, or how it ended: "running", "pass", "fail", "wiring"."""
    folder = make_folder(tmp_path, mode="check", name="digits")
    recording = Recording(folder)
    {"running": _under_way, "pass": _passed, "fail": _failed, "wiring": _wiring}[how](recording)
    if how != "running":
        recording.recorder.event(StateChanged(state="finished", wall=CREATED + 10))
    recording.recorder.close()
    write_state(folder, "running" if how == "running" else "finished", step=0)
    return folder


def _under_way(recording: Recording) -> None:
    recording.up_to("overfit-one-batch")
    recording.stage("overfit-one-batch", "running")
    recording.losses("overfit", FLOOR + (START - FLOOR) * np.exp(-np.arange(40) / 25))


def _passed(recording: Recording) -> None:
    recording.up_to("overfit-one-batch")
    recording.learnt()
    for name in ("overfit-one-batch", "rescue"):
        recording.stage(name, start=START, floor=FLOOR, threshold=0.1)
    recording.stage("zero-input", "skipped")
    recording.sweep()
    recording.stage("lr-range", lowest=0.15, suggestion=0.015)
    for name in ("gradient-noise", "memory-and-time"):
        recording.stage(name)


def _failed(recording: Recording) -> None:
    recording.up_to("overfit-one-batch")
    recording.losses("overfit", START + 900 * np.exp(-np.arange(200) / 4.0))
    recording.losses("rescue", FLOOR + (START - FLOOR) * np.exp(-np.arange(67) / 14))
    reason = "the loss went from 2.302 to 2.27 in 400 steps: no better than a guess"
    recording.stage("overfit-one-batch", "inconclusive", reason, start=START, floor=FLOOR, threshold=0.1)
    recording.stage("rescue", start=START, floor=FLOOR, threshold=0.1)
    recording.stage("zero-input", "skipped")
    recording.sweep()
    recording.recorder.event(FindingChanged(finding=NOT_LEARNT))
    recording.recorder.event(FindingChanged(finding=RATE_HIGH))
    recording.stage("lr-range", "fail", RATE_HIGH.message, lowest=0.15, suggestion=0.015)
    for name in ("gradient-noise", "memory-and-time"):
        recording.stage(name)


def _wiring(recording: Recording) -> None:
    recording.up_to("wiring")
    recording.recorder.event(FindingChanged(finding=NO_ZERO_GRAD))
    recording.stage("wiring", "fail", NO_ZERO_GRAD.message)
    for name in list(SOUND)[3:]:
        recording.stage(name, "skipped", "the wiring has errors: what follows would only repeat them")
