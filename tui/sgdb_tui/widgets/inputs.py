"""What goes into the model: its range, and where it is images the first ones of a batch."""

from collections.abc import Sequence
from itertools import chain

from sgdb_engine.recording.pictures import Images
from sgdb_tui.plotting.cells import Ink, Run
from sgdb_tui.plotting.regions import label_of
from sgdb_tui.plotting.thumbnails import draw_thumbnail
from sgdb_tui.widgets.list_panel import Row, ink
from sgdb_tui.widgets.readings import Reading, Readings

FEWEST_ROWS = 4
"""Of an image: eight rows of pixels."""
LARGEST_SCALE = 4
GAP = " "


class Inputs(Readings):
    """Images stand above the readings."""

    HELP = """\
Smallest and largest value of the newest batch that was measured, mean, standard deviation, and how many values
are NaN or infinite. Images are shown as the model is given them, the smallest value black and the largest one
white; below each stands its class. Maximised, more of them are seen.
"""

    def __init__(self, title: str) -> None:
        super().__init__(title, id="inputs", empty="not measured yet")
        self._images: Images | None = None

    def show_all(self, readings: Sequence[Reading], images: Images | None) -> None:
        """Show these values, and these images."""
        self._images = images
        self.show(readings)

    def rows(self, width: int) -> Sequence[Row]:
        """Images side by side, then the readings."""
        readings = super().rows(width)
        if self._images is None:
            return readings
        return [*self._image_rows(self._images, width, self.body_height - len(readings)), *readings]

    def _image_rows(self, images: Images, width: int, room: int) -> list[Row]:
        rows = rows_of_image(images, width, room)
        columns = columns_of_image(images, rows)
        if columns > width:
            return []
        in_line = (width + 1) // (columns + 1)
        lines = max(1, room // (rows + 1))
        shown = range(min(images.count, in_line * lines))
        firsts = range(0, len(shown), in_line)
        return list(
            chain.from_iterable(
                self._line(images, shown[first : first + in_line], rows, columns) for first in firsts
            )
        )

    def _line(self, images: Images, places: Sequence[int], rows: int, columns: int) -> list[Row]:
        """Some of them side by side, and what they are."""
        painted, unicode = self.palette.backgrounds, self.palette.unicode
        drawn = [
            draw_thumbnail(images.array[place], columns, rows, painted=painted, unicode=unicode)
            for place in places
        ]
        lines: list[Row] = [
            [run for cells in drawn for run in (*cells.runs(row), ink(GAP))] for row in range(rows)
        ]
        if images.targets:
            lines.append([_caption(images.targets[place], columns) for place in places])
        return lines


def _caption(target: int, columns: int) -> Run:
    label = label_of(target) if target < 10 else str(target)
    return ink((label if target >= 0 else "").center(columns)[:columns] + GAP, Ink.DIM)


def rows_of_image(images: Images, width: int, room: int) -> int:
    """Rows of cells for each image: several for one of its pixels where all fit, else as many as there is room for."""
    whole = -(-images.height // 2)
    for scale in range(LARGEST_SCALE, 1, -1):
        rows = scale * whole
        in_line = (width + 1) // (columns_of_image(images, rows) + 1)
        if in_line and -(-images.count // in_line) * (rows + 1) <= room:
            return rows
    return min(whole, max(FEWEST_ROWS, room - 1))


def columns_of_image(images: Images, rows: int) -> int:
    """A cell is twice as high as it is wide."""
    return max(1, round(2 * rows * images.width / images.height))
