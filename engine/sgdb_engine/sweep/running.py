"""Runs the points of a sweep side by side, each in an engine process of its own, and sees to it that they end."""

import contextlib
import os
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Protocol

from sgdb_engine.errors import RunFolderError, SgdbError
from sgdb_engine.launch import start_engine
from sgdb_engine.recording import folder as run_folder
from sgdb_engine.sweep.plan import SweepPlan, target_of
from sgdb_engine.sweep.point_file import PointFile, interrupt_point, write_point
from sgdb_engine.sweep.slots import Slot
from sgdb_engine.sweep.standing import DIVERGED, PointState, RunOfPoint, Standing
from sgdb_engine.sweep.store import Store, Taken, is_under_way

POLL_S = 0.2
GRACE_S = 20.0
"""A run that was asked to stop and has not done so is ended at once, then killed."""
LEAVING_S = 30.0
"""A process that has told its exit code and does not leave is killed: its GPU is needed."""


class Listener(Protocol):
    """Is told how a sweep gets on, in the thread that runs it."""

    def begun(self, standing: Standing) -> None:
        """A run is under way."""

    def ended(self, standing: Standing) -> None:
        """A run has ended, one way or another."""

    def waiting(self, points: int) -> None:
        """Nothing is left to begin here; so many points are under way elsewhere, and are taken up if they are lost."""


class SupervisedRun:
    """One run in one slot: an engine that was started here, or one that outlived whoever started it."""

    def __init__(
        self, taken: Taken, folder: Path, slot: Slot, process: "subprocess.Popen[bytes] | None"
    ) -> None:
        self.point = taken.point
        self.slot = slot
        self.run = RunOfPoint(taken.point, folder)
        self._process = process
        self._interrupted = False
        self._left_at = 0.0

    def is_over(self) -> bool:
        """Whether its process is gone; what it has told last is seen then."""
        if self._process is None:
            return not is_under_way(self.run.folder)
        if self._process.poll() is not None:
            return True
        if self.run.look().has_ended:
            self._left_at = self._left_at or time.monotonic()
            if time.monotonic() - self._left_at > LEAVING_S:
                self._process.kill()
        return False

    def end(self) -> Standing:
        """How it ended; its process is gone."""
        code = self._process.returncode if self._process is not None else None
        how = f" (signal {-code})" if code is not None and code < 0 else ""
        state: PointState = "interrupted" if self._interrupted else "failed"
        return self.run.lost(
            state, f"its process is gone{how}: killed, or out of memory; see {run_folder.OUTPUT_LOG}"
        )

    def interrupt(self) -> None:
        """Asks it to stop in good order; it is no result then, unless it has just ended by itself."""
        if self.run.look().has_ended:
            return
        self._interrupted = True
        with contextlib.suppress(RunFolderError):  # a full disk: its exit code tells as well
            interrupt_point(self.run.folder)
        self.send(signal.SIGTERM)

    def send(self, number: signal.Signals) -> None:
        """Sends the engine a signal, if it lives."""
        with contextlib.suppress(OSError, RunFolderError):
            if self._process is not None:
                self._process.send_signal(number)
            elif is_under_way(self.run.folder):
                os.kill(run_folder.read_status(self.run.folder).pid, number)


class Sweep:
    """Takes points from a store and runs them until none is left, or until it is told to stop."""

    def __init__(
        self, folder: Path, plan: SweepPlan, store: Store, slots: Sequence[Slot], listener: Listener
    ) -> None:
        """Makes a sweep that is not running.

        Args:
            folder: of the sweep; those of its runs lie in it.
            plan: what is run.
            store: who gives out the points.
            slots: room for so many runs at a time.
            listener: is told how it gets on.
        """
        self.folder = folder
        self.plan = plan
        self._store = store
        self._free = list(reversed(slots))
        self._listener = listener
        self._running: dict[int, SupervisedRun] = {}
        self._watched: dict[int, RunOfPoint] = {}
        self._standings = {point.number: Standing(point) for point in plan.points()}
        self._asked = threading.Event()
        self._at_once = False
        self._look()

    @property
    def standings(self) -> tuple[Standing, ...]:
        """All points, in their order; from any thread."""
        return tuple(self._standings.values())

    @property
    def stopping(self) -> bool:
        """It was told to stop."""
        return self._asked.is_set()

    def stop(self) -> None:
        """Begins no more runs and interrupts those under way; the second time they end at once. From any thread."""
        self._at_once = self._asked.is_set()
        self._asked.set()

    def run(self) -> None:
        """Returns when no point is left, or when it was stopped and its runs have ended.

        Raises:
            SgdbError: a run folder cannot be made, or no process be started; runs under way were interrupted.
        """
        told = False
        try:
            while not self.stopping and (self._running or self._store.is_open()):
                self._collect()
                self._fill()
                self._look()
                if not self._running and not told and not self.stopping and self._left():
                    told = True
                    self._listener.waiting(self._left())
                self._asked.wait(POLL_S)
        finally:
            self._asked.set()
            self._interrupt_all()
            self._look()
            self._store.close()

    def _left(self) -> int:
        return sum(not standing.is_done for standing in self.standings)

    def _fill(self) -> None:
        while self._free and not self.stopping:
            taken = self._store.take()
            if taken is None:
                return
            self._begin(taken, self._free.pop())

    def _begin(self, taken: Taken, slot: Slot) -> None:
        folder, process = taken.folder, None
        if folder is None:
            folder, process = self._started(taken, slot)
        self._store.begun(taken.point, folder)
        supervised = SupervisedRun(taken, folder, slot, process)
        self._running[taken.point.number] = supervised
        self._standings[taken.point.number] = supervised.run.standing
        self._listener.begun(supervised.run.standing)

    def _started(self, taken: Taken, slot: Slot) -> "tuple[Path, subprocess.Popen[bytes]]":
        plan, point = self.plan, taken.point
        target = target_of(plan, point)
        folder = run_folder.create_run_folder(self.folder, target.name)
        order = target.order(folder, "run", max_steps=plan.max_steps, mute=plan.mute, stop_on=DIVERGED)
        try:
            write_point(folder, PointFile(sweep=plan.id, point=point.number, settings=dict(point.settings)))
            target.describe_in(folder, "run")
            return folder, start_engine(order, slot.environment)
        except (OSError, RunFolderError) as error:
            shutil.rmtree(folder, ignore_errors=True)
            raise SgdbError(f"the run of point {point.number} cannot be started: {error}") from error

    def _collect(self) -> None:
        for number, supervised in list(self._running.items()):
            if supervised.is_over():
                del self._running[number]
                self._free.append(supervised.slot)
                self._watched[number] = supervised.run
                standing = self._standings[number] = supervised.end()
                if standing.state == "interrupted":
                    self._store.give_back(supervised.point)
                else:
                    self._store.ended(standing)
                self._listener.ended(standing)

    def _look(self) -> None:
        """At the runs that are under way here, and at those that others begin and end."""
        for number, supervised in self._running.items():
            self._standings[number] = supervised.run.look()
        for number, folder in self._store.runs().items():
            if number in self._running:
                continue
            watched = self._watched.get(number)
            if watched is None or watched.folder != folder:
                watched = self._watched[number] = RunOfPoint(self._standings[number].point, folder)
            self._standings[number] = watched.look()

    def _interrupt_all(self) -> None:
        for supervised in self._running.values():
            supervised.interrupt()
        self._wait(GRACE_S, hurried=lambda: self._at_once)
        for number in (signal.SIGTERM, signal.SIGKILL):
            for supervised in self._running.values():
                supervised.send(number)
            self._wait(GRACE_S / 4)
        for supervised in self._running.values():  # not even a kill ended it: it hangs in the kernel
            standing = replace(
                supervised.run.standing, state="interrupted", message="its process does not end"
            )
            self._standings[supervised.point.number] = standing
            self._store.give_back(supervised.point)

    def _wait(self, seconds: float, hurried: Callable[[], bool] = lambda: False) -> None:
        deadline = time.monotonic() + seconds
        while self._running and time.monotonic() < deadline and not hurried():
            self._collect()
            time.sleep(POLL_S / 2)
