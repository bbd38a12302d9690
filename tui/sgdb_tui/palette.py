"""Colours from the xterm-256 cube, so that 256-colour terminals show what true-colour ones do."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache

from rich.style import Style
from textual.theme import Theme

from sgdb_tui.plotting.cells import CLASSES, PIXEL, Ink, Paper
from sgdb_tui.plotting.thumbnails import color_of

LEVELS = range(-5, 6)
"""Levels of the heat map: below, at and above the median."""


@dataclass(frozen=True, eq=False)
class Palette:
    """What roles look like on one kind of terminal."""

    inks: Mapping[int, Style]
    papers: Mapping[int, str]
    """Background colours; empty where backgrounds would hide the text."""
    unicode: bool = True
    """False: printable ASCII only."""
    colored: bool = True
    """False: letters must tell the curves apart."""

    @property
    def backgrounds(self) -> bool:
        """Whether areas can be painted with background colours."""
        return bool(self.papers)

    def style(self, ink: int, paper: int = Paper.SURFACE) -> Style:
        """The style of a cell; the surface is left to the widget's own background."""
        style = Style(color=color_of(ink - PIXEL)) if ink >= PIXEL else self.inks.get(ink, Style.null())
        background = color_of(paper - PIXEL) if paper >= PIXEL else self.papers.get(paper)
        return style + Style(bgcolor=background) if background else style


def _inks(colors: Mapping[Ink, str], heat: Mapping[int, str]) -> dict[int, Style]:
    bold = {Ink.STRONG, Ink.ERROR}
    inks = {int(ink): Style(color=color, bold=ink in bold or None) for ink, color in colors.items()}
    return inks | {Ink.HEAT + level: Style(color=color) for level, color in heat.items()}


def _classes(regions: Sequence[str], examples: Sequence[str]) -> dict[int, Style]:
    inks = {Ink.REGION + k: Style(color=regions[k]) for k in range(CLASSES)}
    return inks | {Ink.CLASS + k: Style(color=examples[k], bold=True) for k in range(CLASSES)}


def _painted(
    colors: Mapping[Ink, str],
    heat: Mapping[int, str],
    regions: Sequence[str],
    examples: Sequence[str],
    *,
    band: str,
    cursor: str,
) -> Palette:
    papers = {int(Paper.BAND): band, int(Paper.CURSOR): cursor}
    papers |= {Paper.HEAT + level: color for level, color in heat.items()}
    papers |= {Paper.REGION + k: regions[k] for k in range(CLASSES)}
    return Palette(_inks(colors, heat) | _classes(regions, examples), papers)


_DARK_HEAT = dict(
    zip(
        LEVELS,
        (
            *("#afffff", "#87d7ff", "#5fafd7", "#0087af", "#005f87", "#303030"),
            *("#875f00", "#af5f00", "#d78700", "#ffaf00", "#ffd787"),
        ),
        strict=True,
    )
)
_LIGHT_HEAT = dict(
    zip(
        LEVELS,
        (
            *("#00005f", "#005faf", "#5f87d7", "#87afff", "#afd7ff", "#e4e4e4"),
            *("#ffd7af", "#ffaf5f", "#ff8700", "#af5f00", "#870000"),
        ),
        strict=True,
    )
)
_DEEP = ("#005f87", "#875f00", "#005f00", "#5f005f", "#005f5f", "#870000", "#585858", "#5f5f00")
_PALE = ("#afd7ff", "#ffd7af", "#afffaf", "#ffd7ff", "#afffff", "#ffafaf", "#d0d0d0", "#ffffaf")
"""Of the classes, in their order: regions on dark ground and examples on light, and the reverse."""
_DARK = _painted(
    {
        Ink.TEXT: "#d0d0d0",
        Ink.DIM: "#8a8a8a",
        Ink.PLANNED: "#767676",
        Ink.GRID: "#444444",
        Ink.BAND: "#303030",
        Ink.TRAIN: "#5fafff",
        Ink.VAL: "#ffaf5f",
        Ink.THIRD: "#87d787",
        Ink.FOURTH: "#d787d7",
        Ink.ERROR: "#ff5f5f",
        Ink.WARNING: "#ffd75f",
        Ink.GOOD: "#87d787",
        Ink.EVENT: "#5f87af",
        Ink.FOCUS: "#ffaf00",
        Ink.STRONG: "#eeeeee",
        Ink.SURFACE: "#1c1c1c",
    },
    _DARK_HEAT,
    _DEEP,
    _PALE,
    band="#303030",
    cursor="#005f87",
)
_LIGHT = _painted(
    {
        Ink.TEXT: "#303030",
        Ink.DIM: "#626262",
        Ink.PLANNED: "#8a8a8a",
        Ink.GRID: "#bcbcbc",
        Ink.BAND: "#dadada",
        Ink.TRAIN: "#005faf",
        Ink.VAL: "#af5f00",
        Ink.THIRD: "#008700",
        Ink.FOURTH: "#87005f",
        Ink.ERROR: "#af0000",
        Ink.WARNING: "#875f00",
        Ink.GOOD: "#005f00",
        Ink.EVENT: "#5f87af",
        Ink.FOCUS: "#d75f00",
        Ink.STRONG: "#000000",
        Ink.SURFACE: "#eeeeee",
    },
    _LIGHT_HEAT,
    _PALE,
    _DEEP,
    band="#dadada",
    cursor="#afd7ff",
)
_SIXTEEN_CLASSES = ("bright_blue", "yellow", "green", "magenta", "cyan", "red", "default", "bright_black")
_SIXTEEN = Palette(
    _inks(
        {
            Ink.DIM: "bright_black",
            Ink.PLANNED: "bright_black",
            Ink.GRID: "bright_black",
            Ink.BAND: "bright_black",
            Ink.TRAIN: "bright_blue",
            Ink.VAL: "yellow",
            Ink.THIRD: "green",
            Ink.FOURTH: "magenta",
            Ink.ERROR: "red",
            Ink.WARNING: "yellow",
            Ink.GOOD: "green",
            Ink.EVENT: "cyan",
            Ink.FOCUS: "yellow",
            Ink.STRONG: "default",
        },
        {level: "cyan" if level < 0 else "yellow" if level > 0 else "bright_black" for level in LEVELS},
    )
    | _classes(_SIXTEEN_CLASSES, _SIXTEEN_CLASSES),
    {},
)
_COLOURLESS = Palette(
    {
        Ink.STRONG: Style(bold=True),
        Ink.ERROR: Style(bold=True),
        Ink.WARNING: Style(bold=True),
        Ink.GRID: Style(dim=True),
        Ink.BAND: Style(dim=True),
        Ink.DIM: Style(dim=True),
        **{Ink.REGION + k: Style(dim=True) for k in range(CLASSES)},
        **{Ink.CLASS + k: Style(bold=True) for k in range(CLASSES)},
    },
    {},
    colored=False,
)


@cache
def choose_palette(*, dark: bool, sixteen: bool, no_color: bool, ascii_only: bool) -> Palette:
    """The palette of a terminal; one object per choice, so that it can be compared by identity."""
    palette = _COLOURLESS if no_color else _SIXTEEN if sixteen else _DARK if dark else _LIGHT
    papers = {} if ascii_only else palette.papers
    return Palette(palette.inks, papers, unicode=not ascii_only, colored=palette.colored)


THEMES: tuple[Theme, ...] = (
    Theme(
        name="sgdb-dark",
        primary="#5fafff",
        secondary="#ffaf5f",
        accent="#ffaf00",
        warning="#ffd75f",
        error="#ff5f5f",
        success="#87d787",
        foreground="#d0d0d0",
        background="#121212",
        surface="#1c1c1c",
        panel="#303030",
        dark=True,
    ),
    Theme(
        name="sgdb-light",
        primary="#005faf",
        secondary="#af5f00",
        accent="#d75f00",
        warning="#875f00",
        error="#af0000",
        success="#005f00",
        foreground="#303030",
        background="#d0d0d0",
        surface="#eeeeee",
        panel="#dadada",
        dark=False,
    ),
)
