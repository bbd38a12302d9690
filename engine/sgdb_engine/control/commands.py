"""What can be asked of a living run, and its answers; no command carries a path, code or an expression."""

from typing import Annotated

import msgspec

from sgdb_engine.events import State

MAX_LINE_BYTES = 65536
"""Longest request or reply, its newline not counted."""


class _Word(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="type", tag=lambda name: name.lower()
):
    """One word of the vocabulary."""


class Ping(_Word, frozen=True):
    """Where is the run? Changes nothing."""


class Pause(_Word, frozen=True):
    """Hold the run at its next safe point."""


class Resume(_Word, frozen=True):
    """Let a paused run go on."""


class Step(_Word, frozen=True):
    """Let the run do `count` optimizer steps, then pause."""

    count: Annotated[int, msgspec.Meta(ge=1, le=10**12)] = 1


class Stop(_Word, frozen=True):
    """End the run in good order at its next safe point."""

    checkpoint: bool = True
    """Save the state first."""


class Checkpoint(_Word, frozen=True):
    """Save the state at the next safe point."""


Command = Ping | Pause | Resume | Step | Stop | Checkpoint


class Request(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One line from a viewer."""

    id: Annotated[int, msgspec.Meta(ge=0, le=2**53)]
    command: Command


class Outcome(msgspec.Struct, frozen=True):
    """What became of a command, as the engine tells it."""

    step: int
    """Optimizer steps completed when it took effect."""
    state: State
    message: str = ""
    ok: bool = True


class Reply(msgspec.Struct, frozen=True):
    """One line to a viewer."""

    id: int
    """The id of the request; 0 where the request could not be read."""
    ok: bool
    step: int
    state: str
    """A `State`; empty where the engine could not be asked."""
    message: str
