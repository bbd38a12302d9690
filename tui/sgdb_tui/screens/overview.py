"""The overview of a run: everything at a glance."""

from collections.abc import Iterable
from typing import ClassVar

from textual.app import ComposeResult
from textual.widget import Widget

from sgdb_engine.recording.pictures import Confusion, Images, Regions
from sgdb_tui.now import now_readings, tensor_readings
from sgdb_tui.screens.run_screen import RunScreen
from sgdb_tui.tensors import show_gradients, show_parameters
from sgdb_tui.widgets.chart import Chart
from sgdb_tui.widgets.decision_regions import DecisionRegions
from sgdb_tui.widgets.findings import Findings
from sgdb_tui.widgets.heat_map import HeatMap
from sgdb_tui.widgets.inputs import Inputs
from sgdb_tui.widgets.log_view import LogView
from sgdb_tui.widgets.outputs import Outputs
from sgdb_tui.widgets.range_bars import RangeBars
from sgdb_tui.widgets.ranks import Ranks
from sgdb_tui.widgets.readings import Readings


class Overview(RunScreen):
    """Loss, values, gradients, parameters, inputs, outputs, learning rate, findings and log of a run."""

    NUMBERED: ClassVar[tuple[str, ...]] = (
        "loss",
        "now",
        "gradients",
        "parameters",
        "inputs",
        "outputs",
        "learning-rate",
        "findings",
        "log",
    )

    def compose_head(self) -> ComposeResult:
        """Shown where there are several."""
        yield Ranks()

    def panels(self) -> Iterable[Widget]:
        """In the order in which the grid is filled."""
        yield Chart("1 Loss", id="loss")
        yield DecisionRegions()
        yield Chart("Gradient norm", id="grad-norm")
        yield Readings("2 Now", id="now")
        yield HeatMap("3 Gradients", id="gradients")
        yield RangeBars("4 Parameters", id="parameters")
        yield Chart("7 Learning rate", id="learning-rate", log_y=False)
        yield Inputs("5 Inputs")
        yield Findings("8 Findings", id="findings")
        yield Outputs("6 Outputs")
        yield LogView("9 Log", id="log")

    def show_scalars(self) -> None:
        """The charts."""
        marks = list(self.view.marks)
        loss = self.query_one("#loss", Chart)
        loss.show(self.curves_for(loss).loss(), marks)
        norm = self.query_one("#grad-norm", Chart)
        norm.show(self.curves_for(norm).grad_norm(), marks)
        rate = self.query_one("#learning-rate", Chart)
        rate.show(self.curves_for(rate).learning_rate())

    def show_tables(self) -> None:
        """The tables and what is known layer by layer."""
        history = self.view.history
        self.query_one("#now", Readings).show(now_readings(self.view))
        images, confusion = history.pictures.of(Images), history.pictures.of(Confusion)
        self.set_class(images is not None or confusion is not None, "-judged")
        self.query_one(Inputs).show_all(tensor_readings(history, "input"), images)
        self.query_one(Outputs).show_all(tensor_readings(history, "output"), images, confusion)
        self.set_class(bool(self.view.ranks), "-ranks")
        self.query_one(Ranks).show(self.view.ranks)
        self._show_regions()
        show_gradients(self.query_one(HeatMap), self.view)
        show_parameters(self.query_one(RangeBars), history)

    def _show_regions(self) -> None:
        picture = self.view.history.pictures.of(Regions)
        self.set_class(picture is not None, "-regions")
        if picture is not None:
            self.query_one(DecisionRegions).show(picture)

    def show_events(self) -> None:
        """The findings."""
        self.query_one(Findings).show(list(self.view.findings.values()))
