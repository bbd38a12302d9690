"""What one rank of several says about itself a few times a second, from a thread beside its training."""

import contextlib
import faulthandler
import statistics
import sys
import sysconfig
import threading
import time
from collections import deque
from collections.abc import Mapping
from pathlib import Path
from types import FrameType

from sgdb_engine.ending import End
from sgdb_engine.ranks.halting import halts_in
from sgdb_engine.ranks.judging import hangs
from sgdb_engine.ranks.standing import RankStatus, write_rank
from sgdb_engine.recording import liveness
from sgdb_engine.recording.folder import rank_name
from sgdb_engine.session import Engine

PERIOD_S = 0.2
LOOK_S = 2.0
"""A rank that is still for so long says in which line it is."""
OWN_WORKS = 15
"""Its own work is told as the median of so many looks: three seconds."""


class Beat:
    """Writes rank-<n>.json, and holds and stops its training where the first rank wants all to."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._who = liveness.own_identity()
        self._seen: tuple[int, str, int] = (-1, "", 0)
        self._since = time.monotonic()
        self._dumped = False
        self._heard = 0
        self._own_works: deque[float] = deque(maxlen=OWN_WORKS)
        self._thread = threading.Thread(target=self._run, name="sgdb-beat", daemon=True)

    def start(self) -> None:
        """From now on, until the engine's end."""
        self._thread.start()

    def join(self) -> None:
        """Waits until the end is written."""
        self._thread.join(2.0)

    def _run(self) -> None:
        while self._engine.wait(PERIOD_S) is None:
            if self._engine.place.rank:
                self._obey()
            self.write()
        self.write(self._engine.end)

    def _obey(self) -> None:
        halts = halts_in(self._engine.folder)
        if halts is not None and halts.number != self._heard:
            self._engine.gate.follow(halts)
            self._heard = halts.number

    def write(self, end: End | None = None) -> None:
        """How this rank stands, or how it ended; raises nothing."""
        with contextlib.suppress(Exception):  # a full disk, say: the rank is seen again when it is not
            self._write(end)

    def _write(self, end: End | None) -> None:
        engine, now = self._engine, time.monotonic()
        at = engine.whereabouts
        seen = (engine.step, at.phase, at.calls)
        if seen != self._seen or engine.state != "running":
            self._seen, self._since, self._dumped = seen, now, False
        still_s, latest = now - self._since, engine.latest()
        host, boot_id, pid, start_time = self._who
        if end is None:
            self._dump_stacks_if_it_hangs(still_s, latest.get("time/step", 0.0))
        write_rank(
            engine.folder,
            RankStatus(
                rank=engine.place.rank,
                size=engine.place.size,
                host=host,
                boot_id=boot_id,
                pid=pid,
                start_time=start_time,
                wall=time.time(),
                state=end.state if end else engine.state,
                step=engine.step,
                phase=at.phase,
                waits=at.waits,
                still_s=round(still_s, 1),
                where=line_of(at.thread) if still_s > LOOK_S and end is None else "",
                own_s=self._own_work(latest),
                step_s=latest.get("time/step"),
                loss=latest.get("train/loss"),
                grad_norm=latest.get("grad_norm"),
                heard=self._heard,
                message=end.message if end else "",
            ),
        )

    def _own_work(self, latest: Mapping[str, float]) -> float | None:
        if "time/own" in latest:
            self._own_works.append(latest["time/own"])
        return statistics.median(self._own_works) if self._own_works else None

    def _dump_stacks_if_it_hangs(self, still_s: float, step_s: float) -> None:
        if self._dumped or not self._engine.step or not hangs(still_s, step_s):
            return
        self._dumped = True
        path = self._engine.folder / f"{rank_name(self._engine.place.rank)}-stacks.txt"
        with path.open("w") as file:
            faulthandler.dump_traceback(file, all_threads=True)


def line_of(thread: int) -> str:
    """The innermost line of the user's own code that a thread is in, and what it has called there."""
    frame = sys._current_frames().get(thread)
    called = frame.f_code.co_name if frame is not None else ""
    while frame is not None and not _is_users(frame):
        if "sgdb" not in frame.f_code.co_filename:
            called = frame.f_code.co_name
        frame = frame.f_back
    if frame is None:
        return ""
    inside = f" in {called}" if called != frame.f_code.co_name else ""
    return f"{Path(frame.f_code.co_filename).name}:{frame.f_lineno}{inside}"


def _is_users(frame: FrameType) -> bool:
    file = frame.f_code.co_filename
    libraries = (*sysconfig.get_paths().values(), str(Path(__file__).parent), "<frozen")
    return not file.startswith(libraries)
