"""How the run of a point stands: read from its run folder, which is all that there is to know of it."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from sgdb_engine.errors import RunFolderError
from sgdb_engine.events import AnyEvent, FindingChanged, RunDescribed, Validated
from sgdb_engine.recording import folder as run_folder
from sgdb_engine.recording.event_log import EventReader
from sgdb_engine.sweep.grid import Point
from sgdb_engine.sweep.point_file import read_point

PointState = Literal["queued", "running", "finished", "stopped", "diverged", "failed", "interrupted"]
RANKED: tuple[PointState, ...] = ("finished", "stopped", "running")
"""States in which a run's loss can be the best one."""
DONE: tuple[PointState, ...] = ("finished", "stopped", "diverged", "failed")
"""Such a run is not begun again."""
DIVERGED = ("nonfinite", "lr-high")
"""Codes of errors that a run of a sweep is stopped for: its weights are lost, or its loss rose from the start."""
EXIT_CODES_OF_SIGNALS = (130, 143)
LAST_SHARE, FEWEST_STEPS = 0.1, 20
"""The training loss at the end is the mean over the last tenth of the steps: one batch alone says too little."""
_BYTES_PER_LOOK = 2**20


@dataclass(frozen=True, slots=True)
class Standing:
    """A point, and how its run stands."""

    point: Point
    state: PointState = "queued"
    folder: Path | None = None
    """Of the run; None where there is none yet."""
    step: int = 0
    steps_planned: int | None = None
    best_val_loss: float = math.nan
    """The lowest finite one; NaN where there is none."""
    best_step: int = 0
    train_loss: float = math.nan
    """The newest one; of a run that has ended, the mean over the last tenth of its steps."""
    metrics: Mapping[str, float] = field(default_factory=dict)
    """The newest values."""
    findings: tuple[str, ...] = ()
    """Codes of the errors and warnings that were confirmed."""
    message: str = ""
    """Why it ended so."""
    seconds: float = 0.0

    @property
    def is_done(self) -> bool:
        """It is not begun again."""
        return self.state in DONE

    @property
    def has_ended(self) -> bool:
        """Its run is over."""
        return self.state not in ("queued", "running")


def loss_of(standing: Standing) -> float:
    """What runs are compared by: the best validation loss, or the training loss where there is no validation."""
    return standing.best_val_loss if math.isfinite(standing.best_val_loss) else standing.train_loss


class RunOfPoint:
    """Follows the run of a point by its folder, while it lives and when it has ended."""

    def __init__(self, point: Point, folder: Path) -> None:
        self._events = EventReader(folder)
        self._findings: dict[tuple[str, tuple[str, ...]], tuple[str, str]] = {}
        """Code and places → severity and state."""
        self.standing = Standing(point, "running", folder)
        self.folder = folder

    def look(self) -> Standing:
        """How it stands now; a run without an exit code is running, as far as its folder can tell."""
        if self.standing.has_ended:
            return self.standing
        try:
            status = run_folder.read_status(self.folder)
        except RunFolderError:  # its engine has not said a word yet
            return self.standing
        self._read_events()
        codes = [code for (code, _), told in self._findings.items() if told[1] == "confirmed"]
        self.standing = replace(
            self.standing,
            step=status.step,
            steps_planned=status.steps_planned or self.standing.steps_planned,
            metrics=status.metrics,
            train_loss=status.metrics.get("train/loss", math.nan),
            findings=tuple(dict.fromkeys(codes)),
            message=status.message,
        )
        if status.exit_code is not None:
            self._ended(status)
        return self.standing

    def lost(self, state: PointState, message: str) -> Standing:
        """How it ended, now that its process is gone; where that has not said how, it is as given."""
        self.look()
        if not self.standing.has_ended:
            self.standing = replace(self._with_last_loss(), state=state, message=message)
        return self.standing

    def _ended(self, status: run_folder.RunStatus) -> None:
        point = read_point(self.folder)
        self.standing = replace(
            self._with_last_loss(),
            state=self._how(status, interrupted=point is not None and point.interrupted),
            seconds=max(0.0, status.wall - status.start_time),
        )

    def _how(self, status: run_folder.RunStatus, *, interrupted: bool) -> PointState:
        if status.refused or status.state == "failed":
            return "failed"
        if interrupted or (status.state == "stopped" and status.exit_code in EXIT_CODES_OF_SIGNALS):
            return "interrupted"
        errors = [(code, told) for (code, _), told in self._findings.items() if code in DIVERGED]
        if any(told == ("error", "confirmed") for _, told in errors):
            return "diverged"
        return "stopped" if status.state == "stopped" else "finished"

    def _read_events(self) -> None:
        caught_up = False
        while not caught_up:
            events, _, caught_up = self._events.poll(_BYTES_PER_LOOK)
            for event in events:
                self._take_in(event)

    def _take_in(self, event: AnyEvent) -> None:
        if isinstance(event, FindingChanged):
            finding = event.finding
            if finding.severity != "info":
                self._findings[finding.code, finding.where] = finding.severity, finding.state
        elif isinstance(event, RunDescribed):
            self.standing = replace(self.standing, steps_planned=event.steps_planned)
        elif isinstance(event, Validated):
            loss = event.metrics.get("val/loss", math.nan)
            if math.isfinite(loss) and not loss >= self.standing.best_val_loss:
                self.standing = replace(self.standing, best_val_loss=loss, best_step=event.step)

    def _with_last_loss(self) -> Standing:
        from sgdb_engine.recording.reader import read_scalars  # imports numpy

        last = self.standing.step
        first = last + 1 - max(FEWEST_STEPS, math.ceil(LAST_SHARE * last))
        losses = read_scalars(self.folder, ["train/loss"], first, last)["train/loss"][1]
        return replace(self.standing, train_loss=float(losses.mean())) if len(losses) else self.standing
