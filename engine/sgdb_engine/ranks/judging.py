"""How several ranks stand to one another, in words: who is gone, who hangs, who keeps the others waiting."""

import statistics
from collections.abc import Sequence
from typing import Literal, NamedTuple

from sgdb_engine.events import ENDED
from sgdb_engine.ranks.standing import RankStatus, lives

HANGS_S = 30.0
HANGS_STEPS = 10
"""A rank hangs that is still for longer than both this time and so many steps: before the watchdog of a communication
library ends it, after ten minutes with NCCL."""
STRAGGLES = 0.1
"""Share of the step time by which the own work of one rank exceeds that of the others: they wait for it."""


class Judgement(NamedTuple):
    """What is to be said of the ranks, and which one it is about."""

    severity: Literal["error", "warning", ""]
    text: str
    rank: int | None = None


class Failure(NamedTuple):
    """What went wrong first: the others fail of it."""

    wall: float
    """When; of a rank that is gone without a word, when it was last seen."""
    rank: int
    text: str


def hangs(still_s: float, step_s: float | None) -> bool:
    """Whether a rank that came on so long ago hangs."""
    return still_s > max(HANGS_S, HANGS_STEPS * (step_s or 0.0))


def judge(ranks: Sequence[RankStatus]) -> Judgement:
    """The gravest that is to be said."""
    failure = first_failure(ranks)
    if failure is not None:
        return Judgement("error", failure.text, failure.rank)
    return _hanging(ranks) or _straggling(ranks) or Judgement("", "")


def first_failure(ranks: Sequence[RankStatus]) -> Failure | None:
    """None where no rank failed, and all that have not ended are there."""
    failures = []
    for each in ranks:
        if each.state == "failed":
            failures.append(Failure(each.wall, each.rank, f"rank {each.rank} failed: {each.message}"))
        elif each.state not in ENDED and not lives(each):
            text = f"rank {each.rank} is gone since step {each.step}: killed, or out of memory"
            failures.append(Failure(each.wall, each.rank, text))
    return min(failures, default=None)


def _hanging(ranks: Sequence[RankStatus]) -> Judgement | None:
    """Of those that stand still the one that waits for nobody, or is furthest behind, keeps the others."""
    still = [e for e in ranks if e.state == "running" and e.step > 0 and hangs(e.still_s, e.step_s)]
    if not still:
        return None
    behind = min(still, key=lambda each: (each.waits, each.step))
    if behind.waits and len(still) < len(ranks):
        return _waiting_for(ranks, still)
    if len(still) > 1 and all((e.waits, e.step) == (behind.waits, behind.step) for e in still):
        return Judgement(
            "warning", f"all ranks have stood still for {behind.still_s:.0f} s in {behind.phase}"
        )
    where = behind.where or behind.phase
    waiting = [each for each in still if each is not behind]
    seen = f"; {_names(waiting)} in {waiting[0].phase}" if waiting else ""
    text = f"rank {behind.rank} has stood still for {behind.still_s:.0f} s in {where}{seen}"
    return Judgement("warning", text, behind.rank)


def _waiting_for(ranks: Sequence[RankStatus], still: Sequence[RankStatus]) -> Judgement | None:
    """All that stand still wait. For one that has ended they wait in vain; one that is busy may be validating."""
    ended = [each for each in ranks if each.state in ENDED]
    if not ended:
        return None
    first = min(ended, key=lambda each: each.wall)
    text = f"rank {first.rank} has ended after step {first.step}; {_names(still)} for it in {still[0].phase}"
    return Judgement("warning", text, first.rank)


def _names(ranks: Sequence[RankStatus]) -> str:
    if len(ranks) == 1:
        return f"rank {ranks[0].rank} waits"
    return f"{len(ranks)} others wait"


def _straggling(ranks: Sequence[RankStatus]) -> Judgement | None:
    known = [(each.own_s, each) for each in ranks if each.own_s is not None and each.state == "running"]
    if len(known) < 2:
        return None
    slowest, status = max(known, key=lambda pair: pair[0])
    usual = statistics.median(own for own, each in known if each is not status)
    if slowest - usual < STRAGGLES * (status.step_s or slowest):
        return None
    text = f"rank {status.rank} keeps the others waiting: it works {_ms(slowest)} a step, they {_ms(usual)}"
    return Judgement("warning", text, status.rank)


def _ms(seconds: float) -> str:
    return f"{seconds * 1e3:.3g} ms" if seconds < 1 else f"{seconds:.3g} s"
