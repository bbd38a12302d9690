"""One line with the open findings, the root cause first, for layouts that have no room for the list."""

from collections.abc import Sequence

from textual.content import Content
from textual.widget import Widget

from sgdb_engine.events import Finding
from sgdb_tui.widgets.finding_list import GLYPHS, open_ones, words_of

_COLORS = {"error": "$error", "warning": "$warning", "info": ""}


class NewestFinding(Widget):
    """The root cause, and as many more as fit whole."""

    DEFAULT_CSS = "NewestFinding { height: 1; }"

    def __init__(self) -> None:
        super().__init__(id="newest-finding")
        self._findings: list[Finding] = []

    def show(self, findings: Sequence[Finding]) -> None:
        """Show the open ones among these."""
        open_ = open_ones(findings)
        if open_ != self._findings:
            self._findings = open_
            self.refresh()

    def render(self) -> Content:
        """The first in full or cut with a sign; more only whole."""
        width = self.size.width
        line = Content("")
        shown = 0
        for finding in self._findings:
            part = Content.styled(_words(finding), f"bold {_COLORS[finding.severity]}")
            if not line:
                line = part.truncate(width, ellipsis=True)
            elif line.cell_length + 3 + part.cell_length <= width:
                line = Content.assemble(line, " │ ", part)
            else:
                break
            shown += 1
        left = f"   +{len(self._findings) - shown} more: 8" if shown < len(self._findings) else ""
        return Content.assemble(line, left) if line.cell_length + len(left) <= width else line


def _words(finding: Finding) -> str:
    return f" {GLYPHS[finding.severity]} {finding.step} {words_of(finding)}"
