"""Which point is next: the one interface of the scheduling, and the store for a sweep that one process runs."""

import contextlib
import shutil
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from sgdb_engine.errors import RunFolderError
from sgdb_engine.recording.folder import is_alive, read_status
from sgdb_engine.recording.lease import acquire_lease
from sgdb_engine.sweep.grid import Point
from sgdb_engine.sweep.plan import SweepPlan
from sgdb_engine.sweep.point_file import newest_runs
from sgdb_engine.sweep.standing import RunOfPoint, Standing


@dataclass(frozen=True, slots=True)
class Taken:
    """A point that is to be run now."""

    point: Point
    folder: Path | None = None
    """Of a run that is under way already, or over: whoever began it is gone. None: it is begun anew."""


class Store(Protocol):
    """Gives each point to one of those who ask, and keeps what became of it."""

    def take(self) -> Taken | None:
        """The next point; None where there is none to take now."""

    def begun(self, point: Point, folder: Path) -> None:
        """The point's run is under way in that folder."""

    def ended(self, standing: Standing) -> None:
        """The point is done."""

    def give_back(self, point: Point) -> None:
        """The point was interrupted: somebody is to begin it again."""

    def is_open(self) -> bool:
        """Whether a point is still to be taken, or might be, because its run lives elsewhere."""

    def runs(self) -> Mapping[int, Path]:
        """The run folder of each point that is done or under way, here or elsewhere, by its number."""

    def close(self) -> None:
        """This process takes no more points."""


class LocalStore:
    """Of one process. What became of a point stands in its run folder, and nowhere else."""

    def __init__(self, folder: Path, plan: SweepPlan) -> None:
        """Takes stock of what is there.

        Raises:
            RunFolderError: another process runs this sweep.
        """
        self._lease = acquire_lease(folder)
        self._runs = newest_runs(folder, plan.id)
        self._left: deque[Taken] = deque()
        self._interrupted: dict[int, Path] = {}
        for point in plan.points():
            run = self._runs.get(point.number)
            if run is None:
                self._left.append(Taken(point))
            elif RunOfPoint(point, run).look().is_done:
                continue
            elif is_under_way(run):
                self._left.appendleft(Taken(point, run))
            else:
                self._interrupted[point.number] = self._runs.pop(point.number)
                self._left.append(Taken(point))

    def take(self) -> Taken | None:
        """The next point, those first whose runs outlived the process that began them."""
        return self._left.popleft() if self._left else None

    def begun(self, point: Point, folder: Path) -> None:
        """Removes what was left of an attempt that was interrupted."""
        self._runs[point.number] = folder
        leftover = self._interrupted.pop(point.number, folder)
        if leftover != folder:
            shutil.rmtree(leftover, ignore_errors=True)

    def ended(self, standing: Standing) -> None:
        """Stands in its run folder already."""

    def give_back(self, point: Point) -> None:
        """Stands in its run folder already."""

    def is_open(self) -> bool:
        """Whether a point is left."""
        return bool(self._left)

    def runs(self) -> Mapping[int, Path]:
        """Of the points that are done or under way."""
        return dict(self._runs)

    def close(self) -> None:
        """Somebody else may run this sweep now."""
        with contextlib.suppress(RunFolderError):  # a full disk; it is free when this process has ended
            self._lease.release()


def is_under_way(run: Path) -> bool:
    """Whether its engine lives on this machine."""
    try:
        return is_alive(read_status(run))
    except RunFolderError:
        return False
