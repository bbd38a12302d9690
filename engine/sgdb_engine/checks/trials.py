"""Experiments of a training that stands before its first update: each goes on in a process of its own."""

import contextlib
import os
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sgdb_engine.checks.child import GRACE_S, Child, Outcome, fork
from sgdb_engine.checks.experiment import Experiment, Setting, setting_of
from sgdb_engine.checks.fresh import begin_anew
from sgdb_engine.config.records import OverfitBudget
from sgdb_engine.ending import End
from sgdb_engine.launch import Order

if TYPE_CHECKING:
    from sgdb_engine.observe.observer import Observer
    from sgdb_engine.session import Engine

NO_MODEL = "no model was seen that this training updates"


class Trials:
    """Carries experiments out, in forked children or, where a GPU is used, in processes that begin the script anew."""

    def __init__(self, engine: "Engine", order: Order, scratch: Path) -> None:
        """Makes one that has not begun.

        Args:
            engine: whose training it is.
            order: what is tried, for processes that begin it anew.
            scratch: folder below which experiments write.
        """
        self._engine, self._order, self._scratch = engine, order, scratch
        self._reached_s = 0.0
        self._can_fork = True
        """Not on a GPU: there a process that uses one begins the script anew, with the same seed."""
        self._experiment: Experiment | None = None
        """In a child: the one that is done there."""

    def carry_out(self, experiments: Callable[[], None]) -> None:
        """Calls that, and then the script goes no further. Returns in children only: there it goes on."""
        if os.getpid() != self._engine.pid:
            return
        self._reached_s = time.monotonic() - self._engine.started
        with contextlib.suppress(_InChild):
            try:
                experiments()
            except Exception as error:  # ours: what is left is not done
                self._engine.note(f"the check itself failed: {type(error).__name__}: {error}")
                self._engine.notes.append(traceback.format_exc())
            self._engine.end_here(End("finished", 0))

    def setting(self, observer: "Observer", budget: OverfitBudget) -> Setting | None:
        """Where the script stands; None where no model was seen."""
        setting = setting_of(self._engine, observer, budget, self._order.rates)
        self._can_fork = setting is not None and all(p.is_cpu for p in setting.parameters)
        return setting

    def do(
        self, kind: type[Experiment], setting: Setting, told: Callable[[str, Any], None] = lambda k, v: None
    ) -> Outcome:
        """Runs an experiment. In its child this raises: the script goes on there."""
        if not self._can_fork:
            seconds = kind(setting).seconds + 2 * (self._reached_s + GRACE_S)
            return begin_anew(self._order, kind.name, told, seconds, self._scratch)
        experiment = kind(setting)
        got = fork(told, experiment.seconds, self._scratch)
        if isinstance(got, Child):
            self._experiment = experiment
            try:
                experiment.begin(got)
            except Exception as error:
                got.give_up(f"{type(error).__name__}: {error}")
            raise _InChild
        return got

    def script_ended(self, end: End) -> None:
        """The script is over: in a child so is the experiment; in the script's own process nothing was tried."""
        if self._experiment is not None:
            self._experiment.script_ended(end)


class _InChild(BaseException):
    """The calling process is a child: it goes on with the script."""
