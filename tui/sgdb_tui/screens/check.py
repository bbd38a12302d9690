"""The check, live: stages, one batch learnt by heart, sweep of learning rates, ranges, what is wrong, how to go on."""

from collections.abc import Iterable
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import BindingType
from textual.widget import Widget

from sgdb_engine.text import clean
from sgdb_tui.bridge import Changed
from sgdb_tui.check_curves import (
    overfit_curves,
    overfit_levels,
    rate_curves,
    rate_places,
    rate_unit,
)
from sgdb_tui.curves import Window
from sgdb_tui.keys import CHECK_GROUPS, Groups, keys_of
from sgdb_tui.preflight import STAGES, in_words, verdict
from sgdb_tui.screens.panel_keys import panel_keys
from sgdb_tui.screens.run_screen import RunScreen
from sgdb_tui.tensors import show_ranges
from sgdb_tui.widgets.chart import Chart
from sgdb_tui.widgets.finding_list import FindingList
from sgdb_tui.widgets.footer import Key
from sgdb_tui.widgets.log_view import LogView
from sgdb_tui.widgets.stages import Stages
from sgdb_tui.widgets.start_ranges import StartRanges
from sgdb_tui.widgets.verdict import Verdict

_KEYS_OF_RUNS = ("x", "h")
"""The axis is what it is, and there are no histograms."""


class CheckScreen(RunScreen, inherit_bindings=False):
    """Nothing in it is controlled but the way on: Enter starts the run that was checked."""

    BINDINGS: ClassVar[list[BindingType]] = [key.binding() for key in keys_of(CHECK_GROUPS)]
    HORIZONTAL_BREAKPOINTS = [(0, "-tiny"), (56, "-narrow"), (100, "-wide")]  # noqa: RUF012 - declared so by Textual
    NUMBERED: ClassVar[tuple[str, ...]] = ("stages", "overfit", "lr-range", "ranges", "findings", "log")
    KEY_GROUPS: ClassVar[Groups] = CHECK_GROUPS
    LEAVING: ClassVar[str] = "q leaves the check; it ends with its dashboard."

    _insisted = False
    """Enter was pressed once in spite of the verdict."""

    def compose_head(self) -> ComposeResult:
        """What matters most stands above the panels."""
        yield Verdict()

    def panels(self) -> Iterable[Widget]:
        """In the order in which the grid is filled."""
        yield Stages("1 Stages", id="stages")
        yield Chart("2 One batch", id="overfit")
        yield Chart("3 Learning rate", id="lr-range")
        yield StartRanges("4 Ranges", id="ranges")
        yield FindingList("5 Findings", id="findings")
        yield LogView("6 Log", id="log")

    @property
    def nothing_yet(self) -> bool:
        """All stages are seen from the start."""
        return False

    def charts_with(self, chart: Chart) -> list[Chart]:
        """Each has an x axis of its own."""
        return [chart]

    def refresh_run(self, changed: Changed, *, tables: bool) -> None:
        """Show what a poll brought, the head last: it tells the time, too."""
        super().refresh_run(changed, tables=tables)
        self.query_one(Verdict).show(self.view, insisted=self._insisted)

    def show_scalars(self) -> None:
        """Both curves, with what they are to be held against."""
        self._make_room()
        view = self.view
        overfit = self.query_one("#overfit", Chart)
        overfit.levels = overfit_levels(view.stages)
        overfit.empty_text = self._why_empty("overfit-one-batch")
        overfit.show(overfit_curves(view.history, Window.of(overfit.x_range, overfit.size.width)))
        sweep = self.query_one("#lr-range", Chart)
        sweep.x_unit = rate_unit(view.history)
        sweep.places = rate_places(view.stages, view.findings.values())
        sweep.empty_text = self._why_empty("lr-range")
        window = Window.of(sweep.x_range, sweep.size.width)
        sweep.show(rate_curves(view.history, sweep.x_unit, window))

    def show_events(self) -> None:
        """Stages, ranges and findings."""
        view = self.view
        self.query_one(Stages).show(list(view.stages.values()))
        ranges = self.query_one(StartRanges)
        ranges.empty_text = "not measured" if view.ended else self._why_empty("data")
        show_ranges(ranges, view.ranges)
        self.query_one(FindingList).show(list(view.findings.values()))

    def _make_room(self) -> None:
        """Where there is no curve yet, or will be none, there is room for other things."""
        view = self.view
        curves = {name.partition("/")[0] for name in view.history.names()} & {"overfit", "lr_range"}
        curveless = view.ended and not curves
        self.set_class(curveless, "-curveless")
        self.set_class(bool(view.ranges) and not curveless and "lr_range" not in curves, "-sweepless")

    def keys_now(self) -> list[Key]:
        """Enter first, once there is a verdict."""
        keys = [("enter", "start the run"), ("q", "quit")] if self.view.ended else [("q", "leave")]
        if self.maximised_panel is not None:
            keys.append(("esc", "all panels"))
        of_panel = [key for key in panel_keys(self.focused) if key[0] not in _KEYS_OF_RUNS]
        return [*keys, ("?", "help"), *of_panel, (f"1–{len(self.NUMBERED)}", "panels"), ("z", "maximise")]

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Rows are sorted and filtered where they are seen."""
        if action in ("filter", "worst_first"):
            return any(bool(ranges.region) for ranges in self.query(StartRanges))
        return super().check_action(action, parameters)

    def action_start_run(self) -> None:
        """Leave for the run; a check that failed is to be asked twice."""
        if not self.view.ended:
            self.notify("The check is not over yet.", timeout=2, markup=False)
        elif self._insisted or verdict(self.view) in ("pass", "warn"):
            self.app.exit(True)
        else:
            self._insisted = True
            self.query_one(Verdict).show(self.view, insisted=True)

    def action_back(self) -> None:
        """Undo the last thing that narrows the view; the cursor of the stages follows the check again."""
        self.query_one(Stages).follow_the_check()
        super().action_back()

    def _why_empty(self, name: str) -> str:
        stage = self.view.stages.get(name)
        if stage is not None and stage.status not in ("running", "pass"):
            return f"{stage.status}: {clean(stage.reason, 200)}"
        return f"comes with the stage {in_words(name)}" if name in STAGES else ""
