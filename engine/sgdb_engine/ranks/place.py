"""Which of how many processes this is."""

import os
from collections.abc import Mapping
from typing import NamedTuple


class Place(NamedTuple):
    """Which of how many processes this is."""

    rank: int
    size: int


ALONE = Place(0, 1)


def own_place(environment: Mapping[str, str] = os.environ) -> Place:
    """As torchrun and those like it say; the only one where nobody does."""
    try:
        place = Place(int(environment["RANK"]), int(environment["WORLD_SIZE"]))
    except (KeyError, ValueError):
        return ALONE
    return place if 0 <= place.rank < place.size else ALONE


def is_launched(environment: Mapping[str, str] = os.environ) -> bool:
    """Whether a launcher like torchrun has started this process: it has no terminal of its own."""
    return "TORCHELASTIC_RUN_ID" in environment or own_place(environment).size > 1
