"""The first line: what state the run is in, how far it is, what is wrong; a field is shown whole or not."""

from dataclasses import dataclass

from textual.content import Content
from textual.widget import Widget

_LEAST_WORDS = 30
"""Cells that the words of an error get at least."""


@dataclass(frozen=True, slots=True)
class Field:
    """One statement of the status line; the lower `rank`, the longer it stays when room runs out."""

    text: Content
    rank: int
    flexible: bool = False
    """May be shortened: the words of an error."""

    @property
    def width(self) -> int:
        """Cells that it needs."""
        return min(self.text.cell_length, _LEAST_WORDS) if self.flexible else self.text.cell_length


def fit(fields: list[Field], width: int, gap: int = 2) -> list[Field]:
    """The fields that fit into `width` cells, in their order; the least important ones go first."""
    kept = sorted(fields, key=lambda field: field.rank)
    while len(kept) > 1 and _width(kept, gap) > width:
        kept.pop()
    room = width - _width(kept, gap)
    return [_stretched(field, room) for field in fields if field in kept]


def _width(fields: list[Field], gap: int) -> int:
    return sum(field.width for field in fields) + gap * (len(fields) - 1)


def _stretched(field: Field, room: int) -> Field:
    if not field.flexible:
        return field
    return Field(field.text.truncate(field.width + max(0, room), ellipsis=True), field.rank)


class StatusLine(Widget):
    """Shows fields; the class for the state colours the line."""

    DEFAULT_CSS = "StatusLine { height: 1; }"

    def __init__(self) -> None:
        super().__init__(id="status")
        self._fields: list[Field] = []

    def show(self, state: str, fields: list[Field]) -> None:
        """Show these fields in the colours of this state."""
        if not self.has_class(f"-{state}"):
            self.set_classes(f"-{state}")
        if fields != self._fields:
            self._fields = fields
            self.refresh()

    def render(self) -> Content:
        """The fields that fit."""
        width = self.size.width
        line = Content("  ").join([field.text for field in fit(self._fields, width)])
        return line.truncate(width) if width else Content("")
