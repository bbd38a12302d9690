"""An app with one widget, and what it shows as text."""

from collections.abc import Callable

import numpy as np
import pytest
from textual.app import App, ComposeResult
from textual.message import Message

from sgdb_tui.palette import THEMES
from sgdb_tui.plotting.series import Curve
from sgdb_tui.widgets.panel import Panel


class OnePanelApp(App[None]):
    """Shows a panel on the whole screen and keeps the messages it posts."""

    def __init__(self, panel: Panel, *, ascii_only: bool = False) -> None:
        super().__init__()
        self.panel = panel
        self.ascii_only = ascii_only
        self.posted: list[Message] = []
        for theme in THEMES:
            self.register_theme(theme)
        self.theme = "sgdb-dark"

    def compose(self) -> ComposeResult:
        yield self.panel

    def on_chart_cursor_moved(self, message: Message) -> None:
        self.posted.append(message)

    on_chart_range_changed = on_heat_map_row_selected = on_chart_cursor_moved
    on_range_bars_row_selected = on_panel_failed = on_chart_cursor_moved

    def shown(self) -> str:
        """The panel as text."""
        lines = (self.panel.render_line(y) for y in range(self.panel.size.height))
        return "\n".join(line.text for line in lines)


@pytest.fixture
def app_with() -> type[OnePanelApp]:
    """Makes an app with one panel."""
    return OnePanelApp


@pytest.fixture
def curves() -> Callable[[int], list[Curve]]:
    """Train and validation loss of a run of so many steps, with a spike and a stretch of NaN."""

    def make(num: int = 1000) -> list[Curve]:
        x = np.arange(num, dtype=np.float64)
        noise = 1 + 0.2 * np.sin(x * 1.7) * np.cos(x * 0.37)
        train = (3 * np.exp(-x / (num / 6)) + 0.3) * noise
        train[num // 2 : num // 2 + num // 50] *= 4
        train[num * 3 // 4 : num * 3 // 4 + num // 100] = np.nan
        vx = np.arange(num // 10, num, num // 10, dtype=np.float64)
        val = 3 * np.exp(-vx / (num / 6)) + 0.4 + vx / num / 5
        broken = np.isnan(train)
        none = np.zeros(vx.size, np.int64)
        return [
            Curve("train", "t", "train", x, train, train * 0.8, train * 1.25, broken.astype(np.int64)),
            Curve("val", "v", "val", vx, val, val, val, none),
        ]

    return make
