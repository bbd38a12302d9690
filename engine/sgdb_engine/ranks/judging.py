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
_ORDER = ("starting", "between steps", "data", "forward", "backward", "after backward", "optimizer")
"""Phases as they follow one another within a step."""


class Judgement(NamedTuple):
    """What is to be said of the ranks, and which one it is about."""

    severity: Literal["error", "warning", ""]
    text: str
    rank: int | None = None


def hangs(still_s: float, step_s: float | None) -> bool:
    """Whether a rank that came on so long ago hangs."""
    return still_s > max(HANGS_S, HANGS_STEPS * (step_s or 0.0))


def judge(ranks: Sequence[RankStatus]) -> Judgement:
    """The gravest that is to be said."""
    return _gone(ranks) or _hanging(ranks) or _straggling(ranks) or Judgement("", "")


def who_failed(ranks: Sequence[RankStatus]) -> str:
    """The rank that failed first, in words: the others do of it. Empty where none failed."""
    gone = _gone(ranks)
    return gone.text if gone else ""


def _gone(ranks: Sequence[RankStatus]) -> Judgement | None:
    for each in ranks:
        if each.state not in ENDED and not lives(each):
            text = f"rank {each.rank} is gone since step {each.step}: killed, or out of memory"
            return Judgement("error", text, each.rank)
    failed = min((each for each in ranks if each.state == "failed"), key=lambda each: each.wall, default=None)
    return Judgement("error", f"rank {failed.rank} failed: {failed.message}", failed.rank) if failed else None


def _hanging(ranks: Sequence[RankStatus]) -> Judgement | None:
    still = [each for each in ranks if each.state == "running" and hangs(each.still_s, each.step_s)]
    if not still:
        return None
    behind = min(still, key=_progress)
    if len(still) > 1 and all(_progress(each) == _progress(behind) for each in still):
        return Judgement(
            "warning", f"all ranks have stood still for {behind.still_s:.0f} s in {behind.phase}"
        )
    where = behind.where or behind.phase
    waiting = [each for each in still if each is not behind]
    seen = f"; {_names(waiting)} in {waiting[0].phase}" if waiting else ""
    text = f"rank {behind.rank} has stood still for {behind.still_s:.0f} s in {where}{seen}"
    return Judgement("warning", text, behind.rank)


def _progress(status: RankStatus) -> tuple[int, int]:
    """How far it is; a collective that a script calls itself may stand anywhere."""
    return status.step, _ORDER.index(status.phase) if status.phase in _ORDER else 0


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
