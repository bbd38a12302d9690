"""A grid of character cells: glyphs with the role of their ink and paper, not yet colours."""

from enum import IntEnum
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

CLASSES = 8
"""Classes that have a look of their own; more of them share one."""
PIXEL = 1024
"""PIXEL + n, as ink or paper: colour n of the xterm-256 palette, 16 to 255."""

Role = Literal["train", "val", "third", "fourth", "planned"]


class Ink(IntEnum):
    """What a glyph stands for; the palette gives it a colour."""

    TEXT = 0
    DIM = 1
    GRID = 2
    BAND = 3
    TRAIN = 4
    VAL = 5
    THIRD = 6
    FOURTH = 7
    ERROR = 8
    WARNING = 9
    GOOD = 10
    EVENT = 11
    FOCUS = 12
    STRONG = 13
    SURFACE = 14
    PLANNED = 26
    HEAT = 20
    """HEAT + level for level -5..5, so 15 to 25."""
    CLASS = 40
    """CLASS + k: an example of class k."""
    REGION = 60
    """REGION + k: where class k is predicted."""


class Paper(IntEnum):
    """What a cell's background stands for."""

    SURFACE = 0
    BAND = 1
    CURSOR = 2
    HEAT = 20
    """HEAT + level for level -5..5, so 15 to 25."""
    REGION = 60
    """REGION + k: where class k is predicted."""


class Run(NamedTuple):
    """Neighbouring cells of one look."""

    text: str
    ink: int
    paper: int


def role_ink(role: Role) -> Ink:
    """The ink of a curve's role."""
    return Ink[role.upper()]


class Cells:
    """Glyphs (U1), inks and papers (uint16) of shape [height, width]."""

    def __init__(self, height: int, width: int) -> None:
        shape = (max(0, height), max(0, width))
        self.glyphs = np.full(shape, " ", dtype="<U1")
        self.inks: NDArray[np.uint16] = np.zeros(shape, np.uint16)
        self.papers: NDArray[np.uint16] = np.zeros(shape, np.uint16)

    @property
    def height(self) -> int:
        """Rows."""
        return int(self.glyphs.shape[0])

    @property
    def width(self) -> int:
        """Columns."""
        return int(self.glyphs.shape[1])

    def write(self, row: int, column: int, text: str, ink: int) -> None:
        """Put text into a row; what does not fit is cut off."""
        if not 0 <= row < self.height:
            return
        first, end = max(0, column), min(self.width, column + len(text))
        if first >= end:
            return
        self.glyphs[row, first:end] = list(text[first - column : end - column])
        self.inks[row, first:end] = ink

    def paste(self, row: int, column: int, other: "Cells") -> None:
        """Copy another grid in with its upper left corner at (row, column); it must fit."""
        rows, columns = slice(row, row + other.height), slice(column, column + other.width)
        self.glyphs[rows, columns] = other.glyphs
        self.inks[rows, columns] = other.inks
        self.papers[rows, columns] = other.papers

    def runs(self, row: int) -> list[Run]:
        """A row cut into runs of one look."""
        if not self.width:
            return []
        papers = self.papers[row]
        inks = np.where(self.glyphs[row] == " ", 0, self.inks[row])  # the ink of a blank is not seen
        changes = np.flatnonzero((inks[1:] != inks[:-1]) | (papers[1:] != papers[:-1])) + 1
        text = self.line(row)
        starts = [0, *changes.tolist()]
        ends = [*changes.tolist(), self.width]
        return [Run(text[a:b], int(inks[a]), int(papers[a])) for a, b in zip(starts, ends, strict=True)]

    def line(self, row: int) -> str:
        """The text of a row."""
        return "".join(self.glyphs[row].tolist())
