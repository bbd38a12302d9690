"""The check, live: one batch learnt by heart, or not, and why."""

from collections.abc import Iterable
from typing import ClassVar

from textual.app import ComposeResult
from textual.widget import Widget

from sgdb_engine.events import CheckStage
from sgdb_tui.now import now_readings
from sgdb_tui.screens.run_screen import RunScreen
from sgdb_tui.tensors import show_gradients
from sgdb_tui.widgets.chart import Chart
from sgdb_tui.widgets.heat_map import HeatMap
from sgdb_tui.widgets.log_view import LogView
from sgdb_tui.widgets.readings import Readings
from sgdb_tui.widgets.stages import Stages
from sgdb_tui.widgets.verdict import Verdict


class CheckScreen(RunScreen):
    """Verdict, stages, the loss falling towards its floor, accuracy, gradients."""

    NUMBERED: ClassVar[tuple[str, ...]] = ("loss", "accuracy", "gradients", "now", "stages", "log")

    def compose_head(self) -> ComposeResult:
        """The verdict stands above the panels."""
        yield Verdict()

    def panels(self) -> Iterable[Widget]:
        """In the order in which the grid is filled."""
        yield Chart("1 Loss of one batch", id="loss")
        yield Chart("2 Accuracy", id="accuracy", log_y=False)
        yield HeatMap("3 Gradients", id="gradients")
        yield Readings("4 Now", id="now")
        yield Stages("5 Stages", id="stages")
        yield LogView("6 Log", id="log")

    def show_scalars(self) -> None:
        """The curves, and the floor that the loss falls towards."""
        loss = self.query_one("#loss", Chart)
        loss.levels = _levels(self.view.stages.get("overfit-one-batch"))
        loss.show(self.curves_for(loss).loss())
        accuracy = self.query_one("#accuracy", Chart)
        accuracy.show(self.curves_for(accuracy).accuracy())
        self.query_one(Verdict).show(self.view)

    def show_tables(self) -> None:
        """Values and gradients."""
        self.query_one("#now", Readings).show(now_readings(self.view))
        show_gradients(self.query_one(HeatMap), self.view)

    def show_events(self) -> None:
        """Stages and verdict."""
        self.query_one(Stages).show(list(self.view.stages.values()))
        self.query_one(Verdict).show(self.view)


def _levels(stage: CheckStage | None) -> tuple[tuple[float, str], ...]:
    """The floor, and the loss below which the check passes."""
    if stage is None:
        return ()
    floor, start, threshold = (stage.evidence.get(key) for key in ("floor", "start", "threshold"))
    if not isinstance(floor, int | float):
        return ()
    levels = [(float(floor), "floor")] if floor > 0 else []
    if isinstance(start, int | float) and isinstance(threshold, int | float):
        levels.append((float(floor + threshold * (start - floor)), "pass below"))
    return tuple(levels)
