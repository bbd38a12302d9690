"""Ended steps → rows for the recorder: many quick steps at once, measured ones with all that was measured."""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from sgdb_engine.events import Finding
from sgdb_engine.findings.following import Following
from sgdb_engine.findings.nonfinite import NonFinite
from sgdb_engine.observe.budget import Budget
from sgdb_engine.observe.readback import Readback, Row, Value, host_value
from sgdb_engine.recording.writer import Recorder

clock = time.perf_counter

QuickStep = tuple[float, ...]
"""A step whose parts were not timed: step, when it ended (`clock`), values."""

FLUSH_S = 0.02
"""Rows of quick steps wait for one another at the most so long."""

FOLLOWED = ("train/loss", "lr", "clip_coef", "amp/scale")
Guarded = Callable[..., None]


class Rows:
    """Where rows are made and handed over, and the newest values looked at."""

    def __init__(self, recorder: Recorder, guarded: Guarded, found: Callable[[Finding], None]) -> None:
        """`guarded(part, function, *arguments)` runs what must not raise into the training."""
        self.latest: dict[str, float] = {}
        """The newest host values by column."""
        self.following: Following | None = None
        """Who follows the course of the run."""
        self.looks_for_nonfinite = True
        self.urgent = False
        """Something was found: a whole measurement of the next step tells which tensors it reached."""
        self.validated: Callable[[dict[str, float]], None] | None = None
        self._recorder = recorder
        self._readback = Readback(recorder, self._arrived)
        self._nonfinite = NonFinite()
        self._guarded = guarded
        self._found = found

    def take(self, row: Row) -> None:
        """Takes over a row; values on a device arrive later."""
        self._readback.take(row)

    def take_now(self, step: int, values: Mapping[str, Any], validation: bool = False) -> None:
        """A row of these values, of now."""
        numbers = {name: host_value(value) for name, value in values.items()}
        self.take(Row(step, time.time(), time.monotonic(), numbers, validation=validation))

    def take_quick(self, columns: tuple[str, ...], steps: Sequence[QuickStep]) -> None:
        """Takes over steps in their order, whose values have these columns."""
        now = clock()
        self._recorder.block(columns, steps, time.time() - now, time.monotonic() - now)
        self.latest.update(zip(columns, steps[-1][2:], strict=True))
        if self.following is not None:
            self._guarded("findings", self._follow_quick, columns, steps)

    def _follow_quick(self, columns: tuple[str, ...], steps: Sequence[QuickStep]) -> None:
        assert self.following is not None
        places = [columns.index(column) + 2 if column in columns else 0 for column in FOLLOWED]
        for row in steps:
            self.following.step(int(row[0]), *(row[place] if place else None for place in places))

    def drain(self) -> None:
        """Waits for what is still on its way from a device; for the end of a run."""
        self._readback.drain()

    def _arrived(self, row: Row, values: dict[str, float], tensors: np.ndarray | None) -> None:
        self.latest.update(values)
        if self.following is not None and tensors is not None and row.sampled:
            self._guarded("findings", self.following.moving.take, row.step, row.tensor_columns, tensors)
        if self.following is not None and "time/step" in values:
            self._guarded(
                "findings", self.following.step, row.step, *(values.get(column) for column in FOLLOWED)
            )
        if row.validation and self.validated is not None:
            self._guarded("validation", self.validated, values)
        if self.looks_for_nonfinite and (row.sampled or not math.isfinite(sum(values.values()))):
            self._guarded("findings", self._look_for_nonfinite, row, values, tensors)

    def _look_for_nonfinite(self, row: Row, values: dict[str, float], tensors: np.ndarray | None) -> None:
        findings = self._nonfinite.inputs(row.step, values) + self._nonfinite.scalars(row.step, values)
        if tensors is not None:
            findings += self._nonfinite.tensors(row.step, row.tensor_columns, tensors)
        self.urgent |= bool(findings)
        for finding in findings:
            self._found(finding)


def learning_rates(optimizer: Any) -> list[Any]:
    """Those of the groups of an optimizer that have one, as they are now."""
    return [group["lr"] for group in optimizer.param_groups if "lr" in group]


def add_learning_rates(values: dict[str, Value], rates: Sequence[Value]) -> None:
    """`lr`, and `lr/<group>` of each group where there are several."""
    if rates:
        values["lr"] = rates[0]
    if len(rates) > 1:
        values.update((f"lr/{i}", rate) for i, rate in enumerate(rates))


class QuickSteps:
    """Steps that have ended and wait for others, so that their rows are made many at a time."""

    def __init__(self, rows: Rows, budget: Budget) -> None:
        self._rows = rows
        self._budget = budget
        self._columns: tuple[str, ...] = ()
        """The time of the step is the first of them."""
        self._steps: list[QuickStep] = []
        self._flush_at = 0.0

    def add(self, columns: tuple[str, ...], step: QuickStep, now: float) -> None:
        """Takes one in."""
        if columns is not self._columns and columns != self._columns:
            self.flush()
            self._columns = columns
        self._steps.append(step)
        if now >= self._flush_at:
            self.flush()

    def flush(self) -> None:
        """Hands them over."""
        steps, self._steps = self._steps, []
        began = clock()
        if steps:
            self._rows.take_quick(self._columns, steps)
            seconds = sum(step[2] for step in steps)
            self._budget.quick_steps_ended(len(steps), seconds, clock() - began)
        self._flush_at = began + FLUSH_S
