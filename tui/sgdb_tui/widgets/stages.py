"""The stages of a check, one a row: how each ended, how long it took; below them why, of the one under the cursor."""

from collections.abc import Sequence

from sgdb_engine.events import CheckStage, CheckStatus
from sgdb_engine.text import clean
from sgdb_tui.formatting import duration, fit
from sgdb_tui.plotting.cells import Ink, Run
from sgdb_tui.preflight import STAGES, all_stages, in_words, running, worst
from sgdb_tui.widgets.finding_list import wrap_words
from sgdb_tui.widgets.list_panel import ListPanel, Row, ink

_LOOK: dict[CheckStatus, tuple[str, Ink]] = {
    "running": ("●", Ink.STRONG),
    "pass": ("✓", Ink.GOOD),
    "warn": ("△", Ink.WARNING),
    "inconclusive": ("△", Ink.WARNING),
    "fail": ("✗", Ink.ERROR),
    "skipped": ("○", Ink.DIM),
}
_NOT_BEGUN = ("·", Ink.DIM)
MOST_TELLING = "overfit-one-batch"
_REASON_LINES = 3
"""That the reason gets at least, where there is room for some rows beside it."""


class Stages(ListPanel):
    """All stages from the start; the cursor follows the one that runs until it is moved."""

    HELP = """\
● runs, ✓ passed, △ a warning or inconclusive, ✗ failed, ○ skipped, · not begun. Below: what was seen in the stage under
the cursor, which follows the check. Up and down move it, escape lets it follow again.
"""
    SELECTABLE = True

    def __init__(self, title: str, *, id: str) -> None:  # noqa: A002 - Textual's name
        super().__init__(title, id=id)
        self._stages = all_stages(())
        self._follows = True

    def show(self, stages: Sequence[CheckStage]) -> None:
        """Show these stages, and those that have not begun."""
        self._stages = all_stages(stages)
        if self._follows:
            self.selected = self._deciding_row()
        self.redraw()

    def follow_the_check(self) -> None:
        """The cursor goes along with the check again."""
        self._follows = True
        self.show([stage for _, stage in self._stages if stage is not None])

    def action_row(self, by: int) -> None:
        """Move the cursor; from then on it stays where it is."""
        self._follows = False
        super().action_row(by)

    def action_edge(self, last: int) -> None:
        """To the first or the last stage."""
        self._follows = False
        super().action_edge(last)

    def body_room(self, height: int) -> int:
        """The reason gets what the rows leave, and three lines at least where there is room."""
        kept = _REASON_LINES if height > 2 * _REASON_LINES else 0
        return max(1, min(len(self._stages), height - kept))

    def rows(self, width: int) -> Sequence[Row]:
        """The cursor, a sign, the name, the seconds."""
        return [self._row(place, width) for place in range(len(self._stages))]

    def draw_body_line(self, y: int) -> list[Run]:
        """A stage, or a line of the reason."""
        room = self.body_room(self.body_height)
        if y < room:
            return super().draw_body_line(y)
        most = self.body_height - room
        lines = wrap_words(self._reason(), max(1, self.body_width - 2), most)
        return [ink(f"  {lines[y - room]}", Ink.TEXT)] if y - room < len(lines) else []

    def _row(self, place: int, width: int) -> list[Run]:
        name, stage = self._stages[place]
        glyph, tone = _LOOK[stage.status] if stage else _NOT_BEGUN
        quiet = stage is None or stage.status == "skipped"
        took = duration(stage.seconds) if stage and stage.seconds else ""
        room = max(0, width - 4)
        words = fit(in_words(clean(name)), room)
        if len(words) + 1 + len(took) <= room:
            words = f"{words}{took:>{room - len(words)}}"
        marker = "▸ " if place == self.selected else "  "
        return [
            ink(marker, Ink.FOCUS),
            ink(f"{glyph} ", tone),
            ink(words, Ink.DIM if quiet else Ink.TEXT),
        ]

    def _deciding_row(self) -> int:
        """The stage that runs, or the one that comes next; in the end the worst, of good ones the most telling."""
        seen = [stage for _, stage in self._stages if stage is not None]
        shown = running(seen)
        if shown is None and len(seen) == len(self._stages):
            decisive = [stage for stage in seen if stage.status not in ("pass", "skipped")]
            shown = worst(decisive or [stage for stage in seen if stage.name == MOST_TELLING])
        if shown is None:
            return max(0, min(len(seen), len(self._stages) - 1))
        return next(place for place, (_, stage) in enumerate(self._stages) if stage is shown)

    def _reason(self) -> str:
        name, stage = self._stages[self.selected]
        reason = clean(stage.reason, 1000) if stage else ""
        reason = reason or STAGES.get(name, "")
        return reason[:1].upper() + reason[1:]
