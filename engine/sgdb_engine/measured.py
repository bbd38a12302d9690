"""What a measurement came to, as its run folder tells it."""

from pathlib import Path
from typing import Any

import msgspec

from sgdb_engine.events import CheckStage, Event, RatesSwept
from sgdb_engine.recording.event_log import EventReader

MAX_BYTES = 2**22
OF_EVENTS = {"type", *Event.__struct_fields__}
"""What all of them carry."""


def outcome_in(folder: Path) -> CheckStage | None:
    """How it ended; None where it did not."""
    stages = [event for event in EventReader(folder).poll(MAX_BYTES)[0] if isinstance(event, CheckStage)]
    return next((stage for stage in reversed(stages) if stage.status != "running"), None)


def swept_in(folder: Path) -> RatesSwept | None:
    """The range test that was recorded; None where none came to its end."""
    events = EventReader(folder).poll(MAX_BYTES)[0]
    return next((event for event in events if isinstance(event, RatesSwept)), None)


def plain(event: Event | None) -> dict[str, Any] | msgspec.UnsetType:
    """An event's own fields, for a summary; left out where there is none."""
    if event is None:
        return msgspec.UNSET
    return {name: value for name, value in msgspec.to_builtins(event).items() if name not in OF_EVENTS}
