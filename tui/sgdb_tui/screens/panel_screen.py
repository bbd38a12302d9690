"""What all screens have: panels with numbers, one as large as it gets, charts that move together, filter, help."""

from collections.abc import Iterable
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.containers import Horizontal
from textual.screen import Screen
from textual.widget import Widget
from textual.widgets import Input, Static

from sgdb_tui.keys import Groups
from sgdb_tui.widgets.chart import Chart
from sgdb_tui.widgets.footer import Key, KeyLine
from sgdb_tui.widgets.panel import Panel

FILTER_KEYS: list[Key] = [("enter", "keep the filter"), ("esc", "show all rows")]
"""While the filter is typed."""


class PanelScreen(Screen[None]):
    """A subclass says which panels there are, fills them, and names its keys; `#panels` holds the panels."""

    HORIZONTAL_BREAKPOINTS = [  # noqa: RUF012 - declared so by Textual
        (0, "-tiny"),
        (56, "-narrow"),
        (100, "-wide"),
        (160, "-huge"),
    ]
    VERTICAL_BREAKPOINTS = [  # noqa: RUF012 - declared so by Textual
        (0, "-flat"),
        (16, "-short"),
        (32, "-tall"),
        (50, "-high"),
    ]

    NUMBERED: ClassVar[tuple[str, ...]] = ()
    """The ids of the panels that have a number, from 1."""
    KEY_GROUPS: ClassVar[Groups] = ()
    """Its keys, as the help tells them."""
    LEAVING: ClassVar[str] = ""
    """What is said to whoever presses ctrl+c."""

    # What a subclass fills.

    def panels(self) -> Iterable[Widget]:
        """The panels, in the order of the grid."""
        return ()

    def show_scalars(self) -> None:
        """Draw the charts anew: new numbers, another range."""

    def keys_now(self) -> list[Key]:
        """The keys that matter now, the most important first."""
        return []

    def filter_changed(self, text: str) -> None:
        """Show only the rows whose name holds this."""

    def filtered_panel(self) -> Panel | None:
        """Has the focus once the filter is typed."""
        return None

    def charts_with(self, chart: Chart) -> list[Chart]:
        """Those that share their x axis and cursor with this one."""
        return self.charts

    # Frame.

    def compose_filter(self) -> ComposeResult:
        """Shown when it is asked for."""
        with Horizontal(id="filter-line"):
            yield Static(" only rows with ", markup=False)
            yield Input(placeholder="a part of the name", id="filter", compact=True)

    def on_mount(self) -> None:
        """The first panel has the focus."""
        self.query_one("#filter-line").display = False
        self.query_one(f"#{self.NUMBERED[0]}").focus(scroll_visible=False)

    def on_descendant_focus(self) -> None:
        """The keys that matter depend on the panel."""
        self.show_keys()

    def show_keys(self) -> None:
        """In the last line."""
        filtering = self.query_one("#filter").has_focus
        self.query_one(KeyLine).show(FILTER_KEYS if filtering else self.keys_now())

    def on_resize(self) -> None:
        """Wider charts have room for more detail."""
        self.call_after_refresh(self.show_scalars)

    def action_detach(self) -> None:
        """Leave; what is shown goes on."""
        self.app.exit()

    # Panels.

    def action_panel(self, number: int) -> None:
        """Go to a panel; the second time, or where the layout has no room for it, as large as it gets."""
        if number > len(self.NUMBERED):
            return
        panel = self.query_one(f"#{self.NUMBERED[number - 1]}", Panel)
        if self.focused is panel:
            self.action_maximise()
            return
        if self.maximised_panel is not None or not panel.region:
            self._maximise(panel)
        self.set_focus(panel, scroll_visible=False)  # at once: the same key may follow at once

    def action_maximise(self) -> None:
        """As large as it gets, or not."""
        if self.maximised_panel is not None:
            self._maximise(None)
        elif isinstance(self.focused, Panel):
            self._maximise(self.focused)

    @property
    def maximised_panel(self) -> Panel | None:
        """The panel that fills the screen."""
        return next(iter(self.query(".-maximum").results(Panel)), None)

    def _maximise(self, panel: Panel | None) -> None:
        with self.app.batch_update():
            self.query(".-maximum").remove_class("-maximum")
            grid = self.query_one("#panels")
            grid.set_class(panel is not None, "-maximised")
            grid.display = panel is None or panel.parent is grid
            if panel is not None:
                panel.add_class("-maximum")
        self.call_after_refresh(self.focus_visible)
        self.show_keys()

    def focus_visible(self) -> None:
        """What has the focus must be seen."""
        focused = self.focused
        if self.NUMBERED and (focused is None or not focused.region):
            self.query_one(f"#{self.NUMBERED[0]}").focus(scroll_visible=False)

    def action_back(self) -> None:
        """Undo the last thing that narrows the view: filter, cursor, maximised panel, zoom."""
        if self.query_one("#filter-line").display:
            self.query_one("#filter", Input).value = ""
            self._close_filter()
        elif any(chart.cursor_step is not None for chart in self.charts):
            self.move_all_cursors(None)
        elif self.maximised_panel is not None:
            self._maximise(None)
        else:
            self.action_whole()

    # Charts: a key pressed elsewhere acts on the first one.

    @property
    def _chart(self) -> Chart:
        return self.focused if isinstance(self.focused, Chart) else self.charts[0]

    def action_cursor(self, direction: int) -> None:
        """Move the cursor."""
        self._chart.action_move_cursor(direction)

    def action_pan(self, direction: int) -> None:
        """Earlier or later steps."""
        self._chart.action_pan(direction)

    def action_zoom(self, direction: int) -> None:
        """In or out."""
        self._chart.action_zoom(0.5 if direction > 0 else 2.0)

    def action_whole(self) -> None:
        """The whole run."""
        self._chart.action_whole_run()

    def action_log_y(self) -> None:
        """Logarithmic or linear."""
        self._chart.action_toggle_log()

    def action_smoothing(self) -> None:
        """More or none."""
        self._chart.action_smoothing()

    @property
    def charts(self) -> list[Chart]:
        """All charts of this screen."""
        return list(self.query(Chart))

    @on(Chart.CursorMoved)
    def _cursor_moved(self, event: Chart.CursorMoved) -> None:
        for chart in self.charts_with(event.chart):
            chart.cursor_step = event.step

    def move_all_cursors(self, step: int | None) -> None:
        """To a step, or hide them."""
        for chart in self.charts:
            chart.cursor_step = step

    @on(Chart.RangeChanged)
    def _range_changed(self, event: Chart.RangeChanged) -> None:
        for chart in self.charts_with(event.chart):
            chart.x_range = event.x_range
        self.show_scalars()

    # The filter.

    def action_filter(self) -> None:
        """Ask for a part of a name."""
        self.query_one("#filter-line").display = True
        self.query_one("#filter").focus()

    @on(Input.Changed, "#filter")
    def _filter_typed(self, event: Input.Changed) -> None:
        self.filter_changed(event.value)

    @on(Input.Submitted, "#filter")
    def _filter_kept(self) -> None:
        self._close_filter()

    def _close_filter(self) -> None:
        self.query_one("#filter-line").display = False
        filtered = self.filtered_panel()
        if filtered is not None:
            filtered.focus(scroll_visible=False)

    # Help.

    def action_help(self) -> None:
        """All keys."""
        from sgdb_tui.screens.help import Help  # imported on use: the first frame does not wait for it

        panel = self.focused if isinstance(self.focused, Panel) else None
        title, words = (panel.panel_title, panel.HELP) if panel else ("", "")
        self.app.push_screen(Help(title, words, self.KEY_GROUPS))
