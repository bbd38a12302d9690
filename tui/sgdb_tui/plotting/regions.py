"""The plane by predicted class, two rows of it in each row of cells, with the examples on top."""

import numpy as np
from numpy.typing import NDArray

from sgdb_engine.recording.pictures import NO_CLASS, Regions
from sgdb_tui.plotting.cells import CLASSES, Cells, Ink, Paper

LABELS = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
FILLS = "·:=~*%o∙"
"""What a region looks like where areas cannot be painted."""
ASCII_FILLS = ".:=~*%o-"
HALF = "▀"

Classes = NDArray[np.uint8]


def label_of(number: int) -> str:
    """One character for a class."""
    return LABELS[number] if 0 <= number < len(LABELS) else "+"


def fill_of(number: int, *, unicode: bool) -> str:
    """One character for the region of a class."""
    return (FILLS if unicode else ASCII_FILLS)[number % CLASSES]


def draw_regions(picture: Regions, width: int, height: int, *, painted: bool, unicode: bool) -> Cells:
    """The picture over `width` × `height` cells.

    Args:
        picture: what is drawn; it is stretched.
        width: columns.
        height: rows.
        painted: areas are painted in halves of cells; otherwise a character a cell stands for its class.
        unicode: these may be other than ASCII.
    """
    cells = Cells(height, width)
    if not (cells.height and cells.width):
        return cells
    rows = sampled(picture.grid, 2 * cells.height, cells.width)
    if painted:
        _paint(cells, rows[::2], rows[1::2])
    else:
        _fill(cells, sampled(picture.grid, cells.height, cells.width), unicode=unicode)
    _draw_examples(cells, picture, rows, painted=painted)
    return cells


def sampled(grid: Classes, height: int, width: int) -> Classes:
    """The classes at the middles of height × width equal parts of a grid."""
    rows = ((np.arange(height) + 0.5) / height * grid.shape[0]).astype(int)
    columns = ((np.arange(width) + 0.5) / width * grid.shape[1]).astype(int)
    return grid[np.ix_(rows, columns)]


def _paint(cells: Cells, upper: Classes, lower: Classes) -> None:
    cells.glyphs[:] = np.where(upper == lower, " ", HALF)
    cells.inks[:] = np.where(upper == NO_CLASS, Ink.SURFACE, Ink.REGION + upper.astype(int) % CLASSES)
    cells.papers[:] = np.where(lower == NO_CLASS, Paper.SURFACE, Paper.REGION + lower.astype(int) % CLASSES)


def _fill(cells: Cells, classes: Classes, *, unicode: bool) -> None:
    for number in np.unique(classes):
        place = classes == number
        cells.glyphs[place] = " " if number == NO_CLASS else fill_of(int(number), unicode=unicode)
        cells.inks[place] = Ink.REGION + int(number) % CLASSES


def _draw_examples(cells: Cells, picture: Regions, rows: Classes, *, painted: bool) -> None:
    """The wrong ones last, so that no right one hides them."""
    points, targets = picture.examples
    size = np.array(picture.high) - np.array(picture.low)
    share = (points.astype(np.float64) - picture.low) / size
    inside = ((share >= 0) & (share < 1)).all(axis=1)
    columns = (share[:, 0] * cells.width).astype(int)
    halves = ((1 - share[:, 1]) * 2 * cells.height).astype(int).clip(0, 2 * cells.height - 1)
    wrong = is_wrong(picture)
    for index in np.argsort(wrong, kind="stable")[inside[np.argsort(wrong, kind="stable")]]:
        row, column, target = int(halves[index]) // 2, int(columns[index]), int(targets[index])
        cells.glyphs[row, column] = label_of(target)
        cells.inks[row, column] = Ink.ERROR if wrong[index] else Ink.CLASS + target % CLASSES
        below = rows[halves[index], column]
        if painted and below != NO_CLASS:
            cells.papers[row, column] = Paper.REGION + int(below) % CLASSES


def is_wrong(picture: Regions) -> NDArray[np.bool_]:
    """Of each example, whether another class is predicted in the cell where it lies, bool (n,)."""
    points, targets = picture.examples
    height, width = picture.grid.shape
    size = np.array(picture.high) - np.array(picture.low)
    share = np.clip((points.astype(np.float64) - picture.low) / size, 0, 1 - 1e-9)
    rows, columns = ((1 - share[:, 1]) * height).astype(int), (share[:, 0] * width).astype(int)
    return np.asarray(picture.grid[rows.clip(0, height - 1), columns] != targets)
