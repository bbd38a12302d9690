"""Colours: from the xterm-256 cube, readable on their surface, and none needed to understand."""

import pytest
from rich.color import Color

from sgdb_tui.palette import LEVELS, THEMES, Palette, choose_palette
from sgdb_tui.plotting.cells import Ink, Paper

CUBE = {0, 95, 135, 175, 215, 255}
GREYS = {8 + 10 * step for step in range(24)}


def palette(*, dark: bool = True, sixteen: bool = False, no_color: bool = False) -> Palette:
    return choose_palette(dark=dark, sixteen=sixteen, no_color=no_color, ascii_only=False)


def in_256(color: Color) -> bool:
    red, green, blue = color.get_truecolor()
    return {red, green, blue} <= CUBE or (red == green == blue and red in GREYS)


def luminance(color: Color) -> float:
    def linear(channel: int) -> float:
        share = channel / 255
        return share / 12.92 if share <= 0.04045 else ((share + 0.055) / 1.055) ** 2.4

    red, green, blue = color.get_truecolor()
    return 0.2126 * linear(red) + 0.7152 * linear(green) + 0.0722 * linear(blue)


def contrast(one: Color, other: Color) -> float:
    """Contrast ratio after WCAG 2.1."""
    dark, light = sorted((luminance(one), luminance(other)))
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("dark", [True, False])
def test_all_colours_are_of_the_256_so_that_tmux_shows_the_same(dark: bool) -> None:
    chosen = palette(dark=dark)
    colors = [style.color for style in chosen.inks.values() if style.color]
    colors += [Color.parse(paper) for paper in chosen.papers.values()]
    assert all(in_256(color) for color in colors)


@pytest.mark.parametrize(("dark", "theme"), [(True, THEMES[0]), (False, THEMES[1])])
def test_text_and_curves_can_be_read_on_the_surface(dark: bool, theme: object) -> None:
    surface = Color.parse(str(theme.surface))  # type: ignore[attr-defined]
    inks = palette(dark=dark).inks
    ratios = {ink: contrast(inks[ink].color, surface) for ink in Ink if ink in inks and inks[ink].color}  # type: ignore[arg-type]
    assert all(ratios[ink] >= 4.5 for ink in (Ink.TEXT, Ink.STRONG, Ink.ERROR, Ink.DIM, Ink.WARNING))
    assert all(ratios[ink] >= 4.0 for ink in (Ink.TRAIN, Ink.VAL, Ink.THIRD, Ink.FOURTH))


@pytest.mark.parametrize("dark", [True, False])
def test_the_heat_map_has_a_colour_for_every_level_and_all_differ(dark: bool) -> None:
    papers = palette(dark=dark).papers
    assert len({papers[Paper.HEAT + level] for level in LEVELS}) == len(LEVELS)


def test_without_colours_no_style_has_any() -> None:
    chosen = palette(no_color=True)
    assert not any(style.color or style.bgcolor for style in chosen.inks.values())
    assert not chosen.backgrounds


def test_sixteen_colours_never_paint_behind_text() -> None:
    assert not palette(sixteen=True).backgrounds
