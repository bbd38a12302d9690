"""The processes that train together: where each is, how long it works before it waits, its loss and gradient norm."""

from collections.abc import Sequence

from textual.geometry import Size

from sgdb_engine.ranks.judging import Judgement, judge
from sgdb_engine.ranks.standing import RankStatus
from sgdb_engine.text import clean
from sgdb_tui.formatting import duration, fit, number
from sgdb_tui.plotting.cells import Ink, Run
from sgdb_tui.widgets.list_panel import ListPanel, Row, ink

MOST_ROWS = 6
_INKS = {"error": Ink.ERROR, "warning": Ink.WARNING, "": Ink.GOOD}
_PHASE_WIDTH = 14
_OWN_WIDTH = 7
_NUMBER_WIDTH = 9


class Ranks(ListPanel):
    """One rank a row, the one that is spoken of first."""

    HELP = (
        "One row for each process of the training: its steps, what it is doing, and **own**: the time it works in "
        "each step before it waits for the others. The one that works longest keeps all of them waiting. "
        "Then its loss, its gradient norm, and where it is in the code when it stands still."
    )

    def __init__(self) -> None:
        super().__init__("Ranks", id="ranks")
        self._ranks: Sequence[RankStatus] = ()
        self._judgement = Judgement("", "")

    def show(self, ranks: Sequence[RankStatus]) -> None:
        """Show these."""
        self._judgement = judge(ranks)
        self._ranks = sorted(ranks, key=lambda each: (each.rank != self._judgement.rank, each.rank))
        self.redraw()
        if self.size.height != self.content_rows:
            self.refresh(layout=True)

    @property
    def content_rows(self) -> int:
        """The title, and so many ranks as are shown at once."""
        return 1 + min(len(self._ranks), MOST_ROWS)

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:
        """As high as what is shown."""
        return self.content_rows

    def title_runs(self, width: int) -> list[Run]:
        """What is to be said of them, or that all is well."""
        running = all(each.state == "running" for each in self._ranks)
        text = clean(self._judgement.text, 300) or f"{len(self._ranks)}{' in step' if running else ''}"
        scrolled = super().title_runs(width)
        room = width - sum(len(run.text) + 1 for run in scrolled)
        return [*scrolled, ink(fit(f" {text}" if scrolled else text, room), _INKS[self._judgement.severity])]

    def rows(self, width: int) -> Sequence[Row]:
        """Where each is; what does not fit is left out from the right."""
        digits = max((len(str(each.rank)) for each in self._ranks), default=1)
        step_digits = max((len(str(each.step)) for each in self._ranks), default=1)
        return [_fitting(self._cells(each, digits, step_digits), width) for each in self._ranks]

    def _cells(self, each: RankStatus, digits: int, step_digits: int) -> list[Row]:
        spoken_of = each.rank == self._judgement.rank
        tone = _INKS[self._judgement.severity] if spoken_of else Ink.TEXT
        doing = each.phase if each.state == "running" else each.state
        own = duration(each.own_s, _OWN_WIDTH) if each.own_s is not None else ""
        return [
            [ink(f"{each.rank:>{digits}}", tone), ink(" step ", Ink.DIM), ink(f"{each.step:>{step_digits}}")],
            [ink(fit(clean(doing, 40), _PHASE_WIDTH).ljust(_PHASE_WIDTH), tone)],
            [ink("own ", Ink.DIM), ink(own.rjust(_OWN_WIDTH), tone)],
            _measured("loss", each.loss),
            _measured("‖g‖", each.grad_norm),
            [ink(clean(each.where, 100), tone)],
        ]


def _measured(name: str, value: float | None) -> Row:
    words = number(value, _NUMBER_WIDTH - 1) if value is not None else ""
    return [ink(f"{name} ", Ink.DIM), ink(words.ljust(_NUMBER_WIDTH))]


def _fitting(cells: Sequence[Row], width: int) -> Row:
    row: list[Run] = []
    used = 0
    for cell in cells:
        needed = sum(len(run.text) for run in cell) + (2 if row else 0)
        if used + needed > width:
            break
        row += [*([ink("  ")] if row else []), *cell]
        used += needed
    return row
