"""What is tried before a run, live: one chart, what it says, and the log."""

from collections.abc import Iterable
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import BindingType
from textual.widget import Widget

from sgdb_engine.text import clean
from sgdb_tui.bridge import Changed
from sgdb_tui.keys import TRIAL_GROUPS, Groups, keys_of
from sgdb_tui.preflight import worst
from sgdb_tui.screens.panel_keys import panel_keys
from sgdb_tui.screens.run_screen import RunScreen
from sgdb_tui.widgets.chart import Chart
from sgdb_tui.widgets.footer import Key
from sgdb_tui.widgets.head import Head, Told, starting_told
from sgdb_tui.widgets.log_view import LogView

_SIGNS = {
    "pass": ("✓", "$success"),
    "warn": ("△", "$warning"),
    "inconclusive": ("△", "$warning"),
    "fail": ("✗", "$error"),
}


class TrialScreen(RunScreen, inherit_bindings=False):
    """Nothing in it is controlled. A subclass draws the chart, and says what to do with what it shows."""

    BINDINGS: ClassVar[list[BindingType]] = [key.binding() for key in keys_of(TRIAL_GROUPS)]
    NUMBERED: ClassVar[tuple[str, ...]] = ("curve", "log")
    KEY_GROUPS: ClassVar[Groups] = TRIAL_GROUPS
    LEAVING: ClassVar[str] = "q leaves; what is tried ends with its dashboard."
    TITLE_OF_CHART: ClassVar[str] = ""

    # What a subclass fills.

    def draw(self, chart: Chart) -> None:
        """Draw what was measured so far."""

    def what_to_do(self) -> str:
        """In the end: a statement a line."""
        return ""

    # Frame.

    def compose_head(self) -> ComposeResult:
        """What matters most stands above the panels."""
        yield Head(id="verdict")

    def panels(self) -> Iterable[Widget]:
        """In the order in which the grid is filled."""
        yield Chart(f"1 {self.TITLE_OF_CHART}", id="curve", log_y=False)
        yield LogView("2 Log", id="log")

    @property
    def nothing_yet(self) -> bool:
        """The head tells what is done."""
        return False

    def refresh_run(self, changed: Changed, *, tables: bool) -> None:
        """Show what a poll brought, the head last: it tells the time, too."""
        super().refresh_run(changed, tables=tables)
        self.query_one(Head).tell(self._told())

    def show_scalars(self) -> None:
        """The chart."""
        chart = self.query_one("#curve", Chart)
        chart.smoothing = "off"
        self.draw(chart)

    def keys_now(self) -> list[Key]:
        """How to leave, then what the chart can do."""
        keys = [("q", "quit" if self.view.ended else "leave"), ("?", "help")]
        if self.maximised_panel is not None:
            keys.append(("esc", "all panels"))
        of_panel = [key for key in panel_keys(self.focused) if key[0] not in ("x", "m")]
        return [*keys, *of_panel, (f"1–{len(self.NUMBERED)}", "panels"), ("z", "maximise")]

    def _told(self) -> Told:
        view = self.view
        stages = list(view.stages.values())
        if not view.ended:
            if not stages:
                return starting_told(view)
            doing = clean((view.status.message if view.status else "") or "at work", 200)
            return Told("●", doing[:1].upper() + doing[1:], "$primary")
        if view.state == "failed":
            error = view.failure.error.strip().splitlines() if view.failure else []
            words = f"The script raised {clean(error[0], 500)}" if error else "The script failed"
            return Told("✗", words, "$error", "Its traceback is in the log.")
        outcome = worst(stages)
        if outcome is None or outcome.status not in _SIGNS:
            return Told("✗", "It ended before its verdict: nothing is proven.", "$error")
        sign, color = _SIGNS[outcome.status]
        reason = clean(outcome.reason, 500)
        return Told(sign, reason[:1].upper() + reason[1:], color, self.what_to_do())
