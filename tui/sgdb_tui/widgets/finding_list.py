"""A list of findings: the root cause first, what follows from it folded under it, and what to try about one of them."""

from collections.abc import Sequence

from sgdb_engine.events import Finding, Severity
from sgdb_engine.findings.order import root_cause_first
from sgdb_engine.text import clean
from sgdb_tui.formatting import fit
from sgdb_tui.plotting.cells import Ink, Run
from sgdb_tui.widgets.list_panel import ListPanel, Row, ink

GLYPHS: dict[Severity, str] = {"error": "▲", "warning": "△", "info": "●"}
INKS: dict[Severity, Ink] = {"error": Ink.ERROR, "warning": Ink.WARNING, "info": Ink.TEXT}
_WORST_FIRST: tuple[Severity, ...] = ("error", "warning", "info")
_ADVICE_LINES = 3
_FOLDED = "  └ "


def in_order(findings: Sequence[Finding]) -> list[Finding]:
    """Open ones first, the root cause before what follows from it; then those that were cleared."""
    open_ = [finding for finding in findings if finding.state != "cleared"]
    cleared = [finding for finding in findings if finding.state == "cleared"]
    return [*root_cause_first(open_), *sorted(cleared, key=lambda finding: finding.step)]


def open_ones(findings: Sequence[Finding]) -> list[Finding]:
    """Those that still hold, in their order."""
    return in_order([finding for finding in findings if finding.state != "cleared"])


def worst(findings: Sequence[Finding]) -> Severity:
    """The worst severity among these; there must be one."""
    return min((finding.severity for finding in findings), key=_WORST_FIRST.index)


class FindingList(ListPanel):
    """A list with a cursor; below it what to try about the finding under the cursor."""

    HELP = """\
▲ an error, △ a warning, ● a remark, ✓ cleared. What probably caused the others stands first; what follows from it is
indented below it. Up and down choose; what to try is told below.
"""
    SELECTABLE = True

    def __init__(self, title: str, *, id: str) -> None:  # noqa: A002 - Textual's name
        super().__init__(title, id=id)
        self.findings: list[Finding] = []

    def show(self, findings: Sequence[Finding]) -> None:
        """Show these findings."""
        self.findings = in_order(findings)
        self.redraw()

    def mark_of(self, finding: Finding) -> str:
        """What stands between the sign of a finding and its words."""
        return ""

    def empty_words(self) -> str:
        """Nothing found is said, too."""
        return "nothing found so far"

    def body_room(self, height: int) -> int:
        """The advice gets what the rows leave, and three lines at least where there is room."""
        if not self.findings:
            return height
        kept = _ADVICE_LINES if height > 2 * _ADVICE_LINES else 0
        return max(1, min(len(self.findings), height - kept))

    def rows(self, width: int) -> Sequence[Row]:
        """One finding a row: its sign, its words."""
        return [self._row(finding, width) for finding in self.findings]

    def title_runs(self, width: int) -> list[Run]:
        """How many are open."""
        open_ = [finding for finding in self.findings if finding.state != "cleared"]
        text = f"{len(open_)} open" if open_ else ""
        if len(text) > width:
            return []
        tone = INKS[worst(open_)] if open_ else Ink.DIM
        return [ink(f"{text} ", tone), *super().title_runs(width - len(text) - 1)]

    def draw_body_line(self, y: int) -> list[Run]:
        """A finding, or a line of the advice."""
        room = self.body_room(self.body_height)
        if y < room or not self.findings:
            return super().draw_body_line(y)
        lines = self._advice()
        return [ink(lines[y - room], Ink.DIM)] if y - room < len(lines) else []

    def _row(self, finding: Finding, width: int) -> list[Run]:
        cleared = finding.state == "cleared"
        tone = Ink.DIM if cleared else INKS[finding.severity]
        glyph = "✓" if cleared else GLYPHS[finding.severity]
        head = f"{self._margin(finding)}{glyph} {self.mark_of(finding)}"
        return [ink(head, tone), ink(fit(words_of(finding), max(0, width - len(head))), tone)]

    def _margin(self, finding: Finding) -> str:
        return _FOLDED if finding.cause else ""

    def _advice(self) -> list[str]:
        """What to try about the finding under the cursor; before it, in full, words for which a row is too short."""
        finding = self.findings[self.selected]
        room = max(1, self.body_height - self.body_room(self.body_height))
        words = words_of(finding)
        row = len(f"{self._margin(finding)}  {self.mark_of(finding)}") + len(words)
        whole = wrap_words(words, self.body_width, max(1, room - 1)) if row > self.body_width else []
        advice = advice_of(finding) or "→ No advice for this one."
        return [*whole, *wrap_words(advice, self.body_width, max(1, room - len(whole)))]


def words_of(finding: Finding) -> str:
    """What is wrong, harmless on a terminal; what is not sure yet says so."""
    suspected = "perhaps: " if finding.state == "suspected" else ""
    return suspected + clean(finding.message or finding.code, 500)


def advice_of(finding: Finding) -> str:
    """What to try, with its place in the code before it; empty where nothing is known."""
    place = clean(finding.location or "", 300)
    advice = clean(finding.advice, 1000)
    return f"{place} → {advice}".strip() if place or advice else ""


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
