"""The keys that matter in a panel, for the last line."""

from textual.widget import Widget

from sgdb_tui.widgets.chart import Chart
from sgdb_tui.widgets.finding_list import FindingList
from sgdb_tui.widgets.findings import Findings
from sgdb_tui.widgets.footer import Key
from sgdb_tui.widgets.panel import Panel
from sgdb_tui.widgets.range_bars import RangeBars
from sgdb_tui.widgets.row_panel import RowPanel
from sgdb_tui.widgets.stages import Stages

_CHART: list[Key] = [("←→", "cursor"), ("+−", "zoom"), ("g", "log"), ("x", "axis"), ("m", "smoothing")]


def panel_keys(focused: Widget | None) -> list[Key]:
    """Of the panel that has the focus, the most important first."""
    match focused:
        case Chart():
            return _CHART
        case RangeBars():
            return [("h", "histogram"), ("/", "filter"), ("w", "worst first"), ("↑↓", "rows")]
        case RowPanel():
            return [("/", "filter"), ("w", "worst first"), ("↑↓", "rows")]
        case Findings():
            return [("enter", "show the step"), ("↑↓", "choose")]
        case FindingList() | Stages():
            return [("↑↓", "choose")]
        case Panel():
            return [("↑↓", "scroll")]
    return []
