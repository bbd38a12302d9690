"""What every screen on a run has: first line, panels, filter, line of keys; and what the keys do."""

from collections.abc import Iterable
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Container, Horizontal
from textual.screen import Screen
from textual.widget import Widget
from textual.widgets import Input, Static

from sgdb_engine.control import Pause, Resume, Step, Stop
from sgdb_tui.bridge import Changed, RunView
from sgdb_tui.curves import AXES, Axis, Curves, Window, x_unit
from sgdb_tui.keys import ALL_KEYS, GROUPS, Groups
from sgdb_tui.plotting.x_axis import STEPS, XUnit
from sgdb_tui.screens.confirm import ConfirmStop
from sgdb_tui.screens.panel_keys import panel_keys
from sgdb_tui.widgets.chart import Chart
from sgdb_tui.widgets.findings import Findings
from sgdb_tui.widgets.footer import Key as KeyWords
from sgdb_tui.widgets.footer import KeyLine
from sgdb_tui.widgets.log_view import LogView
from sgdb_tui.widgets.newest_finding import NewestFinding
from sgdb_tui.widgets.panel import Panel
from sgdb_tui.widgets.range_bars import RangeBars
from sgdb_tui.widgets.row_panel import RowPanel
from sgdb_tui.widgets.starting import Starting
from sgdb_tui.widgets.status_fields import status_fields
from sgdb_tui.widgets.status_line import StatusLine

FILTER_KEYS: list[KeyWords] = [("enter", "keep the filter"), ("esc", "show all rows")]
"""While the filter is typed."""


class RunScreen(Screen[None]):
    """A screen on one run; a subclass says which panels there are and fills them."""

    BINDINGS: ClassVar[list[BindingType]] = [key.binding() for key in ALL_KEYS]
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
    KEY_GROUPS: ClassVar[Groups] = GROUPS
    """Its keys, as the help tells them."""
    LEAVING: ClassVar[str] = "q leaves the dashboard, the training goes on. Q stops the training."
    """What is said to whoever presses ctrl+c."""

    def __init__(self, view: RunView) -> None:
        super().__init__(classes="-nothing-yet")
        self.view = view
        self.axis: Axis = "step"
        self.unit: XUnit = STEPS

    # What a subclass fills.

    def panels(self) -> Iterable[Widget]:
        """The panels, in the order of the grid."""
        return ()

    def compose_head(self) -> ComposeResult:
        """What stands between the first line and the panels."""
        yield from ()

    def show_scalars(self) -> None:
        """New numbers: the charts."""

    def show_tables(self) -> None:
        """Once a second: whatever is read rather than watched."""

    def show_events(self) -> None:
        """Something rare happened."""

    @property
    def nothing_yet(self) -> bool:
        """There is nothing that the panels could show."""
        return not self.view.measured

    def charts_with(self, chart: Chart) -> list[Chart]:
        """Those that share their x axis and cursor with this one."""
        return self.charts

    # Frame.

    def compose(self) -> ComposeResult:
        yield StatusLine()
        yield from self.compose_head()
        yield Starting(self.view)
        with Container(id="panels"):
            yield from self.panels()
        yield NewestFinding()
        with Horizontal(id="filter-line"):
            yield Static(" only rows with ", markup=False)
            yield Input(placeholder="a part of the name", id="filter", compact=True)
        yield KeyLine()

    def on_mount(self) -> None:
        """The filter is shown when it is asked for; the first frame says what is known before the first look."""
        self.query_one("#filter-line").display = False
        self.query_one(f"#{self.NUMBERED[0]}").focus(scroll_visible=False)
        self._show_state()
        for panel in self._layer_panels():
            self.watch(panel, "worst_first", self._same_order, init=False)

    def refresh_run(self, changed: Changed, *, tables: bool) -> None:
        """Show what a poll brought."""
        self._show_state()
        if changed.scalars or changed.events:
            self.unit = x_unit(self.axis, self.view)
            self.show_scalars()
        if changed.events:
            self.query_one(NewestFinding).show(list(self.view.findings.values()))
            self.show_events()
        if tables:
            self.show_tables()
        if changed.log:
            for log in self.query(LogView):
                log.show(self.view.log, self.view.log_total, self.view.unfinished_line)

    def refresh_everything(self) -> None:
        """Show all that is known, as on the first frame."""
        self.refresh_run(Changed(scalars=True, tensors=True, events=True, log=True, state=True), tables=True)

    def _show_state(self) -> None:
        view = self.view
        self.query_one(StatusLine).show(view.state, status_fields(view))
        nothing_yet = self.nothing_yet
        self.set_class(nothing_yet, "-nothing-yet")
        self.set_class(view.state in ("failed", "lost"), "-broken")
        self.set_class(any(finding.state != "cleared" for finding in view.findings.values()), "-findings")
        self._show_keys()
        self.call_after_refresh(self._focus_visible)
        if nothing_yet:
            self.query_one(Starting).redraw()

    def on_descendant_focus(self) -> None:
        """The keys that matter depend on the panel."""
        self._show_keys()

    def _show_keys(self) -> None:
        filtering = self.query_one("#filter").has_focus
        self.query_one(KeyLine).show(FILTER_KEYS if filtering else self.keys_now())

    def keys_now(self) -> list[KeyWords]:
        """The keys that matter now, the most important first."""
        paused = self.view.state == "paused"
        control = [("space", "resume" if paused else "pause"), ("s", "step"), ("q", "detach"), ("Q", "stop")]
        keys = [("q", "quit")] if self.view.ended else control
        if self.query_one("#panels").has_class("-maximised"):
            keys = [*keys, ("esc", "all panels")]
        if self.has_class("-nothing-yet"):
            return [*keys, ("?", "help")]
        return [
            *keys,
            ("?", "help"),
            *panel_keys(self.focused),
            (f"1–{len(self.NUMBERED)}", "panels"),
            ("z", "maximise"),
        ]

    @property
    def charts(self) -> list[Chart]:
        """All charts of this screen."""
        return list(self.query(Chart))

    def curves_for(self, chart: Chart) -> Curves:
        """What fits into this chart; also sets its x axis."""
        chart.x_unit = self.unit
        chart.end_step = self.view.step if self.view.ended else self.view.steps_planned
        return Curves(self.view, self.unit, Window.of(chart.x_range, chart.size.width))

    def on_resize(self) -> None:
        """Wider charts have room for more detail."""
        self.call_after_refresh(self.show_scalars)

    # Training.

    def action_pause_or_resume(self) -> None:
        """Pause, or go on."""
        if not self._refused_as_ended():
            self.view.send(Resume() if self.view.state == "paused" else Pause())
            self._show_state()

    def action_step_once(self) -> None:
        """One step, then pause."""
        if not self._refused_as_ended():
            self.view.send(Step())
            self._show_state()

    def action_detach(self) -> None:
        """Leave; the run goes on."""
        self.app.exit()

    def action_stop(self) -> None:
        """Ask how to stop."""
        if not self._refused_as_ended():
            can_save = self.view.status is None or self.view.status.can_save
            question = ConfirmStop(self.view.name, self.view.step, can_save=can_save)
            self.app.push_screen(question, self._stop)

    def _stop(self, answer: Stop | None) -> None:
        if answer is not None:
            self.view.send(answer)
            self._show_state()

    def _refused_as_ended(self) -> bool:
        if self.view.ended:
            self.notify("This run has ended; there is nothing to control.", severity="warning", markup=False)
        return self.view.ended

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
        self.call_after_refresh(self._focus_visible)
        self._show_keys()

    def _focus_visible(self) -> None:
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
            self._move_all_cursors(None)
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

    def action_x_axis(self) -> None:
        """By step, by epoch, by time."""
        self.axis = AXES[(AXES.index(self.axis) + 1) % len(AXES)]
        self.unit = x_unit(self.axis, self.view)
        self.show_scalars()
        self.notify(f"Along the axis: {self.axis}", timeout=2, markup=False)

    @on(Chart.CursorMoved)
    def _cursor_moved(self, event: Chart.CursorMoved) -> None:
        for chart in self.charts_with(event.chart):
            chart.cursor_step = event.step

    def _move_all_cursors(self, step: int | None) -> None:
        for chart in self.charts:
            chart.cursor_step = step

    @on(Chart.RangeChanged)
    def _range_changed(self, event: Chart.RangeChanged) -> None:
        for chart in self.charts_with(event.chart):
            chart.x_range = event.x_range
        self.show_scalars()

    @on(Findings.Jump)
    def _jump(self, event: Findings.Jump) -> None:
        for chart in self.charts:
            chart.x_range = None
        self.show_scalars()
        self._move_all_cursors(event.step)

    # Layers.

    def action_filter(self) -> None:
        """Ask for a part of a name."""
        self.query_one("#filter-line").display = True
        self.query_one("#filter").focus()

    @on(Input.Changed, "#filter")
    def _filter_changed(self, event: Input.Changed) -> None:
        for panel in self._layer_panels():
            panel.filter_text = event.value

    @on(Input.Submitted, "#filter")
    def _filter_kept(self) -> None:
        self._close_filter()

    def _close_filter(self) -> None:
        self.query_one("#filter-line").display = False
        self._layer_panels()[0].focus(scroll_visible=False)

    def action_worst_first(self) -> None:
        """Worst first, or the model's order."""
        for panel in self._layer_panels()[:1]:
            panel.worst_first = not panel.worst_first

    def action_histograms(self) -> None:
        """Distributions in place of ranges, or back."""
        for bars in self.query(RangeBars):
            bars.histograms = not bars.histograms

    def _layer_panels(self) -> list[RowPanel]:
        return list(self.query(RowPanel))

    def _same_order(self, worst_first: bool) -> None:
        for panel in self._layer_panels():
            panel.worst_first = worst_first

    @on(RowPanel.RowSelected)
    def _same_row(self, event: RowPanel.RowSelected) -> None:
        for panel in self._layer_panels():
            panel.selected = event.name

    # Help and trouble.

    def action_help(self) -> None:
        """All keys."""
        from sgdb_tui.screens.help import Help  # imported on use: the first frame does not wait for it

        panel = self.focused if isinstance(self.focused, Panel) else None
        title, words = (panel.panel_title, panel.HELP) if panel else ("", "")
        self.app.push_screen(Help(title, words, self.KEY_GROUPS))

    @on(Panel.Failed)
    def _panel_failed(self, event: Panel.Failed) -> None:
        self.view.tell(f"The panel {event.panel.panel_title} failed and is off: {event.error}")
