"""The line chart: curves over steps with a cursor, zoom and pan; all ranges are in steps."""

from collections.abc import Sequence
from typing import ClassVar

import numpy as np
from textual import events
from textual.binding import Binding, BindingType
from textual.message import Message
from textual.reactive import reactive

from sgdb_tui.plotting import legend
from sgdb_tui.plotting.cells import Cells, Ink, Run
from sgdb_tui.plotting.layers import Surface, line_of
from sgdb_tui.plotting.plot import PlotView, draw_plot, plot_width
from sgdb_tui.plotting.scale import Scale, fitted, snapped_end
from sgdb_tui.plotting.series import Curve, Mark
from sgdb_tui.plotting.smoothing import Smoothing
from sgdb_tui.plotting.x_axis import STEPS, XUnit
from sgdb_tui.plotting.y_range import y_extent
from sgdb_tui.widgets.panel import Panel

SMOOTHINGS: tuple[Smoothing, ...] = ("light", "strong", "off")
SHORTEST_RANGE = 4
"""Steps that a zoomed axis shows at least."""


class Chart(Panel):
    """Shows curves; keys and mouse post what they changed, so that a screen can keep charts together."""

    HELP = """\
Lines are smoothed means, the band behind them reaches from the smallest to the largest value.
`×` below the plot: NaN or infinite values there. `▴` at the edge: a spike beyond the axis.
`▲` finding, `▸` command, `◆` checkpoint. The letter at the end of a line names its curve.

Left and right move the cursor, escape hides it; shift with them pans; `+` `-` zoom, `0` whole run;
`g` logarithmic axis, `m` smoothing (light, strong, off).
"""
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("left", "move_cursor(-1)", "Cursor", show=False),
        Binding("right", "move_cursor(1)", "Cursor", show=False),
        Binding("shift+left", "pan(-1)", "Pan", show=False),
        Binding("shift+right", "pan(1)", "Pan", show=False),
        Binding("plus,equals_sign", "zoom(0.5)", "Zoom in", show=False),
        Binding("minus", "zoom(2.0)", "Zoom out", show=False),
        Binding("0", "whole_run", "Whole run", show=False),
        Binding("g", "toggle_log", "Log y", show=False),
        Binding("m", "smoothing", "Smoothing", show=False),
        Binding("escape", "hide_cursor", "Hide cursor", show=False),
    ]

    log_y: reactive[bool] = reactive(True, repaint=False)
    x_range: reactive[tuple[int, int] | None] = reactive(None, repaint=False)
    """First and last step shown; None: the whole run, growing."""
    cursor_step: reactive[int | None] = reactive(None, repaint=False)
    smoothing: reactive[Smoothing] = reactive("light", repaint=False)
    x_unit: reactive[XUnit] = reactive(STEPS, repaint=False)
    levels: reactive[tuple[tuple[float, str], ...]] = reactive((), repaint=False)
    """Horizontal lines: (value, name)."""
    places: reactive[tuple[tuple[float, str], ...]] = reactive((), repaint=False)
    """Vertical lines: (x, name), x in the unit of the axis."""
    end_step: reactive[int | None] = reactive(None, repaint=False)
    """Where the run ends or ended, if known: the axis never reaches beyond it."""
    empty_text: reactive[str] = reactive("no values yet", repaint=False)

    class CursorMoved(Message):
        """The user moved the cursor to a step, or hid it (None)."""

        def __init__(self, chart: "Chart", step: int | None) -> None:
            super().__init__()
            self.chart = chart
            self.step = step

        @property
        def control(self) -> "Chart":
            """The chart."""
            return self.chart

    class RangeChanged(Message):
        """The user zoomed or panned; both None: the whole run."""

        def __init__(self, chart: "Chart", x_range: tuple[int, int] | None) -> None:
            super().__init__()
            self.chart = chart
            self.x_range = x_range
            self.first: int | None = x_range[0] if x_range else None
            self.last: int | None = x_range[1] if x_range else None

        @property
        def control(self) -> "Chart":
            """The chart."""
            return self.chart

    def __init__(
        self,
        title: str = "",
        *,
        log_y: bool = True,
        id: str | None = None,  # noqa: A002 - Textual's name
        classes: str | None = None,
    ) -> None:
        super().__init__(title, id=id, classes=classes)
        self.set_reactive(Chart.log_y, log_y)
        self._curves: tuple[Curve, ...] = ()
        self._marks: tuple[Mark, ...] = ()
        self._scale: Scale | None = None
        self._cells = Cells(0, 0)

    def show(self, curves: Sequence[Curve], marks: Sequence[Mark] = ()) -> None:
        """Show these curves; the user's range, cursor and scale stay."""
        self._curves = tuple(curves)
        self._marks = tuple(marks)
        self.redraw()

    # Drawing.

    def prepare(self, width: int, height: int) -> None:
        """Draw the plot into cells."""
        if not self._has_values():
            self._cells = Cells(height, width)
            text = self.empty_text[:width]
            self._cells.write(height // 2, (width - len(text)) // 2, text, Ink.DIM)
            return
        first, last = self._x_span()
        log = self._log_possible()
        lines = [line_of(curve, log, last - first, self.smoothing) for curve in self._curves]
        low, high = y_extent(lines, [value for value, _ in self.levels], log, first, last)
        self._scale = fitted(low, high, log, self._scale)
        surface = Surface(self.palette.unicode, self.palette.backgrounds)
        view = PlotView(
            lines=lines,
            marks=self._marks,
            levels=self.levels,
            scale=self._scale,
            first=first,
            last=last,
            unit=self.x_unit,
            cursor=self._cursor_x(),
            surface=surface,
            places=self.places,
        )
        self._cells = draw_plot(view, height, width)

    def draw_body_line(self, y: int) -> list[Run]:
        """A row of the plot."""
        return self._cells.runs(y) if y < self._cells.height else []

    def title_runs(self, width: int) -> list[Run]:
        """Legend with the values at the cursor, or the present ones."""
        cursor = self._cursor_x()
        if not self._has_values():
            return []
        place = f"{self.x_unit.name} {self.x_unit.label(cursor)}" if cursor is not None else ""
        hints = ["log" if self._log_possible() else "", place]
        key = ("━" if self.palette.unicode else None) if self.palette.colored else None
        return legend.legend(self._curves, width, cursor=cursor, hints=hints, key=key)

    def _has_values(self) -> bool:
        return any(curve.x.size for curve in self._curves)

    def _log_possible(self) -> bool:
        """Curves without any positive value cannot be shown on a log axis."""
        return self.log_y and (
            any(bool((curve.mean > 0).any()) for curve in self._curves)
            or not any(bool(np.isfinite(curve.mean).any()) for curve in self._curves)
        )

    # The x axis.

    def _x_span(self) -> tuple[float, float]:
        """Both ends of the axis in its unit."""
        if self.x_range is not None:
            first, last = (self.x_unit.x_at(step) for step in self.x_range)
            return first, max(last, first + 1e-9)
        first, last = self._measured_span()
        limit = self.x_unit.x_at(self.end_step) if self.end_step is not None else None
        first = 0.0 if 0 <= first <= 0.05 * last else first
        return first, snapped_end(first, last, limit)

    def _measured_span(self) -> tuple[float, float]:
        drawn = [curve.x for curve in self._curves if curve.x.size]
        if not drawn:
            return 0.0, 1.0
        return min(float(x[0]) for x in drawn), max(float(x[-1]) for x in drawn)

    def _cursor_x(self) -> float | None:
        return None if self.cursor_step is None else self.x_unit.x_at(self.cursor_step)

    def _step_at_column(self, column: int) -> int | None:
        """The step in the middle of a column of the widget; None left of the plot."""
        columns = plot_width(self.body_width)
        place = column - 1 - (self.body_width - columns)
        if not 0 <= place < columns:
            return None
        first, last = self._x_span()
        return self.x_unit.step_at(first + (place + 0.5) / columns * (last - first))

    # Keys and mouse.

    def action_move_cursor(self, direction: int) -> None:
        """One column to the left or right; the first press shows the cursor at the newest value."""
        first, last = self._x_span()
        measured_first, measured_last = self._measured_span()
        lowest = self.x_unit.step_at(max(first, measured_first))
        highest = self.x_unit.step_at(min(last, measured_last))
        if self.cursor_step is None:
            self._move_cursor_to(highest)
            return
        column_width = (last - first) / max(1, plot_width(self.body_width))
        step = self.x_unit.step_at(self.x_unit.x_at(self.cursor_step) + direction * column_width)
        if step == self.cursor_step:
            step += direction
        self._move_cursor_to(min(max(step, lowest), highest))

    def action_hide_cursor(self) -> None:
        """Back to the present values."""
        self._move_cursor_to(None)

    def action_pan(self, direction: int) -> None:
        """A quarter of the visible range."""
        if self.x_range is None:
            return
        first, last = self.x_range
        newest = max(self.x_unit.step_at(self._measured_span()[1]), 1)
        shift = direction * max(1, (last - first) // 4)
        shift = max(shift, -first) if direction < 0 else min(shift, max(0, newest - last))
        self._change_range((first + shift, last + shift))

    def action_zoom(self, factor: float) -> None:
        """Narrower or wider around the cursor, or around the middle."""
        first, last = (self.x_unit.step_at(x) for x in self._x_span())
        self._zoom(factor, self.cursor_step if self.cursor_step is not None else (first + last) // 2)

    def action_whole_run(self) -> None:
        """Show all, and follow the run."""
        self._change_range(None)

    def action_toggle_log(self) -> None:
        """Logarithmic or linear y axis."""
        self.log_y = not self.log_y

    def action_smoothing(self) -> None:
        """Light, strong, off."""
        self.smoothing = SMOOTHINGS[(SMOOTHINGS.index(self.smoothing) + 1) % len(SMOOTHINGS)]

    def on_click(self, event: events.Click) -> None:
        """Put the cursor where the mouse is."""
        step = self._step_at_column(event.x)
        if step is not None and self._has_values():
            self._move_cursor_to(max(0, step))

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        """Zoom in at the mouse."""
        self._wheel(event, 0.5)

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        """Zoom out at the mouse."""
        self._wheel(event, 2.0)

    def _wheel(self, event: events.MouseEvent, factor: float) -> None:
        step = self._step_at_column(event.x)
        if step is not None:
            event.stop()
            self._zoom(factor, step)

    def _zoom(self, factor: float, center: int) -> None:
        if not self._has_values():
            return
        first, last = (self.x_unit.step_at(x) for x in self._x_span())
        newest = self.x_unit.step_at(self._measured_span()[1])
        span = max(SHORTEST_RANGE, round((last - first) * factor))
        if span >= newest and factor > 1:
            self._change_range(None)
            return
        share = (center - first) / max(1, last - first)
        new_first = max(0, round(center - share * span))
        self._change_range((new_first, new_first + span))

    def _move_cursor_to(self, step: int | None) -> None:
        if step != self.cursor_step:
            self.cursor_step = step
            self.post_message(self.CursorMoved(self, step))

    def _change_range(self, x_range: tuple[int, int] | None) -> None:
        if x_range != self.x_range:
            self.x_range = x_range
            self.post_message(self.RangeChanged(self, x_range))

    # What changes the picture.

    def watch_log_y(self) -> None:
        """Draw anew."""
        self.redraw()

    def watch_x_range(self) -> None:
        """Draw anew, with a y axis of its own."""
        self._scale = None
        self.redraw()

    watch_cursor_step = watch_smoothing = watch_x_unit = watch_log_y
    watch_levels = watch_places = watch_end_step = watch_empty_text = watch_log_y
