"""What matters most, in a few lines above the panels."""

from dataclasses import dataclass

from textual.content import Content
from textual.widget import Widget

from sgdb_engine.text import clean
from sgdb_tui.bridge import RunView
from sgdb_tui.formatting import duration
from sgdb_tui.widgets.finding_list import wrap_words

_PATIENCE_S = 15
_FEW_ROWS = 32
_LINES, _LINES_OF_FEW = 3, 2
"""Of each of the statements at most."""


@dataclass(frozen=True, slots=True)
class Told:
    """What stands in the head."""

    sign: str
    words: str
    color: str
    more: str = ""
    """What is done, or what to try; a statement a line."""
    hint: str = ""
    """Which key to press."""


class Head(Widget):
    """Some statements."""

    DEFAULT_CSS = "Head { height: auto; max-height: 8; }"

    def __init__(self, *, id: str) -> None:  # noqa: A002 - Textual's name
        super().__init__(id=id)
        self._told = Told("○", "", "")

    def tell(self, told: Told) -> None:
        """Show this."""
        if told != self._told:
            self._told = told
            self.refresh(layout=True)

    def render(self) -> Content:
        """The statement, what to try, the key."""
        told, width = self._told, max(4, self.size.width)
        most = _LINES_OF_FEW if self.screen.size.height < _FEW_ROWS else _LINES
        first, *rest = wrap_words(told.words, width - 4, most)
        lines = [Content.styled(f" {told.sign} {first}", f"bold {told.color}".strip())]
        lines += [Content.styled(f"   {line}", f"bold {told.color}".strip()) for line in rest]
        for statement in told.more.splitlines():
            lines += [Content(f"   {line}") for line in wrap_words(statement, width - 4, most)]
        if told.hint:
            lines += [
                Content.styled(f"   {line}", "$accent") for line in wrap_words(told.hint, width - 4, most)
            ]
        return Content("\n").join([line.truncate(width, ellipsis=True) for line in lines])


def starting_told(view: RunView) -> Told:
    """Before there is anything to see."""
    doing = clean((view.status.message if view.status else "") or "starting the engine", 200)
    patience = "The first import of torch from a slow disk can take a minute. q leaves."
    late = view.elapsed_s > _PATIENCE_S
    return Told("○", f"{doing} … {duration(view.elapsed_s)}", "$primary", patience if late else "")
