"""A panel of rows that scrolls, with or without a row cursor: the base of the tables and lists."""

from collections.abc import Sequence
from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.events import MouseScrollDown, MouseScrollUp

from sgdb_tui.plotting.cells import Ink, Paper, Run
from sgdb_tui.widgets.panel import Panel

Row = Sequence[Run]


def ink(text: str, ink: Ink = Ink.TEXT) -> Run:
    """Text on the panel's own background; foreign text must be clean already."""
    return Run(text, ink, Paper.SURFACE)


def on_cursor(row: Row) -> list[Run]:
    """The row as it looks under the row cursor; a marker before it does so without colour."""
    return [Run(run.text, run.ink, Paper.CURSOR) for run in row]


class ListPanel(Panel):
    """Rows below a title; a subclass lays them out for the width there is in `rows`."""

    SELECTABLE: ClassVar[bool] = False
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up", "row(-1)", "Up", show=False, id="rows.up"),
        Binding("down", "row(1)", "Down", show=False, id="rows.down"),
        Binding("pageup", "page(-1)", "Page up", show=False, id="rows.page_up"),
        Binding("pagedown", "page(1)", "Page down", show=False, id="rows.page_down"),
        Binding("home", "edge(0)", "First", show=False, id="rows.first"),
        Binding("end", "edge(1)", "Last", show=False, id="rows.last"),
    ]

    def __init__(self, title: str, *, id: str | None = None) -> None:  # noqa: A002 - Textual's name
        super().__init__(title, id=id)
        self.top = 0
        self.selected = 0
        self.follow = False
        """Stay at the last row as rows come in."""
        self._rows: Sequence[Row] = ()

    def rows(self, width: int) -> Sequence[Row]:
        """All rows, each of at most `width` columns."""
        return ()

    def body_room(self, height: int) -> int:
        """How many of `height` rows of the body scroll; the rest is for what a subclass draws below."""
        return height

    def empty_words(self) -> str:
        """What stands there when there is no row."""
        return ""

    def prepare(self, width: int, height: int) -> None:
        """Lay out the rows and keep the scroll position within them."""
        self._rows = self.rows(width)
        self.selected = max(0, min(self.selected, len(self._rows) - 1))
        room = max(1, self.body_room(height))
        last_top = max(0, len(self._rows) - room)
        if self.follow:
            self.top = last_top
        elif self.SELECTABLE:
            self.top = min(max(self.top, self.selected - room + 1), self.selected)
        self.top = max(0, min(self.top, last_top))

    def title_runs(self, width: int) -> list[Run]:
        """Which rows are seen, when not all are."""
        room = self.body_room(self.body_height)
        if len(self._rows) <= room or room < 1:
            return []
        text = f"{self.top + 1}-{min(self.top + room, len(self._rows))}/{len(self._rows)}"
        return [ink(text, Ink.DIM)] if len(text) <= width else []

    def draw_body_line(self, y: int) -> list[Run]:
        """The row at line `y`."""
        if not self._rows:
            return [ink(self.empty_words(), Ink.DIM)] if y == 0 else []
        index = self.top + y
        if y >= self.body_room(self.body_height) or index >= len(self._rows):
            return []
        row = list(self._rows[index])
        return on_cursor(row) if self.SELECTABLE and self.has_focus and index == self.selected else row

    def action_row(self, by: int) -> None:
        """Move the row cursor, or scroll where there is none."""
        self._go(self.selected + by if self.SELECTABLE else self.top + by)

    def action_page(self, by: int) -> None:
        """Move by what is seen at once."""
        self.action_row(by * max(1, self.body_room(self.body_height) - 1))

    def action_edge(self, last: int) -> None:
        """To the first or the last row."""
        self._go(len(self._rows) if last else 0)

    def on_mouse_scroll_down(self, event: MouseScrollDown) -> None:
        event.stop()
        self.action_row(1)

    def on_mouse_scroll_up(self, event: MouseScrollUp) -> None:
        event.stop()
        self.action_row(-1)

    def _go(self, index: int) -> None:
        last_top = max(0, len(self._rows) - max(1, self.body_room(self.body_height)))
        if self.SELECTABLE:
            self.selected = index
        else:
            self.top = max(0, min(index, last_top))
            self.follow = self.follow_at_end and self.top == last_top
        self.redraw()

    @property
    def follow_at_end(self) -> bool:
        """Whether scrolling to the end means to stay there."""
        return False
