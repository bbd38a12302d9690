"""The verdict of a check, in one word with its reason, and how far the loss still is from passing."""

import math

from textual.content import Content
from textual.widget import Widget

from sgdb_engine.events import CheckStage, CheckStatus
from sgdb_engine.text import clean
from sgdb_tui.bridge import RunView
from sgdb_tui.formatting import number, percent
from sgdb_tui.widgets.findings import wrap_words

STATUS_LOOK: dict[CheckStatus, tuple[str, str]] = {
    "running": ("● RUNNING", "$primary"),
    "pass": ("✓ PASS", "$success"),
    "warn": ("△ WARNING", "$warning"),
    "inconclusive": ("△ INCONCLUSIVE", "$warning"),
    "fail": ("✗ FAIL", "$error"),
    "skipped": ("○ SKIPPED", ""),
}
_WORST_FIRST: tuple[CheckStatus, ...] = ("running", "fail", "inconclusive", "warn", "pass", "skipped")
_NEAR_ZERO = 0.01
_REASON_LINES = 4
_PASSES_BELOW = 0.1
_GROWN = 1.5
"""From here on the loss has not fallen but grown, noise aside."""


def verdict(stages: list[CheckStage]) -> CheckStage | None:
    """The stage that decides: the one that runs, else the worst."""
    return min(stages, key=lambda stage: _WORST_FIRST.index(stage.status), default=None)


def excess_bar(excess: float, threshold: float, width: int) -> str:
    """How far the excess has fallen on a log axis, from 1 at the left to near zero; `│` is the threshold."""
    cells = max(4, width)
    place = round(_fallen(excess) * cells)
    bar = ["━" if cell < place else "─" for cell in range(cells)]
    bar[min(cells - 1, round(_fallen(threshold) * cells))] = "│"
    return "".join(bar)


def _fallen(excess: float) -> float:
    if not math.isfinite(excess):
        return 0.0
    return min(1.0, max(0.0, math.log(max(excess, 1e-12)) / math.log(_NEAR_ZERO)))


class Verdict(Widget):
    """The stage and how it stands, the reason, the way still to go."""

    DEFAULT_CSS = "Verdict { height: auto; max-height: 7; }"

    def __init__(self) -> None:
        super().__init__(id="verdict")
        self._stage: CheckStage | None = None
        self._excess: float | None = None

    def show(self, view: RunView) -> None:
        """Show how the check stands."""
        stage = verdict(list(view.stages.values()))
        point = view.history.last("check/excess")
        excess = point.value if point else None
        if (stage, excess) != (self._stage, self._excess):
            self._stage, self._excess = stage, excess
            self.refresh(layout=True)

    def render(self) -> Content:
        """Word and stage, the reason, the excess."""
        stage = self._stage
        if stage is None:
            return Content("The check has not begun yet.")
        word, color = STATUS_LOOK[stage.status]
        width = max(1, self.size.width)
        name = clean(stage.name).replace("-", " ")
        lines = [Content.styled(f" {word}  {name}", f"bold {color}")]
        reason = clean(stage.reason, 1000) or _waiting_words(stage)
        reason = reason[:1].upper() + reason[1:]
        lines.extend(Content(f" {line}") for line in wrap_words(reason, width - 2, _REASON_LINES))
        if self._excess is not None:
            lines.append(self._excess_line(self._excess, stage, width))
        return Content("\n").join([line.truncate(width, ellipsis=True) for line in lines])

    def _excess_line(self, excess: float, stage: CheckStage, width: int) -> Content:
        threshold = stage.evidence.get("threshold", _PASSES_BELOW)
        threshold = float(threshold) if isinstance(threshold, int | float) else _PASSES_BELOW
        if not excess <= _GROWN:
            grown = f"{number(excess)} times" if math.isfinite(excess) else "out of all bounds"
            return Content(f" The loss above its floor has grown {grown}.")
        words = f" {percent(excess)} of the loss above its floor is left; passes below {percent(threshold)}  "
        return Content.assemble(
            words, (excess_bar(excess, threshold, min(40, width - len(words))), "$primary")
        )


def _waiting_words(stage: CheckStage) -> str:
    if stage.name == "overfit-one-batch":
        return (
            "One batch, held still, over and over: a model that cannot learn it by heart is wired up wrongly."
        )
    return "It runs."
