"""The findings: what is wrong, when and where, and what to try; Enter shows the step on all charts."""

from collections.abc import Sequence
from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.message import Message

from sgdb_engine.events import Finding
from sgdb_engine.text import clean
from sgdb_tui.formatting import fit
from sgdb_tui.plotting.cells import Ink, Run
from sgdb_tui.widgets.list_panel import ListPanel, Row, ink

GLYPHS = {"error": "▲", "warning": "△", "info": "●"}
INKS = {"error": Ink.ERROR, "warning": Ink.WARNING, "info": Ink.TEXT}
_ORDER = {"error": 0, "warning": 1, "info": 2}
_ADVICE_LINES = 3


def in_order(findings: Sequence[Finding]) -> list[Finding]:
    """Open ones first, errors first, the earliest first: what came first is most likely the cause."""
    return sorted(findings, key=lambda f: (f.state == "cleared", _ORDER[f.severity], f.step))


class Findings(ListPanel):
    """A list with a cursor; below it what to try about the finding under the cursor."""

    HELP = "▲ an error, △ a warning, ✓ cleared. Up and down choose, Enter shows the step on all charts."
    SELECTABLE = True
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "jump", "Show the step of the finding on all charts", id="findings.jump", show=False)
    ]

    class Jump(Message):
        """Show this step on all charts."""

        def __init__(self, step: int) -> None:
            super().__init__()
            self.step = step

    def __init__(self, title: str, *, id: str) -> None:  # noqa: A002 - Textual's name
        super().__init__(title, id=id)
        self._findings: list[Finding] = []

    def show(self, findings: Sequence[Finding]) -> None:
        """Show these findings."""
        self._findings = in_order(findings)
        self.redraw()

    def action_jump(self) -> None:
        """Ask for all charts to show the step of the finding under the cursor."""
        if self._findings:
            self.post_message(self.Jump(self._findings[self.selected].step))

    def empty_words(self) -> str:
        """Nothing found is said, too."""
        return "nothing found so far"

    def body_room(self, height: int) -> int:
        """The advice gets what the rows leave, and three lines at least where there is room."""
        if not self._findings:
            return height
        kept = _ADVICE_LINES if height > 2 * _ADVICE_LINES else 0
        return max(1, min(len(self._findings), height - kept))

    def rows(self, width: int) -> Sequence[Row]:
        """One finding a row: step, severity, message."""
        digits = max((len(str(finding.step)) for finding in self._findings), default=1)
        return [_row(finding, digits, width) for finding in self._findings]

    def title_runs(self, width: int) -> list[Run]:
        """How many are open."""
        open_ = [finding for finding in self._findings if finding.state != "cleared"]
        text = f"{len(open_)} open" if open_ else ""
        worst = INKS[open_[0].severity] if open_ else Ink.DIM
        if len(text) > width:
            return []
        return [ink(f"{text} ", worst), *super().title_runs(width - len(text) - 1)]

    def draw_body_line(self, y: int) -> list[Run]:
        """A finding, or a line of the advice."""
        room = self.body_room(self.body_height)
        if y < room or not self._findings:
            return super().draw_body_line(y)
        lines = self._advice()
        return [ink(lines[y - room], Ink.DIM)] if y - room < len(lines) else []

    def _advice(self) -> list[str]:
        finding = self._findings[self.selected]
        where = f" at {clean(finding.location)}" if finding.location else ""
        text = clean(f"{finding.advice}{where}", 1000) or "No advice for this one."
        return wrap_words(f"→ {text}", self.body_width, max(1, self.body_height - len(self._findings)))


def _row(finding: Finding, digits: int, width: int) -> list[Run]:
    cleared = finding.state == "cleared"
    tone = Ink.DIM if cleared else INKS[finding.severity]
    glyph = "✓" if cleared else GLYPHS[finding.severity]
    message = clean(finding.message or finding.code, 500)
    head = f"{glyph} {finding.step:>{digits}} "
    return [ink(head, tone), ink(fit(message, max(0, width - len(head))), tone)]


def wrap_words(text: str, width: int, most: int) -> list[str]:
    """The text in lines of `width` cells, at most `most` of them; what is left out shows."""
    lines: list[str] = []
    line = ""
    for word in text.split():
        candidate = f"{line} {word}" if line else word
        if len(candidate) > width and line:
            lines.append(line)
            line = word
        else:
            line = candidate
    lines.append(line)
    if len(lines) > most:
        lines = [*lines[: most - 1], " ".join(lines[most - 1 :])]
    return [fit(line, width) for line in lines]
