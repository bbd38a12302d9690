"""Runs the parts of sgdb that may fail: told once, switched off, and never raised into the training."""

import contextlib
import time
from collections.abc import Callable
from typing import Any

import torch
from torch.utils._python_dispatch import _disable_current_modes as _unseen_by_modes

from sgdb_engine.events import ProbeFailed
from sgdb_engine.recording.writer import Recorder

clock = time.perf_counter
_nothing = contextlib.nullcontext()
_modes_in_force = torch._C._len_torch_dispatch_stack
"""How many modes of the user's look at every operation, as a counter of FLOPs does; ours are none of its business."""

FINDINGS = "findings"
"""The part that looks for what is wrong."""


class Guard:
    """Which parts are off, and how many seconds of the step under way our own code took."""

    def __init__(
        self, recorder: Recorder, step: Callable[[], int], told: Callable[[str], None] = lambda text: None
    ) -> None:
        """`step` tells how many are completed; `told` hears what is switched off, in words."""
        self.fixed = 0.0
        """Ours, in every step."""
        self.measured = 0.0
        """Ours, for what is measured as the budget allows."""
        self.held = 0.0
        """Spent at the safe point: a pause is nobody's step time."""
        self.off: set[str] = set()
        self._recorder = recorder
        self._step = step
        self._told = told

    def begin_step(self) -> None:
        """A new step begins."""
        self.fixed = self.measured = self.held = 0.0

    def run(self, probe: str, part: Callable[..., None], *args: Any) -> None:
        """Runs a part of ours. If it fails, that is told once and the part stays off; the training goes on."""
        if probe in self.off:
            return
        elsewhere = self.measured + self.held
        started = clock()
        try:
            with _unseen_by_modes() if _modes_in_force() else _nothing:
                part(*args)
        except Exception as error:
            self.failed(probe, error)
        spent = clock() - started - (self.measured + self.held - elsewhere)
        if probe == FINDINGS:
            self.held += spent  # the first steps are looked at whole, once: that says nothing of the others
        else:
            self.fixed += spent

    def measure(self, probe: str, measurement: Callable[..., None], *args: Any) -> None:
        """The same, of what is paid from the budget."""
        if probe in self.off:
            return
        started = clock()
        try:
            with _unseen_by_modes() if _modes_in_force() else _nothing:
                measurement(*args)
        except Exception as error:
            self.failed(probe, error)
        self.measured += clock() - started

    def run_apart(self, probe: str, part: Callable[..., None], *args: Any) -> float:
        """The same, of what is rare and has a pace of its own: it is nobody's step time. Seconds that it took."""
        fixed = self.fixed
        self.run(probe, part, *args)
        spent, self.fixed = self.fixed - fixed, fixed
        self.held += spent
        return spent

    def hold(self, safe_point: Callable[[int], None]) -> None:
        """The same, of the safe point; what it raises to stop the training is no `Exception`."""
        if "safe point" in self.off:
            return
        started = clock()
        try:
            safe_point(self._step())
        except Exception as error:
            self.failed("safe point", error)
        self.held += clock() - started

    def failed(self, probe: str, error: Exception) -> None:
        """A part of ours raised: it is off from now on."""
        if probe not in self.off:
            self.off.add(probe)
            text = f"{type(error).__name__}: {error}"
            self._recorder.event(ProbeFailed(step=self._step(), probe=probe, error=text))
            with contextlib.suppress(Exception):
                self._told(f"a part of sgdb failed and is off, the training goes on: {probe}: {text}")
