"""Everything rare that the engine can say: frozen records and their union, one JSON line each in events.jsonl."""

from typing import Literal

import msgspec

State = Literal["starting", "running", "paused", "stopping", "finished", "stopped", "failed"]
ENDED: tuple[State, ...] = ("finished", "stopped", "failed")

Severity = Literal["error", "warning", "info"]
CheckStatus = Literal["running", "pass", "warn", "fail", "inconclusive", "skipped"]
Verdict = Literal["pass", "warn", "fail"]


class Event(msgspec.Struct, frozen=True, kw_only=True, tag_field="type"):
    """What all events carry."""

    step: int = 0
    """Optimizer steps completed when it happened."""
    wall: float = 0.0
    """Seconds since the epoch; stamped by the recorder."""


class TensorShape(msgspec.Struct, frozen=True):
    """One parameter tensor, by its PyTorch name."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    trainable: bool = True


class RunDescribed(Event, frozen=True, kw_only=True, tag="run"):
    """What is being trained, told once the model and the data are known."""

    device: str
    steps_planned: int | None = None
    epochs_planned: int | None = None
    steps_per_epoch: int | None = None
    parameters: int = 0
    """Number of trainable scalars."""
    tensors: tuple[TensorShape, ...] = ()
    planned_lr: tuple[tuple[int, float], ...] = ()
    """The whole schedule before the run: (step, lr), at most some hundreds of points."""
    notes: tuple[str, ...] = ()
    """What a user should know: precision in use, what is not observed, what was left at a default."""


class StateChanged(Event, frozen=True, kw_only=True, tag="state"):
    """The run went into another state."""

    state: State
    reason: str = ""


class EpochEnded(Event, frozen=True, kw_only=True, tag="epoch"):
    """An epoch of training ended; `epoch` counts completed epochs, from 1."""

    epoch: int


class Validated(Event, frozen=True, kw_only=True, tag="validation"):
    """A validation pass ended."""

    metrics: dict[str, float]
    best: bool = False


class CommandApplied(Event, frozen=True, kw_only=True, tag="command"):
    """A command took effect at the safe point of this step."""

    command: str
    by: str = ""
    old: str = ""
    new: str = ""


class CheckpointSaved(Event, frozen=True, kw_only=True, tag="checkpoint"):
    """A checkpoint was committed to disk."""

    path: str
    size_bytes: int


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """Something that is wrong, or probably costs the user something."""

    code: str
    severity: Severity
    step: int
    message: str
    advice: str = ""
    where: tuple[str, ...] = ()
    """Layers, parameters or features."""
    location: str | None = None
    """file:line in the user's code."""
    evidence: dict[str, float | int | str] = {}
    state: Literal["suspected", "confirmed", "cleared"] = "confirmed"
    cause: str = ""
    """The code of the finding that this one follows from."""


class FindingChanged(Event, frozen=True, kw_only=True, tag="finding"):
    """A finding was raised, confirmed or cleared."""

    finding: Finding


class ProbeFailed(Event, frozen=True, kw_only=True, tag="probe_failed"):
    """A part of sgdb raised; it is off from now on, the training goes on."""

    probe: str
    error: str


class TrainingFailed(Event, frozen=True, kw_only=True, tag="failed"):
    """The training code raised."""

    error: str
    traceback: str


class CheckStage(Event, frozen=True, kw_only=True, tag="check"):
    """A stage of the pre-flight began or ended."""

    name: str
    status: CheckStatus
    reason: str = ""
    seconds: float = 0.0
    evidence: dict[str, float | int | str] = {}


class ValueRange(msgspec.Struct, frozen=True):
    """The values of one tensor: smallest, largest, mean and standard deviation of the finite ones."""

    place: Literal["input", "target", "output", "parameter", "activation"]
    name: str
    low: float
    high: float
    mean: float
    std: float
    nonfinite: int = 0


class RangesMeasured(Event, frozen=True, kw_only=True, tag="ranges"):
    """What the first minibatch, the model and its layers look like at initialisation; told by a check."""

    rows: tuple[ValueRange, ...]


class Suggestion(msgspec.Struct, frozen=True, kw_only=True):
    """A value to train with."""

    rule: str
    """What it follows from, in one word."""
    value: float
    words: str
    use: str
    """The command or the place that sets it."""


class RatesSwept(Event, frozen=True, kw_only=True, tag="lr_find"):
    """The learning-rate range test is over."""

    rates: tuple[float, ...] = ()
    """Of each update, rising."""
    losses: tuple[float, ...] = ()
    """Of the step after each of them."""
    smoothed: tuple[float, ...] = ()
    """Their moving average."""
    lowest: float | None = None
    """The rate at which that was lowest; None where the sweep says nothing."""
    diverged: float | None = None
    suggestions: tuple[Suggestion, ...] = ()


class Noted(Event, frozen=True, kw_only=True, tag="note"):
    """A line of sgdb's own for the log."""

    text: str


AnyEvent = (
    RunDescribed
    | StateChanged
    | EpochEnded
    | Validated
    | CommandApplied
    | CheckpointSaved
    | FindingChanged
    | ProbeFailed
    | TrainingFailed
    | CheckStage
    | RangesMeasured
    | RatesSwept
    | Noted
)
