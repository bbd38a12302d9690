"""The last line: the keys that matter now; a key that does not fit is left out whole."""

from textual.content import Content
from textual.widget import Widget

Key = tuple[str, str]
"""A key as it is printed on the keyboard, and what it does in a word or two."""


def fit_keys(keys: list[Key], width: int) -> list[Key]:
    """The keys that fit into `width` cells; `keys` is ordered by importance."""
    fitting: list[Key] = []
    used = 0
    for key, words in keys:
        needed = len(key) + 1 + len(words) + (2 if fitting else 0)
        if used + needed <= width:
            fitting.append((key, words))
            used += needed
    return fitting


class KeyLine(Widget):
    """Shows keys; the app says which."""

    DEFAULT_CSS = "KeyLine { height: 1; }"

    def __init__(self) -> None:
        super().__init__(id="keys")
        self._keys: list[Key] = []

    def show(self, keys: list[Key]) -> None:
        """Show these keys, the most important first."""
        if keys != self._keys:
            self._keys = keys
            self.refresh()

    def render(self) -> Content:
        """The keys that fit, in the order given."""
        parts = [
            Content.assemble((key, "$accent bold"), " ", words)
            for key, words in fit_keys(self._keys, self.size.width - 2)
        ]
        return Content.assemble(" ", Content("  ").join(parts))
