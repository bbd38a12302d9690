"""What a model of two inputs predicts where, with the examples on top."""

from sgdb_engine.recording.pictures import NO_CLASS, Regions
from sgdb_tui.formatting import count, number
from sgdb_tui.plotting.cells import CLASSES, Cells, Ink, Paper, Run
from sgdb_tui.plotting.regions import draw_regions, fill_of, is_wrong, label_of
from sgdb_tui.widgets.panel import Panel

LOWEST_WITH_AXES = 8
"""Rows from which on the last one tells what is seen."""


class DecisionRegions(Panel):
    """Shown only where there is such a picture."""

    HELP = """\
The plane of the two inputs, as the model is given them, coloured by the class that it predicts; drawn anew as
the training goes on. The digits are examples of the training set, each with its class; red ones lie where
another class is predicted.
"""

    def __init__(self) -> None:
        super().__init__("Decision regions", id="regions")
        self._picture: Regions | None = None
        self._cells = Cells(0, 0)

    def show(self, picture: Regions) -> None:
        """Show this one."""
        if picture is not self._picture:
            self._picture = picture
            self.redraw()

    def prepare(self, width: int, height: int) -> None:
        """Draw the plane."""
        if self._picture is None:
            return
        rows = height - 1 if height >= LOWEST_WITH_AXES else height
        painted, unicode = self.palette.backgrounds, self.palette.unicode
        self._cells = draw_regions(self._picture, width, rows, painted=painted, unicode=unicode)

    def draw_body_line(self, y: int) -> list[Run]:
        """A row of the plane; below it, what part of the plane it is."""
        if y < self._cells.height:
            return self._cells.runs(y)
        if self._picture is None:
            return []
        return [Run(self._extent(self._picture), Ink.DIM, Paper.SURFACE)]

    def _extent(self, picture: Regions) -> str:
        """The longest form that fits, or nothing."""
        dots = "…" if self.palette.unicode else ".."
        for between, width in ((f" {dots} ", 6), (dots, 4)):
            parts = [
                f"{axis} {number(low, width)}{between}{number(high, width)}"
                for axis, low, high in zip("xy", picture.low, picture.high, strict=True)
            ]
            text = "  ".join(parts)
            if len(text) <= self.body_width:
                return text
        return ""

    def title_runs(self, width: int) -> list[Run]:
        """The classes, how many examples are wrong, and of which step this is; whole fields or none."""
        if self._picture is None:
            return []
        wrong = int(is_wrong(self._picture).sum())
        judgement = f"{count(wrong)} wrong" if wrong else "all right"
        fields = [
            self._legend(self._picture, width),
            [Run(judgement, Ink.ERROR if wrong else Ink.GOOD, Paper.SURFACE)],
            [Run(f"step {self._picture.step}", Ink.DIM, Paper.SURFACE)],
        ]
        runs: list[Run] = []
        for field in fields:
            needed = sum(len(run.text) for run in field) + 1
            if needed <= width:
                runs += [*field, Run(" ", Ink.DIM, Paper.SURFACE)]
                width -= needed
        return runs

    def _legend(self, picture: Regions, width: int) -> list[Run]:
        """Each class as its examples look, on its region or with the sign of that behind it."""
        numbers = sorted({*picture.grid.ravel().tolist(), *picture.examples[1].tolist()} - {NO_CLASS})
        numbers = numbers[:CLASSES]
        if self.palette.backgrounds:
            blank = " " if 3 * len(numbers) < width else ""
            looks = ((label_of(k), Ink.CLASS + k % CLASSES, Paper.REGION + k % CLASSES) for k in numbers)
            return [Run(f"{blank}{label}{blank}", ink, paper) for label, ink, paper in looks]
        signs = ((label_of(k), fill_of(k, unicode=self.palette.unicode), k % CLASSES) for k in numbers)
        return [Run(f"{label}{sign} ", Ink.REGION + k, Paper.SURFACE) for label, sign, k in signs]
