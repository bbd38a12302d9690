"""The base of all drawing panels: title row, focus bar, guard, and only changed rows redrawn."""

from collections.abc import Iterable

from rich.segment import Segment
from rich.style import Style
from textual.geometry import Region
from textual.message import Message
from textual.reactive import reactive
from textual.strip import Strip
from textual.widget import Widget

from sgdb_engine.text import clean
from sgdb_tui.formatting import fit
from sgdb_tui.palette import Palette, choose_palette
from sgdb_tui.plotting.cells import Ink, Paper, Run


class Panel(Widget, can_focus=True):
    """Draws itself line by line; a subclass fills `title_runs` and `draw_body_line`.

    Whatever raises while drawing is shown inside the panel, and told once as `Panel.Failed`.
    """

    ALLOW_SELECT = False
    DEFAULT_CSS = """
    Panel { background: $surface; width: 1fr; height: 1fr; min-height: 1; }
    """
    HELP = ""
    """What the panel shows, for the help screen (Markdown)."""

    panel_title: reactive[str] = reactive("", repaint=False)

    class Failed(Message):
        """A panel raised while drawing; told once for each different error."""

        def __init__(self, panel: "Panel", error: str) -> None:
            super().__init__()
            self.panel = panel
            self.error = error

    def __init__(self, title: str = "", *, id: str | None = None, classes: str | None = None) -> None:  # noqa: A002 - Textual's name
        super().__init__(id=id, classes=classes)
        self.set_reactive(Panel.panel_title, title)
        self._strips: list[Strip] = []
        self._drawn_for: object = None
        self._styles = _StyleCache(
            choose_palette(dark=True, sixteen=False, no_color=False, ascii_only=False), Style.null()
        )
        self._error = ""

    # What a subclass draws.

    def title_runs(self, width: int) -> list[Run]:
        """What stands behind the title: legend, values, ranges."""
        return []

    def prepare(self, width: int, height: int) -> None:
        """Compute the body once a frame, before its lines are drawn."""

    def draw_body_line(self, y: int) -> list[Run]:
        """Line `y` of the body, of `body_width` columns."""
        return []

    # Frame.

    @property
    def palette(self) -> Palette:
        """The colours of this terminal and theme."""
        return choose_palette(
            dark=self.app.current_theme.dark,
            sixteen=self.app.native_ansi_color,
            no_color=self.app.no_color,
            ascii_only=bool(getattr(self.app, "ascii_only", False)),
        )

    @property
    def body_width(self) -> int:
        """Columns right of the focus bar."""
        return max(0, self.size.width - 1)

    @property
    def body_height(self) -> int:
        """Rows below the title."""
        return max(0, self.size.height - 1)

    def redraw(self) -> None:
        """Draw anew and send only the rows that changed."""
        if not self.is_mounted or not self.size:
            # Hidden: what was drawn is stale when it is seen again, also in the size it had before.
            self._drawn_for = None
            self.refresh()
            return
        previous, self._strips = self._strips, self._draw_all()
        if len(previous) != len(self._strips):
            self.refresh()
            return
        changed = [y for y, strip in enumerate(self._strips) if strip != previous[y]]
        if changed:
            self.refresh(*(Region(0, y, self.size.width, 1) for y in changed))

    def render_line(self, y: int) -> Strip:
        """Textual asks for a line; everything is drawn when size, colours or focus changed."""
        if self._drawn_for != self._look():
            self._strips = self._draw_all()
        return self._strips[y] if y < len(self._strips) else Strip.blank(self.size.width)

    def draw_line(self, y: int) -> Strip:
        """One line of the panel, as wide as the panel."""
        runs = self._title_line() if y == 0 else self.draw_body_line(y - 1)
        bar = "▌" if self._styles.palette.unicode else "|"
        return self._strip([Run(bar if self.has_focus else " ", Ink.FOCUS, Paper.SURFACE), *runs])

    def watch_panel_title(self) -> None:
        """Show the new title."""
        self.redraw()

    def watch_has_focus(self, has_focus: bool) -> None:
        """Show or hide the focus bar."""
        super().watch_has_focus(has_focus)
        self.redraw()

    def _look(self) -> object:
        return (self.size, self.palette, self.has_focus, self.app.theme)

    def _draw_all(self) -> list[Strip]:
        self._drawn_for = self._look()
        self._styles = _StyleCache(self.palette, self.rich_style)
        try:
            self.prepare(self.body_width, self.body_height)
            strips = [self.draw_line(y) for y in range(self.size.height)]
        except Exception as error:  # a bug in one panel must not end the dashboard
            return self._error_strips(error)
        self._error = ""
        return strips

    def _error_strips(self, error: Exception) -> list[Strip]:
        told = f"{type(error).__name__}: {clean(str(error))}"
        if told != self._error:
            self._error = told
            self.post_message(self.Failed(self, told))
        lines = [self.panel_title, "panel error, the run is not affected:", told]
        inks = [Ink.STRONG, Ink.DIM, Ink.ERROR]
        runs = [[Run(f" {clean(line)}", ink, Paper.SURFACE)] for line, ink in zip(lines, inks, strict=True)]
        runs = runs[-self.size.height :] if self.size.height < len(runs) else runs
        return [self._strip(runs[y] if y < len(runs) else []) for y in range(self.size.height)]

    def _title_line(self) -> list[Run]:
        title = fit(clean(self.panel_title), self.body_width, "…" if self.palette.unicode else "~")
        if not title:
            return self.title_runs(self.body_width)
        room = self.body_width - len(title) - 1
        rest = self.title_runs(room) if room > 0 else []
        return [Run(title, Ink.STRONG, Paper.SURFACE), Run(" ", Ink.DIM, Paper.SURFACE), *rest]

    def _strip(self, runs: Iterable[Run]) -> Strip:
        styles = self._styles
        segments = [
            # the last gate before the terminal: whatever came this far unclean is cleaned here
            Segment(text if text.isprintable() else clean(text), styles[ink, paper])
            for text, ink, paper in runs
            if text
        ]
        return Strip(segments).adjust_cell_length(self.size.width, styles.base)


class _StyleCache(dict[tuple[int, int], Style]):
    """Styles of (ink, paper) on a widget's own background, each put together once a frame."""

    def __init__(self, palette: Palette, base: Style) -> None:
        super().__init__()
        self.palette = palette
        self.base = base

    def __missing__(self, look: tuple[int, int]) -> Style:
        style = self[look] = self.base + self.palette.style(*look)
        return style
