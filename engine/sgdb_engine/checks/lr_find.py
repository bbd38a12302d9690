"""`sgdb lr-find`: the range test over the rates that its user wants, and what it comes to."""

import time
from pathlib import Path
from typing import TYPE_CHECKING

from sgdb_engine.checks.child import Outcome
from sgdb_engine.checks.experiment import Setting
from sgdb_engine.checks.lr_curve import read
from sgdb_engine.checks.lr_range import WholeSweep, recorded
from sgdb_engine.checks.lr_words import Swept, suggestions, verdict
from sgdb_engine.checks.trials import NO_MODEL, Trials
from sgdb_engine.config.records import OverfitBudget
from sgdb_engine.ending import End
from sgdb_engine.events import CheckStage, CheckStatus, RatesSwept
from sgdb_engine.launch import Order

if TYPE_CHECKING:
    from sgdb_engine.observe.observer import Observer
    from sgdb_engine.session import Engine

NAME = "lr-find"
OVERRIDDEN = (
    "Something changes the learning rate between two updates, as a schedule does: the sweep's own rate is set in each "
    "update all the same. What is suggested is the full rate, which a schedule starts from or warms up to"
)


class LrFind:
    """One sweep at the first update of a training; then that goes no further."""

    def __init__(self, engine: "Engine", order: Order, scratch: Path) -> None:
        """Makes one that has not begun. The arguments are those of Trials."""
        self._engine, self._order = engine, order
        self._trials = Trials(engine, order, scratch)
        self._started = time.monotonic()
        self._tried = 0

    def pass_through(self, observer: "Observer") -> None:
        """The safe point of the script. Returns in children only."""
        self._trials.carry_out(lambda: self._run(observer))

    def script_ended(self, end: End) -> None:
        """The script is over; in a child so is the sweep."""
        self._trials.script_ended(end)

    def _run(self, observer: "Observer") -> None:
        self._engine.stage(CheckStage(name=NAME, status="running"))
        setting = self._trials.setting(observer, OverfitBudget())
        if setting is None:
            self._tell("inconclusive", NO_MODEL)
            return
        outcome = self._trials.do(WholeSweep, setting, recorded(self._engine.recorder, self._told))
        self._conclude(outcome, setting)

    def _told(self, rate: float, loss: float) -> None:
        self._tried += 1
        self._engine.doing = (
            f"rate {self._tried} of {self._order.rates.steps}: lr {rate:.2g}, loss {loss:.4g}"
        )

    def _conclude(self, outcome: Outcome, setting: Setting) -> None:
        points = [tuple(map(float, point)) for point in outcome.told.get("point", ())]
        rates, losses = [rate for rate, _, _ in points], [loss for _, loss, _ in points]
        found = outcome.result or {}
        raised = next(iter(outcome.told.get("raised", ())), "")
        if not points:
            self._tell("inconclusive", self._why_nothing(outcome, raised))
            return
        if found.get("overridden"):
            self._engine.note(OVERRIDDEN)
        said = read(rates, losses, setting.loss)
        swept = Swept(
            rates=rates,
            before=setting.loss,
            ended=found.get("ended", "script"),
            raised=raised or outcome.failure,
        )
        status, words = verdict(swept, said, self._order)
        use = (
            suggestions(said, self._order, _places(setting), found.get("groups", ()))
            if status in ("pass", "warn")
            else ()
        )
        self._engine.recorder.event(
            RatesSwept(
                rates=tuple(rates),
                losses=tuple(losses),
                smoothed=said.smoothed,
                lowest=said.lowest,
                diverged=said.diverged,
                suggestions=use,
            )
        )
        self._tell(status, words, **{each.rule: each.value for each in use})

    def _why_nothing(self, outcome: Outcome, raised: str) -> str:
        if raised:
            return f"the script raised {raised} in its second update"
        if outcome.failure:
            return outcome.failure
        return "the script made one update only: let it train longer, with more epochs or more data"

    def _tell(self, status: CheckStatus, reason: str, **evidence: float) -> None:
        seconds = round(time.monotonic() - self._started, 3)
        self._engine.checked(
            CheckStage(name=NAME, status=status, reason=reason, seconds=seconds, evidence=dict(evidence))
        )


def _places(setting: Setting) -> list[str]:
    """Where the optimizers are made."""
    wiring = setting.witness.facts().wiring
    made = [optimizer.location for optimizer in wiring.optimizers] if wiring is not None else []
    return list(dict.fromkeys(place for place in made if place is not None))
