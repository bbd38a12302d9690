"""Foreign text made safe for a terminal: names, messages and program output without control characters."""

import re
import unicodedata

_REPLACEMENT = "\ufffd"
_ELLIPSIS = "…"
_TAB_WIDTH = 4
_ESCAPE_SEQUENCES = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]"  # CSI: colours, cursor moves
    r"|\x1b[\]PX^_][^\x07\x1b]*(?:\x07|\x1b\\)"  # OSC, DCS, SOS, PM, APC up to their terminator
    r"|\x1b[ -/]*[0-Z\\^-~]"  # two- and three-byte escapes
)


def clean(text: str, limit: int = 200) -> str:
    """One line of printable text in NFC, of at most `limit` characters; what is cut off leaves an ellipsis.

    Control, format, surrogate, private and unassigned characters become U+FFFD, so do line ends; every
    kind of space becomes a plain one. Cleaning twice changes nothing.
    """
    if len(text) <= limit and text.isascii() and text.isprintable():
        return text
    text = unicodedata.normalize("NFC", text[: 4 * limit])
    if not text.isprintable():
        text = "".join(map(_printable, text))
    return text if len(text) <= limit else text[: limit - 1] + _ELLIPSIS


def clean_lines(text: str, limit: int = 2000, max_lines: int = 1000) -> str:
    """Several lines, each cleaned and at most `limit` characters long; tabs become spaces, "\\n" is kept.

    Of more than `max_lines` lines the first and the last halves stay.
    """
    lines = text.replace("\r\n", "\n").split("\n")
    if len(lines) > max_lines:
        half = max_lines // 2
        lines = [
            *lines[:half],
            f"{_ELLIPSIS} {len(lines) - 2 * half} lines left out {_ELLIPSIS}",
            *lines[-half:],
        ]
    return "\n".join(clean(line.expandtabs(_TAB_WIDTH), limit) for line in lines)


def without_escapes(line: str) -> str:
    """The line without terminal escape sequences, as coloured output has them; clean it afterwards."""
    return _ESCAPE_SEQUENCES.sub("", line) if "\x1b" in line else line


def _printable(character: str) -> str:
    if character.isprintable():
        return character
    return " " if unicodedata.category(character) == "Zs" else _REPLACEMENT
