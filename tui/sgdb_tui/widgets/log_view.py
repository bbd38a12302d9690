"""The log: what the training code printed and what happened, the newest at the bottom."""

from collections.abc import Sequence

from rich.cells import cell_len, chop_cells

from sgdb_tui.plotting.cells import Ink
from sgdb_tui.widgets.list_panel import ListPanel, Row, ink
from sgdb_tui.words import LogLine, Tone

_INKS: dict[Tone, Ink] = {
    "output": Ink.TEXT,
    "ours": Ink.DIM,
    "good": Ink.GOOD,
    "warning": Ink.WARNING,
    "error": Ink.ERROR,
}


_INDENTED_FROM = 40
"""Columns from which on continued lines are indented."""


class LogView(ListPanel):
    """Wrapped lines; follows the newest unless scrolled up."""

    HELP = "What the training code printed, and in grey what sgdb has to say: epochs, checkpoints, commands."

    def __init__(self, title: str, *, id: str) -> None:  # noqa: A002 - Textual's name
        super().__init__(title, id=id)
        self.follow = True
        self._lines: Sequence[LogLine] = ()
        self._wrapped: list[Row] = []
        self._wrapped_for: tuple[int, int] = (0, 0)
        self._total = 0
        self._unfinished = ""

    def show(self, lines: Sequence[LogLine], total: int, unfinished: str = "") -> None:
        """Show the last lines of `total` so far, and the one that is being written."""
        self._unfinished = unfinished
        self._lines = lines
        self._total = total
        self.redraw()

    def empty_words(self) -> str:
        """What stands there before the first line."""
        return "nothing printed yet"

    def rows(self, width: int) -> Sequence[Row]:
        """The lines, wrapped; only new ones are wrapped anew."""
        wrapped_width, wrapped_total = self._wrapped_for
        fresh = self._total - wrapped_total
        if width != wrapped_width or fresh > len(self._lines):
            self._wrapped, fresh = [], len(self._lines)
        for index in range(len(self._lines) - fresh, len(self._lines)):
            self._wrapped.extend(wrapped(self._lines[index], width))
        if len(self._wrapped) > 4 * max(1000, len(self._lines)):
            del self._wrapped[: -2 * max(1000, len(self._lines))]
        self._wrapped_for = (width, self._total)
        return (
            [*self._wrapped, *wrapped(LogLine(self._unfinished), width)]
            if self._unfinished
            else self._wrapped
        )

    @property
    def follow_at_end(self) -> bool:
        """At the end, new lines are followed again."""
        return True


def wrapped(line: LogLine, width: int) -> list[Row]:
    """A line of the log as rows of at most `width` cells."""
    prefix = "" if line.step is None else f"{line.step:>6} "
    text = prefix + line.text
    tone = _INKS[line.tone]
    if width < 2 or cell_len(text) <= width:
        return [[ink(text, tone)]]
    rows: list[Row] = []
    indent = ""
    while text:
        part = chop_cells(text, width - len(indent))[0]
        if len(part) < len(text):
            part = part[: _last_break(part)]
        rows.append([ink(indent + part, tone)])
        text = text[len(part) :]
        indent = " " * len(prefix or "  ") if width > _INDENTED_FROM else ""
    return rows


def _last_break(part: str) -> int:
    """Where a row ends: behind a space in its last third, or where it is full."""
    space = part.rfind(" ")
    return space + 1 if space > 2 * len(part) // 3 else len(part)
