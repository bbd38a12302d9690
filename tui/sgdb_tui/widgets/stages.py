"""The stages of a check, one a row: what ran, how it ended, how long it took."""

from collections.abc import Sequence

from sgdb_engine.events import CheckStage, CheckStatus
from sgdb_engine.text import clean
from sgdb_tui.formatting import duration, fit
from sgdb_tui.plotting.cells import Ink
from sgdb_tui.widgets.list_panel import ListPanel, Row, ink

_LOOK: dict[CheckStatus, tuple[str, Ink]] = {
    "running": ("●", Ink.STRONG),
    "pass": ("✓", Ink.GOOD),
    "warn": ("△", Ink.WARNING),
    "inconclusive": ("△", Ink.WARNING),
    "fail": ("✗", Ink.ERROR),
    "skipped": ("○", Ink.DIM),
}


class Stages(ListPanel):
    """The list of stages."""

    HELP = "The stages of the check: ● runs, ✓ passed, △ inconclusive or a warning, ✗ failed, ○ skipped."

    def __init__(self, title: str, *, id: str) -> None:  # noqa: A002 - Textual's name
        super().__init__(title, id=id)
        self._stages: list[CheckStage] = []

    def show(self, stages: list[CheckStage]) -> None:
        """Show these stages."""
        self._stages = stages
        self.redraw()

    def empty_words(self) -> str:
        """What stands there before the first."""
        return "not begun yet"

    def rows(self, width: int) -> Sequence[Row]:
        """Glyph, name, status, seconds."""
        rows: list[Row] = []
        for stage in self._stages:
            glyph, tone = _LOOK[stage.status]
            took = duration(stage.seconds) if stage.seconds else ""
            name = clean(stage.name).replace("-", " ")
            whole = f"{name}  {stage.status}  {took}".rstrip()
            words = whole if len(whole) + 2 <= width else name
            rows.append([ink(f"{glyph} ", tone), ink(fit(words, max(0, width - 2)), Ink.TEXT)])
        return rows
