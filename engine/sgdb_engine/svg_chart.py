"""A line chart as SVG, drawn by hand: axes with round ticks, lines, levels, places, a legend."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape

WIDTH, HEIGHT = 640, 300
LEFT, RIGHT, TOP, BOTTOM = 62, 16, 40, 44
MOST_TICKS = 7
SHORT_LOG_RANGE = 0.7
"""Decades below which a logarithmic axis has even steps."""
HALO = ' stroke="#ffffff" stroke-width="4" stroke-linejoin="round"'
INK, PALE, GRID, MARK = "#303030", "#707070", "#e4e4e4", "#008700"


@dataclass(frozen=True)
class SvgLine:
    """A curve; where a value is not finite, or not positive on a logarithmic axis, it has a gap."""

    name: str
    color: str
    x: Sequence[float]
    y: Sequence[float]


@dataclass(frozen=True)
class SvgChart:
    """What is drawn."""

    title: str
    x_name: str
    y_name: str
    lines: Sequence[SvgLine]
    levels: Sequence[tuple[float, str]] = ()
    """Horizontal lines: (y, name)."""
    places: Sequence[tuple[float, str]] = ()
    """Vertical lines: (x, name)."""
    log_x: bool = False


@dataclass(frozen=True)
class Axis:
    """From values to pixels."""

    low: float
    high: float
    """In axis space: the decimal logarithm where `log`."""
    first: float
    last: float
    """Pixels of both ends."""
    log: bool

    def at(self, value: float) -> float | None:
        """The pixel of a value; None where it has none."""
        if not math.isfinite(value) or (self.log and value <= 0):
            return None
        place = math.log10(value) if self.log else value
        return self.first + (place - self.low) / (self.high - self.low) * (self.last - self.first)

    def holds(self, value: float) -> bool:
        """Whether it lies between both ends."""
        pixel = self.at(value)
        return pixel is not None and min(self.first, self.last) <= pixel <= max(self.first, self.last)


def axis_of(values: Sequence[float], first: float, last: float, *, log: bool, pad: float = 0.0) -> Axis:
    """An axis that holds all these values."""
    usable = [math.log10(v) if log else v for v in values if math.isfinite(v) and (v > 0 or not log)]
    low, high = (min(usable), max(usable)) if usable else (0.0, 1.0)
    if high - low < 1e-9 * max(1.0, abs(high)):
        low, high = low - 0.5, high + 0.5
    margin = pad * (high - low)
    return Axis(low - margin, high + margin, first, last, log)


def ticks_of(axis: Axis) -> list[float]:
    """Round values: powers of ten, 1-2-5 within them where there are few, else even steps."""
    if axis.log and axis.high - axis.low >= 2:
        every = math.ceil((axis.high - axis.low) / MOST_TICKS)
        powers = range(math.ceil(axis.low - 1e-9), math.floor(axis.high + 1e-9) + 1)
        return [10.0**power for power in powers if power % every == 0]
    if axis.log and axis.high - axis.low >= SHORT_LOG_RANGE:
        powers = range(math.floor(axis.low), math.ceil(axis.high) + 1)
        near = [factor * 10.0**power for power in powers for factor in (1, 2, 5)]
        return [value for value in near if axis.holds(value)]
    low, high = (10**axis.low, 10**axis.high) if axis.log else (axis.low, axis.high)
    step = 10.0 ** math.floor(math.log10((high - low) / MOST_TICKS))
    step *= next(factor for factor in (1, 2, 5, 10, 20) if (high - low) / (factor * step) <= MOST_TICKS)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    ticks = [multiple * step for multiple in range(first, last + 1)]
    return [tick for tick in ticks if tick > 0] if axis.log else ticks


@dataclass
class _Drawing:
    x: Axis
    y: Axis
    parts: list[str] = field(default_factory=list)

    def line(self, x1: float, y1: float, x2: float, y2: float, color: str, dashes: str = "") -> None:
        dashed = f' stroke-dasharray="{dashes}"' if dashes else ""
        self.parts.append(
            f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{color}"{dashed}/>'
        )

    def text(self, x: float, y: float, words: str, *, anchor: str = "start", color: str = PALE) -> None:
        place = f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{color}"'
        if color == MARK:  # curves may pass behind it
            self.parts.append(f"{place}{HALO}>{escape(words)}</text>")
        self.parts.append(f"{place}>{escape(words)}</text>")


def draw(chart: SvgChart) -> str:
    """The chart as a whole SVG element."""
    xs = [*(value for line in chart.lines for value in line.x), *(x for x, _ in chart.places)]
    values = [value for line in chart.lines for value in line.y if math.isfinite(value)]
    log_y = bool(values) and min(values) > 0
    ys = [*values, *(y for y, _ in chart.levels if y > 0 or not log_y)]
    drawing = _Drawing(
        axis_of(xs, LEFT, WIDTH - RIGHT, log=chart.log_x),
        axis_of(ys, HEIGHT - BOTTOM, TOP, log=log_y, pad=0.05),
    )
    _draw_grid(drawing)
    for line in chart.lines:
        _draw_line(drawing, line)
    _draw_marks(drawing, chart)
    _draw_words(drawing, chart)
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" '
            f'height="{HEIGHT}" role="img" font-family="sans-serif" font-size="12">',
            f"<title>{escape(chart.title)}</title>",
            f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#ffffff"/>',
            *drawing.parts,
            "</svg>\n",
        ]
    )


def _draw_grid(drawing: _Drawing) -> None:
    for value in ticks_of(drawing.x):
        x = drawing.x.at(value) or 0.0
        drawing.line(x, TOP, x, HEIGHT - BOTTOM, GRID)
        drawing.text(x, HEIGHT - BOTTOM + 16, _label(value), anchor="middle")
    for value in ticks_of(drawing.y):
        y = drawing.y.at(value) or 0.0
        drawing.line(LEFT, y, WIDTH - RIGHT, y, GRID)
        drawing.text(LEFT - 6, y + 4, _label(value), anchor="end")
    drawing.line(LEFT, TOP, LEFT, HEIGHT - BOTTOM, PALE)
    drawing.line(LEFT, HEIGHT - BOTTOM, WIDTH - RIGHT, HEIGHT - BOTTOM, PALE)


def _draw_marks(drawing: _Drawing, chart: SvgChart) -> None:
    """Levels and places, each with its name."""
    for value, name in chart.levels:
        if drawing.y.holds(value):
            y = drawing.y.at(value) or 0.0
            drawing.line(LEFT, y, WIDTH - RIGHT, y, MARK, "6 4")
            drawing.text(WIDTH - RIGHT - 4, y - 5, name, anchor="end", color=MARK)
    for row, (value, name) in enumerate(chart.places):
        if drawing.x.holds(value):
            x = drawing.x.at(value) or 0.0
            drawing.line(x, TOP, x, HEIGHT - BOTTOM, MARK, "2 3")
            left = x > WIDTH - RIGHT - 90
            at = x - 4 if left else x + 4
            drawing.text(at, TOP + 14 + 15 * row, name, anchor="end" if left else "start", color=MARK)


def _draw_line(drawing: _Drawing, line: SvgLine) -> None:
    pieces: list[list[tuple[float, float]]] = [[]]
    for value, height in zip(line.x, line.y, strict=True):
        x, y = drawing.x.at(value), drawing.y.at(height)
        if x is None or y is None:
            pieces.append([])
        else:
            pieces[-1].append((x, y))
    for piece in filter(None, pieces):
        if len(piece) == 1:
            ((x, y),) = piece
            drawing.parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="2.5" fill="{line.color}"/>')
            continue
        points = " ".join(f"{x:.1f},{y:.1f}" for x, y in piece)
        drawing.parts.append(
            f'<polyline points="{points}" fill="none" stroke="{line.color}" stroke-width="2" '
            'stroke-linejoin="round" stroke-linecap="round"/>'
        )


def _draw_words(drawing: _Drawing, chart: SvgChart) -> None:
    """Title, names of the axes, legend."""
    drawing.text(LEFT, 18, chart.title, color=INK)
    drawing.text(WIDTH - RIGHT, HEIGHT - 8, chart.x_name, anchor="end")
    drawing.text(LEFT - 6, TOP - 8, chart.y_name, anchor="end")
    right = WIDTH - RIGHT
    for line in reversed(chart.lines if len(chart.lines) > 1 else ()):
        drawing.text(right, 18, line.name, anchor="end", color=INK)
        right -= 7 * len(line.name) + 8  # wide enough for any common font
        drawing.parts.append(
            f'<line x1="{right - 18}" y1="14" x2="{right}" y2="14" stroke="{line.color}" stroke-width="3"/>'
        )
        right -= 34


def _label(value: float) -> str:
    """The shortest spelling: 0.02, 300, 1e-5."""
    text = f"{value:.6g}"
    if 0 < abs(value) < 1e-3 or abs(value) >= 1e5:
        mantissa, _, exponent = f"{value:.3e}".partition("e")
        text = f"{mantissa.rstrip('0').rstrip('.')}e{int(exponent)}"
    return text
