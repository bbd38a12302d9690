"""A recorded run to look at: a GPT-like one with two sick layers."""

import os
from pathlib import Path

import numpy as np

from sgdb_engine.events import (
    CheckpointSaved,
    EpochEnded,
    Event,
    Finding,
    FindingChanged,
    RunDescribed,
    State,
    StateChanged,
    TensorShape,
    Validated,
)
from sgdb_engine.recording.folder import RunInfo, RunStatus, write_info, write_status
from sgdb_engine.recording.liveness import boot_id, host_name, own_start_time
from sgdb_engine.recording.writer import Recorder

LAYERS = (
    "wte.weight",
    "wpe.weight",
    *(f"h.{n}.{part}.weight" for n in range(6) for part in ("attn.qkv", "attn.proj", "mlp.up", "mlp.down")),
    "ln_f.weight",
    "lm_head.weight",
)
STEPS = 2000
PLANNED = 5000
STEPS_PER_EPOCH = 500
CREATED = 1_800_000_000.0


def write_state(
    folder: Path, state: State, *, step: int = STEPS, pid: int | None = None, **more: object
) -> None:
    """Write status.json as the engine does; by default this very process is the engine."""
    status = RunStatus(
        host=host_name(),
        boot_id=boot_id(),
        pid=os.getpid() if pid is None else pid,
        start_time=own_start_time(),
        state=state,
        step=step,
        epoch=step / STEPS_PER_EPOCH,
        steps_planned=PLANNED,
        epochs_planned=10,
        wall=CREATED + 700,
        sgdb_share=0.008,
        **more,  # type: ignore[arg-type]
    )
    write_status(folder, status)


def make_folder(tmp_path: Path, *, mode: str = "run", name: str = "gpt2-mini", folder_name: str = "") -> Path:
    """A run folder that holds nothing but run.json."""
    folder = tmp_path / f"{folder_name or name}-20260101-000000"
    folder.mkdir(mode=0o700)
    write_info(folder, RunInfo(id="7f3a", name=name, mode=mode, target="train.toml", created=CREATED))
    return folder


def record(folder: Path, *, num_steps: int = STEPS, layers: tuple[str, ...] = LAYERS) -> None:
    """Record a run: loss falls with a spike, validation turns up, one layer breaks, another one vanishes."""
    recorder = Recorder(folder)
    rng = np.random.default_rng(0)
    recorder.event(_description(layers))
    recorder.event(StateChanged(state="running", wall=CREATED + 4))
    for step in range(1, num_steps + 1):
        _record_step(recorder, rng, step, layers)
    for event in _events(num_steps):
        recorder.event(event)
    recorder.close()


def _description(layers: tuple[str, ...]) -> RunDescribed:
    planned = [(step, 3e-4 * _schedule(step)) for step in range(0, PLANNED + 1, 25)]
    return RunDescribed(
        device="cpu",
        steps_planned=PLANNED,
        epochs_planned=10,
        steps_per_epoch=STEPS_PER_EPOCH,
        parameters=10_682_112,
        tensors=tuple(TensorShape(name, (64, 64), "float32") for name in layers),
        planned_lr=tuple(planned),
        wall=CREATED + 3,
    )


def _schedule(step: int) -> float:
    if step < 200:
        return step / 200
    return 0.1 + 0.45 * (1 + float(np.cos(np.pi * (step - 200) / (PLANNED - 200))))


def _record_step(recorder: Recorder, rng: np.random.Generator, step: int, layers: tuple[str, ...]) -> None:
    wall, monotonic = CREATED + 5 + 0.31 * step, 5 + 0.31 * step
    loss = (0.3 + 3.5 * np.exp(-step / 300) + 4 * np.exp(-(((step - 1200) / 18) ** 2))) * np.exp(
        rng.normal(0, 0.08)
    )
    norm = (0.2 + np.exp(-step / 200) + 3 * np.exp(-(((step - 1200) / 15) ** 2))) * np.exp(rng.normal(0, 0.2))
    spent = 0.3 + rng.normal(0, 0.01)
    values = {"train/loss": loss, "lr": 3e-4 * _schedule(step), "grad_norm": norm}
    values |= {"time/step": spent, "time/data": spent * 0.03, "time/sgdb": spent * 0.008}
    values |= _batch("input", rng, -1.0, 1.0) | _batch("output", rng, -8.0, 9.0)
    recorder.scalars(tuple(values), step, wall, monotonic, [float(value) for value in values.values()])
    if step % 50 == 0:
        machine = {"mem/rss": 1.1e9 + 3e4 * step, "cpu/percent": 180 + rng.normal(0, 5)}
        recorder.scalars(tuple(machine), step, wall, monotonic, list(machine.values()))
    if step % 100 == 0:
        val = 0.45 + 3.3 * np.exp(-step / 300) + max(0, step - 1300) * 2e-4
        recorder.scalars(("val/loss", "val/accuracy"), step, wall, monotonic, [val, 1 - val / 5])
    if step % 10 == 0:
        columns, stats = _tensors(rng, step, layers)
        recorder.tensors(columns, step, wall, monotonic, stats)


def _batch(kind: str, rng: np.random.Generator, low: float, high: float) -> dict[str, float]:
    noise = rng.normal(0, 0.03)
    values = {"min": low + noise, "max": high + noise, "mean": noise, "std": 1 + noise, "nonfinite": 0.0}
    return {f"{kind}/{stat}": value for stat, value in values.items()}


def _tensors(
    rng: np.random.Generator, step: int, layers: tuple[str, ...]
) -> tuple[tuple[str, ...], np.ndarray[tuple[int], np.dtype[np.float32]]]:
    num = len(layers)
    norms = 0.02 * np.exp(-step / 2000) * np.exp(rng.normal(0, 0.35, num))
    if num > 16 and step > 900:
        norms[5] *= np.exp(-(step - 900) / 120)
    broken = np.zeros(num)
    if num > 16 and step > 1900:
        norms[16], broken[16] = np.nan, 2304
    std = np.linspace(0.05, 0.15, num)
    stats = {
        "grad_norm": norms,
        "param_min": -4 * std,
        "param_max": 4 * std + 0.01 * np.arange(num),
        "param_mean": 0.1 * std,
        "param_std": std,
        "update_ratio": 1e-3 * np.exp(rng.normal(0, 0.3, num)),
        "nonfinite": broken,
    }
    columns = tuple(f"{stat}/{layer}" for stat in stats for layer in layers)
    return columns, np.concatenate(list(stats.values())).astype(np.float32)


def _events(num_steps: int) -> list[Event]:
    events: list[Event] = [
        EpochEnded(step=STEPS_PER_EPOCH * n, epoch=n) for n in range(1, num_steps // STEPS_PER_EPOCH + 1)
    ]
    events.append(Validated(step=1300, metrics={"val/loss": 0.4934, "val/accuracy": 0.9}, best=True))
    events.append(CheckpointSaved(step=1300, path="checkpoints/step-1300", size_bytes=123_456_789))
    events.append(FindingChanged(step=1910, finding=NAN_FINDING))
    events.append(FindingChanged(step=1500, finding=VANISHING_FINDING))
    return [*events, *(FindingChanged(step=1700, finding=finding) for finding in (RISING_FINDING,))]


NAN_FINDING = Finding(
    code="nonfinite-gradient",
    severity="error",
    step=1910,
    message="NaN in the gradient of h.3.mlp.up.weight",
    advice="Look for a log or a division by zero in this layer; lower the learning rate or clip the gradient.",
    where=("h.3.mlp.up.weight",),
)
VANISHING_FINDING = Finding(
    code="vanishing-gradient",
    severity="warning",
    step=1500,
    message="The gradient of h.0.mlp.down.weight vanishes: 1e-4 of the median",
    advice="Check for a saturated activation or a detached path before it.",
    where=("h.0.mlp.down.weight",),
)
RISING_FINDING = Finding(
    code="overfitting",
    severity="warning",
    step=1700,
    message="Validation loss rises while training loss falls",
)
