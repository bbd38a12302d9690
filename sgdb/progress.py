"""Progress in plain lines, where there is no dashboard. They go to stderr: stdout is the training's own."""

import contextlib
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, TextIO

import click

if TYPE_CHECKING:
    from sgdb_engine.ending import End
    from sgdb_engine.events import CheckStage, Finding
    from sgdb_engine.session import Engine

FIRST_PERIOD_S = 1.0
LONGEST_PERIOD_S = 10.0
"""Lines come each second at first, and ever less often."""


class Progress:
    """Prints how an engine is getting on."""

    def __init__(
        self,
        mode: str,
        place: str = "",
        *,
        brief: bool = False,
        page: "Callable[[Engine], Iterable[str]] | None" = None,
    ) -> None:
        """Makes one that has said nothing.

        Args:
            mode: run, or what is tried.
            place: said when the run has begun: where it is recorded.
            brief: a script tells its progress itself.
            page: what is said at the end of what was tried; that of a check where it is left out.
        """
        self._place = place
        self._page = page or _page_of_check
        self._brief = brief
        self._stream = sys.stderr  # the one of now: what is printed to a later one is kept as the training's
        self.refusal = ""
        """Why nothing could be run; empty where it could."""
        self._mode = mode
        self._next = 0.0
        self._last = (time.monotonic(), 0)
        self._period_s = FIRST_PERIOD_S
        self._epoch = 0
        self._described = False
        self._notes = self._checks = 0
        self._told: set[tuple[str, tuple[str, ...]]] = set()
        """Findings by code and place."""
        self._ended = False

    def told(self, engine: "Engine") -> None:
        """Prints a line if there is something to say."""
        if engine.end is not None and engine.end.refused:
            self.refusal = engine.end.message
            return
        if not self._brief:
            self._describe(engine)
        self._tell_notes(engine)
        self._tell_checks(engine)
        self._tell_findings(engine)
        self._tell_doing(engine)
        ended = engine.end is not None
        now = time.monotonic()
        if engine.step and not self._brief and (now >= self._next or engine.epoch != self._epoch or ended):
            self._next, self._epoch = now + self._period_s, engine.epoch
            self._period_s = min(LONGEST_PERIOD_S, self._period_s * 1.2)
            self._say(_line(engine, self._rate(now, engine.step)))
        if ended:
            self._tell_end(engine)

    def interrupted(self) -> None:
        """Says that Ctrl-C was heard."""
        self._say("stopping at the next step; once more ends it at once")

    def _say(self, text: str) -> None:
        say(text, self._stream)

    def _rate(self, now: float, step: int) -> float | None:
        """Steps per second since the line before; None where there was none."""
        then, step_then = self._last
        self._last = (now, step)
        return (step - step_then) / (now - then) if step_then and now > then else None

    def _describe(self, engine: "Engine") -> None:
        described = engine.described
        if described is None or self._described:
            return
        self._described = True
        at_most = "" if self._mode == "run" else "at most "
        length = f"{at_most}{described.steps_planned} steps" if described.steps_planned else "no planned end"
        size = f"{described.parameters:,} trainable parameters in {len(described.tensors)} tensors"
        self._say(f"{size} on {described.device}, {length}")
        if self._place:
            self._say(self._place)
        for note in described.notes:
            self._say(note)

    def _tell_notes(self, engine: "Engine") -> None:
        for note in engine.notes[self._notes :]:
            self._say(note)
        self._notes = len(engine.notes)

    def _tell_checks(self, engine: "Engine") -> None:
        for stage in engine.checks[self._checks :]:
            self._say(f"{stage.status}: {stage.name}: {stage.reason}")
        self._checks = len(engine.checks)

    def _tell_findings(self, engine: "Engine") -> None:
        """Each when it is sure; those of a check stand at its end, the root cause first."""
        for finding in engine.findings if self._mode == "run" else ():
            place = finding.code, finding.where
            if finding.state == "confirmed" and place not in self._told:
                self._told.add(place)
                self._say(
                    f"{finding.severity}: step {finding.step}: {finding.message} {finding.advice}".rstrip()
                )

    def _tell_doing(self, engine: "Engine") -> None:
        """How far a measurement is."""
        now = time.monotonic()
        if self._mode == "lr-find" and engine.observer and engine.end is None and now >= self._next:
            self._next = now + self._period_s
            self._period_s = min(LONGEST_PERIOD_S, self._period_s * 1.2)
            self._say(engine.doing)

    def _tell_end(self, engine: "Engine") -> None:
        end = engine.end
        if self._ended:
            return
        self._ended = True
        if end is not None and (self._mode == "run" or end.state != "finished"):
            steps = f" after {engine.step} steps" if self._brief else ""
            self._say(f"{end.state}{steps}{f': {end.message}' if end.message else ''}")
        elif end is not None:
            for line in self._page(engine):
                self._say(line)


def page_of(end: "End", checks: "Sequence[CheckStage]", findings: "Sequence[Finding]") -> "Iterator[str]":
    """What a check comes to: the verdict, then causes with their advice, what follows from each, and how to go on."""
    from sgdb_engine.findings.order import root_cause_first
    from sgdb_engine.summary import verdict_of

    yield f"verdict: {verdict_of(end, checks, findings)}"
    told = [f for f in root_cause_first(findings) if f.state == "confirmed"]
    for finding in told:
        if finding.cause:
            continue
        place = f" at {finding.location}" if finding.location else ""
        yield f"{finding.severity}: {finding.code}{place}: {finding.message}"
        yield f"  -> {finding.advice}"
        effects = [f.code for f in told if f.cause == finding.code]
        if effects:
            yield f"  it explains: {', '.join(effects)}"
    if any(f.severity != "info" for f in told):
        yield "more on each: sgdb explain CODE"


def _line(engine: "Engine", rate: float | None) -> str:
    described, latest = engine.described, engine.latest()
    total = f"/{described.steps_planned}" if described and described.steps_planned else ""
    parts = [f"step {engine.step}{total}"]
    if engine.epoch:
        parts.append(f"epoch {engine.epoch}")
    parts += _values(latest)
    if rate:
        parts.append(f"{rate:.3g} it/s")
    return "  ".join(parts)


SHOWN = (
    ("loss", "train/loss"),
    ("accuracy", "train/accuracy"),
    ("val loss", "val/loss"),
    ("val accuracy", "val/accuracy"),
    ("grad norm", "grad_norm"),
    ("lr", "lr"),
)


def _values(latest: Mapping[str, float]) -> list[str]:
    return [f"{label} {latest[name]:.4g}" for label, name in SHOWN if name in latest]


def say(text: str, stream: TextIO | None = None) -> None:
    """Prints lines of our own to stderr, or to `stream`. Where nobody reads them any more the training goes on."""
    with contextlib.suppress(OSError, ValueError):
        for line in text.splitlines():
            click.echo(f"sgdb: {line}", file=stream, err=True)


def _page_of_check(engine: "Engine") -> Iterable[str]:
    assert engine.end is not None
    return page_of(engine.end, engine.checks, engine.findings)
