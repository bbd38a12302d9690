"""What the first line says about a run, field by field."""

import math

from textual.content import Content

from sgdb_engine.events import Verdict
from sgdb_tui.bridge import RunView, ViewState
from sgdb_tui.formatting import count, duration, number, percent
from sgdb_tui.preflight import STAGES, num_ended, verdict
from sgdb_tui.widgets.finding_list import GLYPHS, open_ones, worst
from sgdb_tui.widgets.status_line import Field

_WORDS: dict[ViewState, str] = {
    "starting": "○ STARTING",
    "running": "● RUNNING",
    "paused": "▮▮ PAUSED",
    "stopping": "● STOPPING",
    "finished": "✓ FINISHED",
    "stopped": "■ STOPPED",
    "failed": "✗ FAILED",
    "lost": "✗ LOST",
}
_VERDICTS: dict[Verdict, tuple[str, str]] = {
    "pass": ("✓ PASS", "success"),
    "warn": ("△ WARNING", "warning"),
    "fail": ("✗ FAIL", "error"),
}
_AT_WORK = {"check": "● CHECKING", "lr-find": "● SWEEPING"}
"""What is tried, while it is."""
_BAR_CELLS = 14
_NOTICED_SHARE = 0.05
"""Share of the step time taken by sgdb itself that is worth a colour."""


def status_fields(view: RunView) -> list[Field]:
    """All there is to say; the status line drops what does not fit."""
    word, style = _look(view)
    head = [Field(Content.styled(f" {word} ", style), 0), Field(Content.styled(view.name, "bold"), 5)]
    if view.info.mode in _AT_WORK:
        after = Field(Content(f"after {duration(view.elapsed_s)}"), 6)
        stages = _stages(view) if view.info.mode == "check" else None
        fields = [*head, stages, after, _findings(view), _trouble(view)]
        return [field for field in fields if field is not None]
    fields = [
        *head,
        _step(view),
        _bar(view),
        _epoch(view),
        _time(view),
        _rate(view),
        _findings(view),
        _trouble(view),
        _own_cost(view),
    ]
    return [field for field in fields if field is not None]


_STATE_STYLES: dict[ViewState, str] = {
    "running": "bold reverse $success",
    "finished": "bold reverse $success",
    "starting": "bold reverse $primary",
    "stopping": "bold reverse $warning",
    "stopped": "bold reverse $primary",
}


def _look(view: RunView) -> tuple[str, str]:
    """Word and style of the state; of what was tried, the verdict is what counts in the end."""
    outcome = verdict(view) if view.info.mode in _AT_WORK else None
    if outcome is not None:
        word, color = _VERDICTS[outcome]
        return word, "bold" if view.state == "failed" else f"bold reverse ${color}"
    return _state_words(view), _STATE_STYLES.get(view.state, "bold")


def _state_words(view: RunView) -> str:
    at_work = _AT_WORK.get(view.info.mode) if view.state == "running" else None
    words = at_work or _WORDS[view.state]
    if view.asked and not view.ended:
        return f"{words} · {view.asked}…"
    return words


def _stages(view: RunView) -> Field | None:
    stages = list(view.stages.values())
    if not stages:
        return None
    return Field(Content(f"{num_ended(stages)}/{max(len(STAGES), len(stages))} stages"), 3)


def _step(view: RunView) -> Field | None:
    if view.state == "starting" and not view.step:
        return None
    planned = view.steps_planned
    return Field(Content(f"step {view.step}/{planned}" if planned else f"step {view.step}"), 3)


def _bar(view: RunView) -> Field | None:
    planned = view.steps_planned
    if not planned or not view.step:
        return None
    share = min(1.0, view.step / planned)
    filled = round(share * _BAR_CELLS)
    bar = Content.assemble(("━" * filled, "$success"), ("─" * (_BAR_CELLS - filled), "dim"), f" {share:.0%}")
    return Field(Content(f"{share:.0%}") if view.state in ("paused", "failed", "lost") else bar, 9)


def _epoch(view: RunView) -> Field | None:
    status = view.status
    if status is None or status.epoch is None or view.state == "starting":
        return None
    told = max((epoch for epoch, _ in view.history.epochs), default=0)  # sooner than a status once a second
    epoch = max(told, math.floor(status.epoch + 1e-9))
    planned = view.described.epochs_planned or status.epochs_planned
    if not epoch and not planned:  # nobody knows of any
        return None
    return Field(Content(f"epoch {epoch}/{planned}" if planned else f"epoch {epoch}"), 10)


def _time(view: RunView) -> Field | None:
    if view.ended or view.state == "starting":
        return Field(Content(f"after {duration(view.elapsed_s)}"), 6)
    planned, rate = view.steps_planned, view.history.step_rate()
    if not planned or not rate or view.state == "paused":
        return None
    return Field(Content(f"ETA {duration(max(0, planned - view.step) / rate)}"), 7)


def _rate(view: RunView) -> Field | None:
    rate = view.history.step_rate()
    if not rate or view.ended or view.state == "paused":
        return None
    return Field(Content(f"{number(rate, 5)} it/s"), 8)


def _findings(view: RunView) -> Field | None:
    open_ = open_ones(list(view.findings.values()))
    if not open_:
        return None
    severity = worst(open_)
    words = f"{GLYPHS[severity]} {len(open_)} finding{'s' if len(open_) > 1 else ''}"
    plain = view.state in ("paused", "failed", "lost")
    return Field(Content.styled(words, "bold" if plain else f"bold ${_COLORS[severity]}"), 1)


_COLORS = {"error": "error", "warning": "warning", "info": "foreground"}


def _trouble(view: RunView) -> Field | None:
    if view.failure is not None and view.state == "failed":
        lines = view.failure.error.strip().splitlines()
        return Field(Content(lines[0] if lines else "the training raised"), 2, flexible=True)
    if view.state == "lost":
        return Field(Content("the engine process is gone"), 4)
    if not view.caught_up:
        return Field(Content("reading…"), 4)
    if view.missing_records:
        return Field(Content(f"{count(view.missing_records)} records damaged"), 4)
    return None


def _own_cost(view: RunView) -> Field | None:
    share = view.status.sgdb_share if view.status else None
    if share is None or view.ended:
        return None
    return Field(Content.styled(f"sgdb {percent(share)}", "bold" if share > _NOTICED_SHARE else ""), 6)
