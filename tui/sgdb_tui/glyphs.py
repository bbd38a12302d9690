"""The last gate before the terminal: no control character passes; with --ascii, only printable ASCII does."""

import re

from rich.cells import cell_len
from rich.segment import Segment
from textual.color import Color
from textual.filter import LineFilter

_LIKENESS = {
    "*": "●◉◆█▓■",
    "o": "○◌",
    "^": "▲△↑⇧",
    "v": "▼▽↓✓✔",
    "x": "✗✘×",
    ">": "→▸",
    "<": "←◂",
    "/": "↗",
    "\\": "↘",
    "|": "▮│┃┆┊╎▌▐▕▏",
    "-": "─━┄╌–—−·",
    "+": "┌┐└┘├┤┬┴┼",
    "~": "…",
    "_": "▁▂",
    ".": "•▃",
    ":": "▄░",
    "=": "▅▀",
    "#": "▆▇▒",
    "u": "µ",
    "s": "σ",
}
_ASCII = {ord(glyph): plain for plain, glyphs in _LIKENESS.items() for glyph in glyphs}
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")


def in_ascii(text: str) -> str:
    """The text in printable ASCII, every cell kept: a likeness where there is one, `?` elsewhere."""
    if text.isascii():
        return text
    likeness = text.translate(_ASCII)
    return "".join(char if char.isascii() else "?" * cell_len(char) for char in likeness)


class TerminalGuard(LineFilter):
    """Replaces what must not reach a terminal, whichever widget drew it."""

    def __init__(self, *, ascii_only: bool) -> None:
        super().__init__()
        self._ascii_only = ascii_only

    def apply(self, segments: list[Segment], background: Color) -> list[Segment]:
        """The same segments, harmless."""
        return [
            segment if segment.control else Segment(self._harmless(segment.text), segment.style)
            for segment in segments
        ]

    def _harmless(self, text: str) -> str:
        if not text.isprintable():
            text = _CONTROL.sub("\ufffd", text)
        return in_ascii(text) if self._ascii_only else text
