"""The looks: dark and light from the xterm-256 cube, and one for terminals of 16 colours."""

from textual.theme import Theme

from sgdb_tui.palette import THEMES as CUBE_THEMES

SIXTEEN = Theme(
    name="sgdb-ansi",
    primary="ansi_bright_blue",
    secondary="ansi_cyan",
    accent="ansi_yellow",
    warning="ansi_yellow",
    error="ansi_bright_red",
    success="ansi_green",
    foreground="ansi_default",
    background="ansi_default",
    surface="ansi_default",
    panel="ansi_default",
    boost="ansi_default",
    ansi=True,
    variables={"ansi-background": "ansi_black", "ansi-foreground": "ansi_white"},
)
THEMES: tuple[Theme, ...] = (*CUBE_THEMES, SIXTEEN)
SHORT_NAMES = {"dark": "sgdb-dark", "light": "sgdb-light", "ansi": SIXTEEN.name}
"""What a user may write for --theme, beside the full names."""


def theme_for(color_system: str | None) -> str:
    """The theme that a terminal of this colour system can show."""
    return SIXTEEN.name if color_system in ("standard", "windows") else SHORT_NAMES["dark"]
