"""What every screen on a run has: its state, its training under control, its layers."""

from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Container

from sgdb_engine.control import Pause, Resume, Step, Stop
from sgdb_tui.bridge import Changed, RunView
from sgdb_tui.curves import AXES, Axis, Curves, Window, x_unit
from sgdb_tui.keys import ALL_KEYS, GROUPS, Groups
from sgdb_tui.plotting.x_axis import STEPS, XUnit
from sgdb_tui.screens.confirm import ConfirmStop
from sgdb_tui.screens.panel_keys import panel_keys
from sgdb_tui.screens.panel_screen import PanelScreen
from sgdb_tui.widgets.chart import Chart
from sgdb_tui.widgets.findings import Findings
from sgdb_tui.widgets.footer import Key as KeyWords
from sgdb_tui.widgets.footer import KeyLine
from sgdb_tui.widgets.log_view import LogView
from sgdb_tui.widgets.newest_finding import NewestFinding
from sgdb_tui.widgets.panel import Panel
from sgdb_tui.widgets.range_bars import HISTOGRAMS, RangeBars
from sgdb_tui.widgets.row_panel import RowPanel
from sgdb_tui.widgets.starting import Starting
from sgdb_tui.widgets.status_fields import status_fields
from sgdb_tui.widgets.status_line import StatusLine


class RunScreen(PanelScreen):
    """A screen on one run; a subclass says which panels there are and fills them."""

    BINDINGS: ClassVar[list[BindingType]] = [key.binding() for key in ALL_KEYS]
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

    def compose_head(self) -> ComposeResult:
        """What stands between the first line and the panels."""
        yield from ()

    def show_tables(self) -> None:
        """Once a second: whatever is read rather than watched."""

    def show_events(self) -> None:
        """Something rare happened."""

    @property
    def nothing_yet(self) -> bool:
        """There is nothing that the panels could show."""
        return not self.view.measured

    # Frame.

    def compose(self) -> ComposeResult:
        yield StatusLine()
        yield from self.compose_head()
        yield Starting(self.view)
        with Container(id="panels"):
            yield from self.panels()
        yield NewestFinding()
        yield from self.compose_filter()
        yield KeyLine()

    def on_mount(self) -> None:
        """The first frame says what is known before the first look."""
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
        self.show_keys()
        self.call_after_refresh(self.focus_visible)
        if nothing_yet:
            self.query_one(Starting).redraw()

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

    def curves_for(self, chart: Chart) -> Curves:
        """What fits into this chart; also sets its x axis."""
        chart.x_unit = self.unit
        chart.end_step = self.view.step if self.view.ended else self.view.steps_planned
        return Curves(self.view, self.unit, Window.of(chart.x_range, chart.size.width))

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

    def action_x_axis(self) -> None:
        """By step, by epoch, by time."""
        self.axis = AXES[(AXES.index(self.axis) + 1) % len(AXES)]
        self.unit = x_unit(self.axis, self.view)
        self.show_scalars()
        self.notify(f"Along the axis: {self.axis}", timeout=2, markup=False)

    @on(Findings.Jump)
    def _jump(self, event: Findings.Jump) -> None:
        for chart in self.charts:
            chart.x_range = None
        self.show_scalars()
        self.move_all_cursors(event.step)

    # Layers.

    def action_worst_first(self) -> None:
        """Worst first, or the model's order."""
        for panel in self._layer_panels()[:1]:
            panel.worst_first = not panel.worst_first

    def action_histograms(self) -> None:
        """Histograms of weights, of gradients, of activations, and ranges again."""
        for bars in self.query(RangeBars):
            bars.histograms = HISTOGRAMS[(HISTOGRAMS.index(bars.histograms) + 1) % len(HISTOGRAMS)]
        self.show_tables()

    def filter_changed(self, text: str) -> None:
        """Show only the layers whose name holds this."""
        for panel in self._layer_panels():
            panel.filter_text = text

    def filtered_panel(self) -> Panel:
        """The layers."""
        return self._layer_panels()[0]

    def _layer_panels(self) -> list[RowPanel]:
        return list(self.query(RowPanel))

    def _same_order(self, worst_first: bool) -> None:
        for panel in self._layer_panels():
            panel.worst_first = worst_first

    @on(RowPanel.RowSelected)
    def _same_row(self, event: RowPanel.RowSelected) -> None:
        for panel in self._layer_panels():
            panel.selected = event.name

    # Trouble.

    @on(Panel.Failed)
    def _panel_failed(self, event: Panel.Failed) -> None:
        self.view.tell(f"The panel {event.panel.panel_title} failed and is off: {event.error}")
