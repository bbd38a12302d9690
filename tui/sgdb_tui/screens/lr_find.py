"""The range test of the learning rate, live."""

from typing import ClassVar

from sgdb_engine.text import clean
from sgdb_tui.screens.trial import TrialScreen
from sgdb_tui.swept import recorded_sweep, swept_curve, swept_places, swept_unit
from sgdb_tui.widgets.chart import Chart


class LrFindScreen(TrialScreen):
    """The loss over the rate; in the end the rates to use, and how."""

    TITLE_OF_CHART: ClassVar[str] = "Learning rate"

    def draw(self, chart: Chart) -> None:
        """The curve so far; the rates to use once they are known."""
        rates, losses, smoothed = recorded_sweep(self.view.history)
        if self.view.swept is not None:
            chart.places = swept_places(self.view.swept)
        if rates.size < 2:
            chart.empty_text = "comes with the first updates"
            return
        chart.x_unit = swept_unit(rates)
        chart.show([swept_curve(rates, losses, smoothed)])

    def what_to_do(self) -> str:
        """Both suggestions."""
        swept = self.view.swept
        lines = (
            f"{each.rule} {each.value:.2g} → {clean(each.use, 300)}"
            for each in (swept.suggestions if swept is not None else ())
        )
        return "\n".join(lines)
