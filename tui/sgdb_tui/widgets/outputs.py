"""What comes out of the model: its range, and of a classifier what it said, how often it is right, whom it mixes up."""

from collections.abc import Sequence

from rich.cells import cell_len

from sgdb_engine.recording.pictures import Confusion, Images
from sgdb_tui.plotting.cells import Cells, Ink, Run
from sgdb_tui.plotting.confusion import Pair, draw_matrix, matrix_size, worst_pairs
from sgdb_tui.widgets.list_panel import Row, ink
from sgdb_tui.widgets.readings import Reading, Readings

MOST_PAIRS = 8
NARROWEST_READINGS = 36
"""Columns that are left for them beside the matrix."""
GAP = "  "
LOWEST_WITH_MATRIX = 14
"""Rows of the panel from which on the whole matrix stands there, if it is wide enough."""


class Outputs(Readings):
    """Judgements stand above the readings, the confusion matrix below them."""

    HELP = """\
Of images: **said/is**, the class that the model gave the newest ones and the true one, marked where they differ.
Of a validation pass: how many classes are right, and which are mixed up most: *3 taken for 5, 4/39* means that
of 39 that are 3 it took 4 for 5. Maximised, the whole matrix: a row for each true class, a column for each one
that was predicted. Then the range of the newest output that was measured.
"""

    def __init__(self, title: str) -> None:
        super().__init__(title, id="outputs", empty="not measured yet")
        self._images: Images | None = None
        self._confusion: Confusion | None = None

    def show_all(
        self, readings: Sequence[Reading], images: Images | None, confusion: Confusion | None
    ) -> None:
        """Show these values, what was said of these images, and this validation pass."""
        self._images, self._confusion = images, confusion
        self.show(readings)

    def rows(self, width: int) -> Sequence[Row]:
        """Judgements, pairs, readings, and the matrix beside them, or below."""
        cells = self._matrix(width)
        beside = cells is not None and width - cells.width - len(GAP) >= NARROWEST_READINGS
        left = self._left(width - cells.width - len(GAP) if cells is not None and beside else width)
        if cells is None:
            return left
        matrix: list[Row] = [cells.runs(row) for row in range(cells.height)]
        return _beside(left, matrix, width - cells.width) if beside else [*left, [], *matrix]

    def _matrix(self, width: int) -> Cells | None:
        if self._confusion is None or not self._confusion.classes:
            return None
        rows, columns = matrix_size(self._confusion.matrix)
        fits = self.body_height >= max(rows, LOWEST_WITH_MATRIX) and columns <= width
        return draw_matrix(self._confusion.matrix, unicode=self.palette.unicode) if fits else None

    def _left(self, width: int) -> list[Row]:
        readings = super().rows(width)
        wrong = "×" if self.palette.unicode else "x"
        above = [*_said(self._images, width, wrong), *_accuracy(self._confusion)]
        if self._confusion is None or not self._confusion.classes:
            return [*above, *readings]
        matrix = self._confusion.matrix
        room = self.body_height - len(above) - len(readings)
        pairs = worst_pairs(matrix, max(1, min(MOST_PAIRS, room)))
        of_class = matrix.sum(axis=1).tolist()
        return [*above, *(_pair(pair, of_class[pair.true]) for pair in pairs), *readings]


def _beside(left: Sequence[Row], right: Sequence[Row], column: int) -> list[Row]:
    """The rows of the right stand at a column."""
    rows: list[Row] = []
    for place in range(max(len(left), len(right))):
        begun = left[place] if place < len(left) else []
        room = column - sum(cell_len(run.text) for run in begun)
        rows.append([*begun, ink(" " * room), *(right[place] if place < len(right) else [])])
    return rows


def _said(images: Images | None, width: int, wrong: str) -> list[Row]:
    """Of each image what was said and what it is, as many lines as it takes; `wrong` marks what is."""
    if images is None or not images.targets:
        return []
    lines: list[list[Run]] = [[ink("said/is ", Ink.DIM)]]
    for predicted, target in zip(images.predictions, images.targets, strict=True):
        if target < 0:
            continue
        word = f"{predicted}/{target}" + ("" if predicted == target else wrong)
        if sum(len(run.text) for run in lines[-1]) + len(word) > width:
            lines.append([])
        lines[-1].append(ink(f"{word} ", Ink.GOOD if predicted == target else Ink.ERROR))
    return list(lines)


def _accuracy(confusion: Confusion | None) -> list[Row]:
    if confusion is None or not confusion.judged:
        return []
    tenths = 1000 * confusion.right // confusion.judged  # rounded down: 100 % are all
    share = f"{tenths / 10:g} %"
    return [
        [ink("val accuracy ", Ink.DIM), ink(share), ink(f"  {confusion.right}/{confusion.judged}", Ink.DIM)]
    ]


def _pair(pair: Pair, of_class: int) -> Row:
    words = f"{pair.true} taken for {pair.predicted}"
    return [ink(f"{words:<18}", Ink.WARNING), ink(f"{pair.number}/{of_class}", Ink.TEXT)]
