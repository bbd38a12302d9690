"""The help: every key, and how to read the panel that has the focus."""

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Static

from sgdb_tui.keys import ALL_KEYS, Groups, Key

_SIGNS = (
    ("×", "NaN or infinite values at that step, in red below a curve or in the map."),
    ("◆ ▸ ▲", "A checkpoint, a command, a finding, below a curve."),
    ("update/weight", "Size of an update against the size of the weight; about 1e-3 is usual."),
    ("data wait", "Share of the step time in which the training waited for its data."),
    ("sgdb", "Share of the step time that sgdb itself takes."),
)


class Help(ModalScreen[None]):
    """Keys and signs; any of esc, q, ? closes it."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q,question_mark", "dismiss", "Close the help", id="help.close"),
    ]

    def __init__(self, panel_title: str, panel_help: str, groups: Groups) -> None:
        super().__init__()
        self._groups = groups
        self._panel_title = panel_title
        self._panel_help = panel_help

    def compose(self) -> ComposeResult:
        with VerticalScroll(id="help"):
            if self._panel_help:
                yield Static(_heading(self._panel_title), markup=False)
                yield Static(Content(_plain(self._panel_help)), classes="text", markup=False)
            for title, keys in self._groups:
                yield Static(_heading(title), markup=False)
                yield Static(_key_table(keys), classes="text", markup=False)
            yield Static(_heading("Signs"), markup=False)
            yield Static(_table(_SIGNS), classes="text", markup=False)

    def on_mount(self) -> None:
        self.query_one("#help").focus()


def _plain(markdown: str) -> str:
    """The few words of a panel's help, one paragraph a line, without its backticks."""
    paragraphs = markdown.replace("`", "").strip().split("\n\n")
    return "\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)


def _heading(text: str) -> Content:
    return Content.styled(text, "bold $accent")


def _key_table(keys: tuple[Key, ...]) -> Content:
    if keys[0].id.startswith("panel."):
        numbered = [("1–9", "Go to a panel; the same number again: as large as it gets")]
        return _table([*numbered, *((key.face, key.sentence) for key in keys if not key.face.isdigit())])
    return _table([(key.face, key.sentence) for key in keys])


def _table(rows: list[tuple[str, str]] | tuple[tuple[str, str], ...]) -> Content:
    width = max(max(len(face) for face, _ in rows), max(len(key.face) for key in ALL_KEYS))
    lines = [Content.assemble((face.ljust(width), "bold"), "  ", words) for face, words in rows]
    return Content("\n").join(lines)
