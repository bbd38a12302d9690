"""Where all ranks hold and stop: after the same number of steps, or some would wait in a collective for the others.

A collective that waits too long is ended by its library, and the training with it: NCCL waits ten minutes.
"""

import contextlib
import os
import time
from pathlib import Path

import msgspec

from sgdb_engine.events import ENDED
from sgdb_engine.ranks.place import Place
from sgdb_engine.ranks.standing import lives, read_rank
from sgdb_engine.recording.files import open_regular, write_atomically
from sgdb_engine.recording.nonfinite import to_json

STEPS_AHEAD = 2
"""Ranks are at most one step apart: so many steps ahead of the first one nobody has been yet."""
AGREEMENT_S = 10.0
POLL_S = 0.02
FILE = "halts.json"
MAX_BYTES = 4096


class Halts(msgspec.Struct, frozen=True, kw_only=True):
    """halts.json: what the first rank wants of all of them."""

    number: int
    """Of this word; each rank says in its own file which one it heard last."""
    hold_at: int | None = None
    stop_at: int | None = None


class Alone:
    """A pause and a stop take effect where they are asked for."""

    def hold(self, step: int, count: int, *, held: bool) -> int:
        """The training, at its safe point after `step` steps, is to be held `count` steps later; tells after which.

        `held`: it is being held, and all others with it.
        """
        return step + count

    def stop(self, step: int, *, held: bool) -> int:
        """The training is to stop; tells after which step."""
        return step

    def go_on(self) -> None:
        """Nobody is held any more."""


class FirstRank(Alone):
    """Has all ranks hold and stop after the same step.

    Those that are not held come on while they are told, by one step at the most: they wait for the first one's
    gradients. So what takes effect two steps later, they have heard in time.
    """

    def __init__(self, folder: Path, place: Place) -> None:
        self._folder = folder
        self._place = place
        self._number = 0

    def hold(self, step: int, count: int, *, held: bool) -> int:
        """As above; waits until all others know."""
        at = step + (count if held else max(count, STEPS_AHEAD))
        self._tell(hold_at=at)
        return at

    def stop(self, step: int, *, held: bool) -> int:
        """As above; waits until all others know."""
        at = step if held else step + STEPS_AHEAD
        self._tell(stop_at=at)
        return at

    def go_on(self) -> None:
        """As above."""
        self._tell()

    def _tell(self, *, hold_at: int | None = None, stop_at: int | None = None) -> None:
        self._number += 1
        halts = Halts(number=self._number, hold_at=hold_at, stop_at=stop_at)
        write_atomically(self._folder / FILE, to_json(halts))
        deadline = time.monotonic() + AGREEMENT_S
        for rank in range(1, self._place.size):
            while not self._has_heard(rank) and time.monotonic() < deadline:
                time.sleep(POLL_S)

    def _has_heard(self, rank: int) -> bool:
        status = read_rank(self._folder, rank)
        gone = status is None or status.state in ENDED or not lives(status)
        return gone or (status is not None and status.heard == self._number)


def halts_in(folder: Path) -> Halts | None:
    """What the first rank wants; None as long as it wants nothing."""
    with (
        contextlib.suppress(OSError, msgspec.MsgspecError),
        os.fdopen(open_regular(folder / FILE), "rb") as file,
    ):
        return msgspec.json.decode(file.read(MAX_BYTES), type=Halts)
    return None
