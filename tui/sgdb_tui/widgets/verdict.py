"""The head of a check: what it does, in the end what it has shown, what to mend first, and how to go on."""

from dataclasses import dataclass

from textual.content import Content
from textual.widget import Widget

from sgdb_engine.text import clean
from sgdb_tui.bridge import RunView
from sgdb_tui.formatting import duration
from sgdb_tui.preflight import STAGES, in_words, num_ended, running, verdict, worst
from sgdb_tui.widgets.finding_list import GLYPHS, advice_of, open_ones, words_of, wrap_words

_COLORS = {"error": "$error", "warning": "$warning", "info": ""}
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
    """What is done, or what to try."""
    hint: str = ""
    """Which key to press."""


class Verdict(Widget):
    """What matters most, in a few lines."""

    DEFAULT_CSS = "Verdict { height: auto; max-height: 8; }"

    def __init__(self) -> None:
        super().__init__(id="verdict")
        self._told = Told("○", "", "")

    def show(self, view: RunView, *, insisted: bool = False) -> None:
        """Show how the check stands; `insisted`: its user has asked for the run once, in spite of the verdict."""
        told = _ended(view, insisted) if view.ended else _under_way(view)
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
        if told.more:
            lines += [Content(f"   {line}") for line in wrap_words(told.more, width - 4, most)]
        if told.hint:
            lines += [
                Content.styled(f"   {line}", "$accent") for line in wrap_words(told.hint, width - 4, most)
            ]
        return Content("\n").join([line.truncate(width, ellipsis=True) for line in lines])


def _under_way(view: RunView) -> Told:
    stages = list(view.stages.values())
    stage = running(stages)
    if not stages:
        doing = clean((view.status.message if view.status else "") or "starting the engine", 200)
        patience = "The first import of torch from a slow disk can take a minute. q leaves."
        late = view.elapsed_s > _PATIENCE_S
        return Told("○", f"{doing} … {duration(view.elapsed_s)}", "$primary", patience if late else "")
    done = f"{num_ended(stages)} of {max(len(STAGES), len(stages))}"
    if stage is None:
        return Told("●", f"{done}: on to the next stage", "$primary", _first_words(view))
    name = clean(stage.name, 40)
    question = f"{in_words(name)}: {STAGES.get(name, '')}".strip(": ")
    return Told("●", f"{done} done, now {question}", "$primary", _first_words(view))


def _first_words(view: RunView) -> str:
    """What is found first so far."""
    found = open_ones(list(view.findings.values()))
    return f"{GLYPHS[found[0].severity]} {words_of(found[0])}" if found else ""


def _ended(view: RunView, insisted: bool) -> Told:
    outcome = verdict(view)
    found = open_ones(list(view.findings.values()))
    hint = _hint(outcome == "pass" or outcome == "warn", insisted, len(found))
    if view.state == "failed":
        error = view.failure.error.strip().splitlines() if view.failure else []
        words = f"The script raised {clean(error[0], 500)}" if error else "The script failed"
        return Told("✗", words, "$error", "Its traceback is in the log.", hint)
    if outcome is None:
        return Told("✗", "The check ended before its verdict: nothing is proven.", "$error", "", hint)
    if found and not (outcome == "pass" or found[0].severity == "info"):
        first = found[0]
        return Told(GLYPHS[first.severity], words_of(first), _COLORS[first.severity], advice_of(first), hint)
    return _without_findings(view, hint)


def _without_findings(view: RunView, hint: str) -> Told:
    """The stages say it all."""
    stages = list(view.stages.values())
    shown = worst(stages)
    if shown is None:
        return Told("△", "No stage of the check was reached.", "$warning", "", hint)
    if shown.status in ("fail", "warn", "inconclusive"):
        sign, color = ("✗", "$error") if shown.status == "fail" else ("△", "$warning")
        words = f"{in_words(clean(shown.name))}: {clean(shown.reason, 500)}"
        return Told(sign, words[:1].upper() + words[1:], color, "", hint)
    skipped = sum(stage.status == "skipped" for stage in stages)
    left = f"; {skipped} skipped" if skipped else ""
    passed = len(stages) - skipped
    return Told("✓", f"{passed} stages passed{left}. Nothing stands against a run.", "$success", "", hint)


def _hint(sound: bool, insisted: bool, num_findings: int) -> str:
    more = f"  +{num_findings - 1} more: 5" if num_findings > 1 else ""
    if sound:
        return f"Press Enter to start the run.{more}"
    if insisted:
        return f"Press Enter once more to run it anyway.{more}"
    return f"Mend this first and check again; Enter twice runs it anyway.{more}"
