"""The head of a check: what it does, in the end what it has shown, what to mend first, and how to go on."""

from sgdb_engine.text import clean
from sgdb_tui.bridge import RunView
from sgdb_tui.preflight import STAGES, in_words, num_ended, running, verdict, worst
from sgdb_tui.widgets.finding_list import GLYPHS, advice_of, open_ones, words_of
from sgdb_tui.widgets.head import Head, Told, starting_told

_COLORS = {"error": "$error", "warning": "$warning", "info": ""}


class Verdict(Head):
    """Of a check."""

    def __init__(self) -> None:
        super().__init__(id="verdict")

    def show(self, view: RunView, *, insisted: bool = False) -> None:
        """Show how the check stands; `insisted`: its user has asked for the run once, in spite of the verdict."""
        self.tell(_ended(view, insisted) if view.ended else _under_way(view))


def _under_way(view: RunView) -> Told:
    stages = list(view.stages.values())
    stage = running(stages)
    if not stages:
        return starting_told(view)
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
