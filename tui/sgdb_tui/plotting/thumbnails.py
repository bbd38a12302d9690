"""Small images in cells: two pixels each where areas can be painted, one character for the lightness where not."""

import numpy as np
from numpy.typing import NDArray

from sgdb_tui.plotting.cells import PIXEL, Cells, Ink, Paper
from sgdb_tui.plotting.regions import HALF

SHADES = " ░▒▓█"
ASCII_SHADES = " .:-=+*#%@"
GREY, DARKEST, LIGHTEST = 232, 16, 231
"""Of the xterm-256 palette: the first of 24 greys 8, 18 … 238; black; white."""
CUBE = np.array([0, 95, 135, 175, 215, 255])
"""Levels of red, green and blue in the cube of its colours 16 to 231."""

Pixels = NDArray[np.uint8]


def draw_thumbnail(image: Pixels, width: int, height: int, *, painted: bool, unicode: bool) -> Cells:
    """An image uint8 [rows, columns, 1 or 3] over `width` × `height` cells."""
    cells = Cells(height, width)
    if not (cells.height and cells.width):
        return cells
    if painted:
        colors = PIXEL + color_numbers(averaged(image, 2 * cells.height, cells.width))
        cells.glyphs[:] = HALF
        cells.inks[:], cells.papers[:] = colors[::2], colors[1::2]
    else:
        shades = np.array(list(SHADES if unicode else ASCII_SHADES))
        light = averaged(image, cells.height, cells.width).mean(axis=-1)
        cells.glyphs[:] = shades[(light / 256 * len(shades)).astype(int)]
        cells.inks[:], cells.papers[:] = Ink.TEXT, Paper.SURFACE
    return cells


def averaged(image: Pixels, height: int, width: int) -> NDArray[np.float64]:
    """An image over height × width equal parts: the mean of what lies in each, or the nearest pixel."""
    rows, columns = (_parts(old, new) for old, new in zip(image.shape[:2], (height, width), strict=True))
    over_rows = np.stack([image[part].mean(axis=0) for part in rows])
    return np.stack([over_rows[:, part].mean(axis=1) for part in columns], axis=1)


def _parts(old: int, new: int) -> list[slice]:
    firsts = [i * old // new for i in range(new)]
    return [slice(first, max(first + 1, (i + 1) * old // new)) for i, first in enumerate(firsts)]


def color_numbers(pixels: NDArray[np.float64]) -> NDArray[np.int64]:
    """The nearest of the xterm-256 palette for values 0 to 255 of shape [..., 1 or 3]: 16 to 255."""
    greys = _grey_numbers(pixels.mean(axis=-1))
    if pixels.shape[-1] == 1:
        return greys
    places = np.abs(pixels[..., None] - CUBE).argmin(axis=-1)
    colors = 16 + places @ np.array([36, 6, 1])
    return np.where(np.ptp(pixels, axis=-1) < 12, greys, colors)


def _grey_numbers(light: NDArray[np.float64]) -> NDArray[np.int64]:
    steps = np.rint((light - 8) / 10).clip(0, 23).astype(np.int64)
    return np.where(light < 4, DARKEST, np.where(light > 246.5, LIGHTEST, GREY + steps))


def color_of(number: int) -> str:
    """#rrggbb of a colour of the xterm-256 palette, 16 to 255."""
    if number >= GREY:
        return "#" + f"{8 + 10 * (number - GREY):02x}" * 3
    red, rest = divmod(number - 16, 36)
    return "#" + "".join(f"{CUBE[level]:02x}" for level in (red, *divmod(rest, 6)))
