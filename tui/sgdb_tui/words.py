"""What happened, in words: events as lines of the log."""

from dataclasses import dataclass
from typing import Literal

from sgdb_engine.events import (
    AnyEvent,
    CheckpointSaved,
    CheckStage,
    CommandApplied,
    EpochEnded,
    FindingChanged,
    Noted,
    ProbeFailed,
    RunDescribed,
    StateChanged,
    TrainingFailed,
    Validated,
)
from sgdb_engine.text import clean, clean_lines

Tone = Literal["output", "ours", "good", "warning", "error"]

_STATE_WORDS = {
    "starting": "Starting",
    "running": "Training",
    "paused": "Paused",
    "stopping": "Stopping",
    "finished": "Finished",
    "stopped": "Stopped",
    "failed": "Failed",
}
_STATE_TONES: dict[str, Tone] = {
    "finished": "good",
    "failed": "error",
    "paused": "warning",
    "stopped": "warning",
}
_SEVERITY_TONES: dict[str, Tone] = {"error": "error", "warning": "warning", "info": "ours"}
_CHECK_TONES: dict[str, Tone] = {
    "pass": "good",
    "fail": "error",
    "warn": "warning",
    "inconclusive": "warning",
}


@dataclass(frozen=True, slots=True)
class LogLine:
    """One line of the log panel; `step` is None for what the training code printed."""

    text: str
    tone: Tone = "output"
    step: int | None = None


def log_lines(event: AnyEvent) -> list[LogLine]:
    """An event in words: usually one line, a failure with its traceback."""
    if isinstance(event, TrainingFailed):
        trace = clean_lines(event.traceback).rstrip().splitlines()
        error = clean(event.error, 500)
        told = [] if trace and error in trace[-1] else [error]
        return [LogLine(line, "error") for line in (*trace, *told)]
    text, tone = _in_words(event)
    notes = [clean(note, 500) for note in event.notes] if isinstance(event, RunDescribed) else []
    step = None if isinstance(event, CheckStage) else event.step
    return [LogLine(line, tone, step) for line in (text, *notes) if line]


def _in_words(event: AnyEvent) -> tuple[str, Tone]:
    match event:
        case RunDescribed():
            return (
                f"{event.parameters:,} parameters in {len(event.tensors)} tensors on {clean(event.device)}",
                "ours",
            )
        case StateChanged(state="failed", reason=""):
            return "", "error"  # the traceback beside it says it all
        case StateChanged():
            reason = f": {clean(event.reason, 500)}" if event.reason else ""
            return f"{_STATE_WORDS[event.state]}{reason}", _STATE_TONES.get(event.state, "ours")
        case EpochEnded():
            return f"Epoch {event.epoch} done", "ours"
        case Validated():
            best = ", the best so far" if event.best else ""
            return f"Validated: {_metrics(event.metrics)}{best}", "good" if event.best else "ours"
        case CommandApplied(command="pause" | "resume" | "step" | "stop"):
            return "", "ours"  # the state that follows says it
        case CommandApplied():
            change = f": {clean(event.old)} → {clean(event.new)}" if event.new else ""
            by = f" by {clean(event.by)}" if event.by else ""
            return f"{clean(event.command).capitalize()}{by}{change}", "ours"
        case CheckpointSaved():
            return f"Checkpoint saved: {clean(event.path)}", "ours"
        case FindingChanged():
            return _finding(event)
        case ProbeFailed():
            return f"sgdb's own {clean(event.probe)} failed and is off: {clean(event.error, 500)}", "warning"
        case CheckStage(status="running"):
            return "", "ours"  # its outcome follows
        case CheckStage():
            reason = f": {clean(event.reason, 500)}" if event.reason else ""
            return f"Check {clean(event.name)}, {event.status}{reason}", _CHECK_TONES.get(
                event.status, "ours"
            )
        case Noted():
            return clean(event.text, 500), "ours"
    return "", "ours"


def _metrics(metrics: dict[str, float]) -> str:
    return ", ".join(f"{clean(name, 60)} {value:.4g}" for name, value in metrics.items())


def _finding(event: FindingChanged) -> tuple[str, Tone]:
    finding = event.finding
    if finding.state == "cleared":
        return f"Cleared: {clean(finding.message, 500)}", "good"
    return clean(finding.message, 500), _SEVERITY_TONES[finding.severity]
