"""Range bars of a check: the first minibatch, the activations and the parameters, before the first update."""

from sgdb_tui.widgets.range_bars import SIGNS, RangeBars
from sgdb_tui.widgets.row_panel import RowPanel


class StartRanges(RangeBars):
    """Along the way of the data, until it is sorted; there are no histograms."""

    HELP = f"""\
What the first minibatch and the model look like before the first update: inputs, targets, outputs, `act` what a layer
or an activation gives, in the order of their first call, then the parameters.

{SIGNS}
Up and down move the row cursor, `w` sorts the most unusual first, or not; `/` filters.
"""

    def __init__(self, title: str, *, id: str) -> None:  # noqa: A002 - Textual's name
        super().__init__(title, id=id)
        self.set_reactive(RowPanel.worst_first, False)
