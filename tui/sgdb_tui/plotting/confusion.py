"""Which classes are taken for which: the worst pairs, and the whole matrix."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sgdb_tui.formatting import count
from sgdb_tui.plotting.cells import Cells, Ink

COUNT_WIDTH = 5
"""Columns of the widest count."""

Counts = NDArray[np.int64]


class Pair(NamedTuple):
    """So often was `predicted` said of what is `true`, which is a share of all that is `true`."""

    true: int
    predicted: int
    number: int
    share: float


def worst_pairs(matrix: Counts, most: int = 100) -> list[Pair]:
    """Those that are mixed up, the most frequent first."""
    wrong = matrix.copy()
    np.fill_diagonal(wrong, 0)
    of_class = matrix.sum(axis=1)
    order = np.argsort(-wrong, axis=None, kind="stable")[:most]
    places = zip(*np.unravel_index(order, wrong.shape), strict=True)
    return [
        Pair(int(true), int(predicted), int(wrong[true, predicted]), wrong[true, predicted] / of_class[true])
        for true, predicted in places
        if wrong[true, predicted]
    ]


def matrix_size(matrix: Counts) -> tuple[int, int]:
    """Rows and columns that `draw_matrix` takes."""
    name, number = _widths(matrix)
    return len(matrix) + 1, name + 1 + len(matrix) * (number + 1)


def draw_matrix(matrix: Counts, *, unicode: bool) -> Cells:
    """A row for each true class, a column for each predicted one."""
    cells = Cells(*matrix_size(matrix))
    name, width = _widths(matrix)
    cells.write(0, 0, "true"[:name].rjust(name), Ink.DIM)
    for place in range(len(matrix)):
        cells.write(place + 1, 0, str(place).rjust(name), Ink.DIM)
        cells.write(0, _column(place, name, width), str(place).rjust(width), Ink.DIM)
    largest = max(1, int((matrix - np.diag(np.diag(matrix))).max()))
    for true, predicted in np.ndindex(*matrix.shape):
        number = int(matrix[true, predicted])
        text = count(number, width) if number else "·" if unicode else "."
        cells.write(
            true + 1,
            _column(predicted, name, width),
            text.rjust(width),
            _tone(number, largest, true == predicted),
        )
    return cells


def _tone(number: int, largest: int, right: bool) -> int:
    if not number:
        return Ink.GRID
    if right:
        return Ink.GOOD
    return Ink.ERROR if number > largest / 2 else Ink.WARNING


def _column(place: int, name: int, width: int) -> int:
    return name + 1 + place * (width + 1)


def _widths(matrix: Counts) -> tuple[int, int]:
    """Of the names of the classes, and of a count."""
    name = max(4, len(str(len(matrix) - 1)))
    number = max(len(str(len(matrix) - 1)), *(len(count(int(n), COUNT_WIDTH)) for n in np.unique(matrix)))
    return name, number
