"""A panel of named rows: worst first or in the model's order, filtered, with a row cursor that scrolls."""

from collections.abc import Sequence
from typing import ClassVar

from rich.cells import cell_len, set_cell_size
from textual import events
from textual.binding import Binding, BindingType
from textual.message import Message
from textual.reactive import reactive

from sgdb_engine.text import clean
from sgdb_tui.formatting import fit_names
from sgdb_tui.plotting.cells import Ink, Paper, Run
from sgdb_tui.plotting.heat import worst_first
from sgdb_tui.plotting.series import Floats
from sgdb_tui.widgets.panel import Panel


class RowPanel(Panel):
    """A subclass gives rows by `set_rows` and draws them in `row_runs`."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up", "move_row(-1)", "Row", show=False),
        Binding("down", "move_row(1)", "Row", show=False),
        Binding("pageup", "move_page(-1)", "Page", show=False),
        Binding("pagedown", "move_page(1)", "Page", show=False),
        Binding("home", "move_row(-1000000)", "First row", show=False),
        Binding("end", "move_row(1000000)", "Last row", show=False),
        Binding("w", "toggle_order", "Worst first", show=False),
    ]

    worst_first: reactive[bool] = reactive(True, repaint=False)
    filter_text: reactive[str] = reactive("", repaint=False)
    """Only rows whose name contains this; case is ignored."""
    selected: reactive[str | None] = reactive(None, repaint=False)
    """Name of the row under the cursor."""
    empty_text: reactive[str] = reactive("not measured yet", repaint=False)

    class RowSelected(Message):
        """The user moved the cursor to another row."""

        def __init__(self, panel: "RowPanel", name: str) -> None:
            super().__init__()
            self.panel = panel
            self.name = name

        @property
        def control(self) -> "RowPanel":
            """The panel."""
            return self.panel

    def __init__(self, title: str = "", *, id: str | None = None, classes: str | None = None) -> None:  # noqa: A002 - Textual's name
        super().__init__(title, id=id, classes=classes)
        self._names: tuple[str, ...] = ()
        self._labels: list[str] = []
        self._ranking: list[int] = []
        self._top = 0

    def set_rows(self, names: Sequence[str], scores: Floats) -> None:
        """The rows, in the model's order, and how bad each is."""
        if tuple(names) != self._names:
            self._ranking = []
        self._names = tuple(names)
        self._ranking = worst_first(scores, self._ranking)

    def row_runs(self, row: int, width: int) -> list[Run]:
        """What stands right of the name of a row (index in the model's order)."""
        return []

    def visible_rows(self) -> list[int]:
        """Rows after order and filter."""
        order = self._ranking if self.worst_first else list(range(len(self._names)))
        wanted = self.filter_text.casefold()
        return [row for row in order if wanted in self._names[row].casefold()]

    @property
    def name_width(self) -> int:
        """Columns of the names: what they need when cut to a third."""
        return max((cell_len(label) for label in self._labels), default=0)

    def row_width(self) -> int:
        """Columns right of the name."""
        return max(0, self.body_width - self.name_width - 1)

    def prepare(self, width: int, height: int) -> None:
        """Cut the names; keep the selected row in sight."""
        names = [clean(name) for name in self._names]
        self._labels = fit_names(names, max(4, self.body_width // 3), "…" if self.palette.unicode else "~")
        rows = self.visible_rows()
        place = self._place(rows)
        if place is not None and self.has_focus:
            self._top = min(max(self._top, place - height + 1), place)
        self._top = max(0, min(self._top, len(rows) - height))

    def draw_body_line(self, y: int) -> list[Run]:
        """Name and content of the row shown there."""
        rows = self.visible_rows()
        if not rows:
            text = f"no row contains '{clean(self.filter_text)}'" if self._names else self.empty_text
            return (
                [Run(text[: self.body_width], Ink.DIM, Paper.SURFACE)] if y == self.body_height // 2 else []
            )
        if self._top + y >= len(rows):
            return []
        row = rows[self._top + y]
        name = set_cell_size(self._labels[row], self.name_width)
        if not (self.has_focus and self._names[row] == self.selected):
            ink, paper = Ink.TEXT, Paper.SURFACE
        else:
            ink, paper = Ink.STRONG, Paper.CURSOR
        mark = " " if ink == Ink.TEXT or self.palette.backgrounds else ">"
        return [Run(name, ink, paper), Run(mark, ink, Paper.SURFACE), *self.row_runs(row, self.row_width())]

    def title_runs(self, width: int) -> list[Run]:
        """Which rows of how many are shown, the order and the filter; whole fields or none."""
        num = len(self.visible_rows())
        shown = min(num, self._top + self.body_height)
        fields = [f"{self._top + 1}-{shown}/{num}"] if 0 < self.body_height < num else []
        fields += ["worst first"] if self.worst_first and num > 1 else []
        fields += [f"/{clean(self.filter_text)}"] if self.filter_text else []
        runs = [*self.key_runs()]
        room = width - sum(len(run.text) for run in runs)
        if room < 0:
            runs, room = [], width
        for field in fields:
            if len(field) + 2 <= room:
                runs.append(Run(f" {field} ", Ink.DIM, Paper.SURFACE))
                room -= len(field) + 2
        return runs

    def key_runs(self) -> list[Run]:
        """The key of the colours or signs, for the title."""
        return []

    def _place(self, rows: Sequence[int]) -> int | None:
        return next((place for place, row in enumerate(rows) if self._names[row] == self.selected), None)

    def action_move_row(self, distance: int) -> None:
        """Move the row cursor."""
        rows = self.visible_rows()
        if not rows:
            return
        place = self._place(rows)
        if place is None and abs(distance) == 1:  # the first press shows the cursor
            place, distance = self._top, 0
        start = self._top if place is None else place
        self._select(self._names[rows[min(max(start + distance, 0), len(rows) - 1)]])

    def action_move_page(self, direction: int) -> None:
        """Move the row cursor by a screenful."""
        self.action_move_row(direction * max(1, self.body_height - 1))

    def action_toggle_order(self) -> None:
        """Worst first or the model's order."""
        self.worst_first = not self.worst_first

    def on_click(self, event: events.Click) -> None:
        """Select the row under the mouse."""
        rows = self.visible_rows()
        if 0 < event.y <= self.body_height and self._top + event.y - 1 < len(rows):
            self._select(self._names[rows[self._top + event.y - 1]])

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        """Scroll."""
        self._scroll(3, event)

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        """Scroll."""
        self._scroll(-3, event)

    def _scroll(self, distance: int, event: events.MouseEvent) -> None:
        event.stop()
        self._top = max(0, min(self._top + distance, len(self.visible_rows()) - self.body_height))
        self.redraw()

    def _select(self, name: str) -> None:
        if name != self.selected:
            self.selected = name
            self.post_message(self.RowSelected(self, name))

    def watch_selected(self) -> None:
        """Draw anew."""
        self.redraw()

    watch_worst_first = watch_filter_text = watch_empty_text = watch_selected
