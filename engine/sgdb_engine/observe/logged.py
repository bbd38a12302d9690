"""Values of the user's own, on their way into rows."""

import threading
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from sgdb_engine.observe.guard import Guard
from sgdb_engine.observe.readback import Value, host_value
from sgdb_engine.recording.writer import Recorder

if TYPE_CHECKING:
    from sgdb_engine.observe.observer import Observer


class Logged:
    """What was logged in the step that is under way."""

    def __init__(self, guard: Guard, recorder: Recorder) -> None:
        self.values: dict[str, Value] = {}
        """By column name."""
        self._guard = guard
        self._recorder = recorder

    def add(self, values: Mapping[str, Any]) -> None:
        """Takes them in as they are now; what is no number is told, each name once."""
        for name, value in values.items():
            self._guard.run(f"log {name}", self._add, name, value)

    def _add(self, name: str, value: Any) -> None:
        self.values[name] = host_value(value)

    def take(self) -> dict[str, Value]:
        """All of them; none is left."""
        taken, self.values = self.values, {}
        return taken

    def record_from_another_thread(self, step: int, values: Mapping[str, Any]) -> None:
        """Past the rows, which belong to the thread that trains; values of a GPU are waited for."""
        for name, value in values.items():
            self._guard.run(f"log {name}", self._record, step, name, value)

    def _record(self, step: int, name: str, value: Any) -> None:
        self._recorder.scalars((name,), step, time.time(), time.monotonic(), (float(value),))


def log_anywhere(observer: "Observer", values: Mapping[str, Any]) -> None:
    """Values of the step that is under way, if there is one, else of the last completed one."""
    if threading.get_ident() != observer.thread:
        observer.logged.record_from_another_thread(observer.step, values)
    elif observer.step_is_under_way:
        observer.logged.add(values)
    else:
        observer.flush()
        for name, value in values.items():
            observer.guarded(f"log {name}", observer.rows.take_now, observer.step, {name: value})
