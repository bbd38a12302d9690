"""The checkpoints of a run: what belongs into one, and writing it."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from sgdb_engine.events import AnyEvent, CheckpointSaved

CHECKPOINTS = "checkpoints"


class Saving:
    """Knows what belongs into a checkpoint as soon as the training has said so; of a script it never does."""

    def __init__(self, folder: Path, told: Callable[[AnyEvent], None]) -> None:
        """Saves into the run folder; `told` hears of each checkpoint that is committed."""
        self.state: Callable[[], Mapping[str, Any]] | None = None
        """What belongs into a checkpoint, as it is now."""
        self.keep = 3
        self.put_result_back: Callable[[], None] = lambda: None
        """Called when the run is over and nothing more is saved: the result takes the place of the last weights."""
        self._folder = folder
        self._told = told

    def save(self, step: int, place: str = CHECKPOINTS, keep: int | None = None) -> str:
        """Commits the state to a folder of the run; called by the training, between two steps; returns its name.

        Raises CheckpointError: the disk refused, or the state cannot be saved.
        """
        if self.state is None:
            return "nothing to save yet"
        from sgdb_engine.checkpoint import save_checkpoint

        path = save_checkpoint(self._folder / place, step, self.state(), keep or self.keep)
        size = sum(file.stat().st_size for file in path.iterdir())
        name = path.name if place == CHECKPOINTS else f"{place}/{path.name}"
        self._told(CheckpointSaved(step=step, path=name, size_bytes=size))
        return name
