"""What an observer has to say besides its rows, and to whom."""

from collections.abc import Callable
from dataclasses import dataclass

from sgdb_engine.events import Finding, RunDescribed


@dataclass(frozen=True, slots=True)
class Told:
    """Who is told what; where nobody is, the observer does not look for it. Called in the thread that trains."""

    found: Callable[[Finding], None] = lambda finding: None
    """Something is wrong."""
    noted: Callable[[str], None] = lambda text: None
    """A user should know: what is not observed, how something was measured."""
    failed: Callable[[str], None] = lambda text: None
    """A part of ours failed and is off, in words; the recorder knows."""
    described: Callable[[RunDescribed], None] | None = None
    """What is trained: each time that another model or optimizer was seen."""
    epoch_ended: Callable[[int], None] | None = None
    """So many passes over the training data are complete."""
    validated: Callable[[dict[str, float]], None] | None = None
    """An evaluation between two updates is over: its metrics by column."""
