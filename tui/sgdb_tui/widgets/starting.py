"""Before the first numbers: what the run is doing, for how long, what it printed; also if it ended there."""

from collections.abc import Sequence

from sgdb_tui.bridge import RunView
from sgdb_tui.formatting import duration
from sgdb_tui.plotting.cells import Ink
from sgdb_tui.widgets.list_panel import ListPanel, Row, ink
from sgdb_tui.widgets.log_view import wrapped

_PATIENCE_S = 15
_HEADINGS = {
    "failed": ("It failed before the first step.", Ink.ERROR),
    "lost": ("The engine process is gone; it ended before the first step.", Ink.ERROR),
    "finished": ("It ended without a step.", Ink.WARNING),
    "stopped": ("It was stopped before the first step.", Ink.WARNING),
}


class Starting(ListPanel, can_focus=False):
    """Fills the screen until the first step is measured."""

    HELP = "The run has not measured a step yet."

    def __init__(self, view: RunView) -> None:
        super().__init__("", id="starting")
        self._view = view
        self.follow = True

    def rows(self, width: int) -> Sequence[Row]:
        """What happens now, and the log."""
        view = self._view
        rows: list[Row] = [[], *self._heading(), []]
        for line in list(view.log)[-200:]:
            rows.extend(wrapped(line, width))
        return rows

    def _heading(self) -> list[Row]:
        view = self._view
        if view.ended:
            text, tone = _HEADINGS[view.state]
            return [[ink(f" {view.name}: ", Ink.STRONG), ink(text, tone)]]
        happening = (view.status.message if view.status else "") or "starting the engine"
        rows: list[Row] = [
            [ink(f" {view.name} is starting", Ink.STRONG), ink(f"   {duration(view.elapsed_s)}", Ink.DIM)],
            [ink(f" {happening} …", Ink.TEXT)],
        ]
        if view.elapsed_s > _PATIENCE_S:
            rows.append([ink(" The first import of torch from a slow disk can take a minute.", Ink.DIM)])
            rows.append([ink(" q leaves; the run goes on.", Ink.DIM)])
        return rows

    @property
    def follow_at_end(self) -> bool:
        """The newest line stays in sight."""
        return True
