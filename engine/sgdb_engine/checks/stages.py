"""The stages of the pre-flight by name, and how the outcome of each is told."""

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from sgdb_engine.checks.child import Outcome
from sgdb_engine.events import CheckStage, CheckStatus, Finding
from sgdb_engine.findings import data, losses, signals, wiring
from sgdb_engine.findings.facts import Data, Facts, OneBatch
from sgdb_engine.findings.judgement import judge
from sgdb_engine.findings.live import Live
from sgdb_engine.findings.optimisation import PASSED, has_failed, has_passed
from sgdb_engine.findings.rules import Rule, findings_of

if TYPE_CHECKING:
    from sgdb_engine.session import Engine


def _codes_of(rules: Sequence[Rule]) -> tuple[str, ...]:
    """A rule is called as what it finds."""
    return tuple(rule.__name__.replace("_", "-") for rule in rules)


STAGES = (
    "environment",
    "data",
    "wiring",
    "loss-at-init",
    "dependencies",
    "gradient-check",
    "first-steps",
    "overfit-one-batch",
    "rescue",
    "zero-input",
    "lr-range",
    "gradient-noise",
    "memory-and-time",
)
CODES: dict[str, tuple[str, ...]] = {
    "data": _codes_of(data.RULES),
    "wiring": _codes_of((*wiring.RULES, *losses.RULES)),
    "loss-at-init": ("init-loss",),
    "dependencies": ("input-ignored", "batch-leak", "future-leak"),
    "gradient-check": ("gradcheck",),
    "first-steps": (
        *_codes_of([rule for rule in signals.RULES if rule is not signals.init_loss]),
        *("weight-decay-high", "clip-too-low"),
    ),
    "overfit-one-batch": ("lr-low", "lr-high"),
    "rescue": ("cannot-overfit",),
    "lr-range": ("lr-high",),
    "gradient-noise": ("batch-too-small",),
    "memory-and-time": ("input-bound",),
}
"""Stage → the findings that it decides."""
SHOWN_LATER = frozenset(("overfit", "label-noise", "majority-only", "lr-collapsed", "loss-spike"))
"""What the first steps say too little of: a run tells it."""


class Stages:
    """Facts grow from stage to stage; a stage's verdict is that of its findings."""

    def __init__(self, engine: "Engine") -> None:
        self.facts = Facts()
        self._engine = engine
        self._live = Live(engine.found, SHOWN_LATER)

    def look(self) -> None:
        """Tells what is found in the facts so far."""
        self._live.look(self.facts)

    def begin(self, name: str) -> float:
        """It runs; returns when that was."""
        self._engine.stage(CheckStage(name=name, status="running"))
        return time.monotonic()

    def tell(
        self,
        name: str,
        status: CheckStatus,
        reason: str,
        started: float | None = None,
        **evidence: float | int | str,
    ) -> None:
        """How it ended: `started` is left out where it did not run."""
        seconds = 0.0 if started is None else round(time.monotonic() - started, 3)
        stage = CheckStage(name=name, status=status, reason=reason, seconds=seconds, evidence=evidence)
        self._engine.checked(stage)

    def judged(self, name: str, started: float, sound: str, **evidence: float | int | str) -> None:
        """The verdict of a stage is that of its findings."""
        self.look()
        mine = [f for f in self.found() if f.code in CODES[name] and f.severity != "info"]
        worst = _worst(mine)
        words = "; ".join(f.message for f in mine) or sound
        self.tell(name, worst, words, started, **evidence)

    def not_done(self, name: str, outcome: Outcome, started: float) -> bool:
        """Whether its experiment has no result; that is told then."""
        if outcome.result is not None:
            return False
        raised = outcome.told.get("raised")
        why = f"the script raised: {raised[0]}" if raised else outcome.failure
        self.tell(name, "inconclusive", why, started)
        return True

    def found(self) -> list[Finding]:
        """What the facts say so far, but for what is muted."""
        silent = self._engine.mute | SHOWN_LATER
        return [finding for finding in findings_of(self.facts) if finding.code not in silent]

    def judge_one(self, name: str, one: OneBatch, started: float) -> None:
        """The verdict on one batch; where the loss did not reach its floor it is its findings that accuse."""
        self.look()
        mine = [f for f in self.found() if f.code in CODES[name] and not f.cause]
        judgement = judge(one.losses, one.floor or 0.0, one.blind)
        status: CheckStatus = "pass" if has_passed(one) else judgement.status
        if one.floor is None:
            status = "pass" if has_passed(one) else "inconclusive"
        elif not mine and status == "fail":
            status = (
                "inconclusive"
                if name == "overfit-one-batch" and not has_failed(self.facts.rescue)
                else "warn"
            )
        elif mine:
            status = _worst(mine)
        reason = judgement.reason
        if status == "pass" and judgement.status != "pass" and one.accuracy == 1.0:
            reason = f"every target of the batch is predicted right, after {len(one.losses) - 1} steps"
        words = "; ".join([reason, *(f.message for f in mine)])
        evidence: dict[str, float | int | str] = {
            "start": one.losses[0],
            "end": one.losses[-1],
            "steps": len(one.losses) - 1,
        }
        if one.floor is not None:
            evidence |= {"floor": one.floor, "threshold": PASSED}
        self.tell(name, status, words, started, **evidence)


def _worst(found: Sequence[Finding]) -> CheckStatus:
    severities = {f.severity for f in found}
    return "fail" if "error" in severities else "warn" if "warning" in severities else "pass"


def duration(seconds: float) -> str:
    """In words."""
    return f"{seconds * 1e3:.3g} ms" if seconds < 1 else f"{seconds:.3g} s"


def words_of_data(d: Data) -> str:
    """What was seen of the examples."""
    if d.integer:
        return f"{d.rows} rows of integers"
    return f"{d.rows} rows, inputs from {d.low:.3g} to {d.high:.3g} (rms {d.rms:.3g})"
