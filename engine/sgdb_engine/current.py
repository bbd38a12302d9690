"""Which engine observes the code that is running in this process."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sgdb_engine.session import Engine

_observing: "list[Engine]" = []
"""The newest last."""


@contextmanager
def observing(engine: "Engine") -> Iterator[None]:
    """What runs within is part of this engine's training."""
    _observing.append(engine)
    try:
        yield
    finally:
        _observing.remove(engine)


def observing_engine() -> "Engine | None":
    """The engine whose training the caller's code is part of; None where there is none."""
    return next((engine for engine in reversed(_observing) if engine.pid == os.getpid()), None)
