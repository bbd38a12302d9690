"""Where a training is at this moment, for who looks at it from another thread."""

from typing import NamedTuple


class Whereabouts(NamedTuple):
    """What the training is doing."""

    phase: str
    """data, forward, backward, optimizer, a collective, or what lies between them."""
    thread: int = 0
    """In which thread."""
    waits: bool = False
    """For other ranks, as far as one can know."""
    calls: int = 0
    """So often was a model called, or a batch fetched: an evaluation comes on by these."""
