"""What a sweep of learning rates comes to, in words, and how its suggestions are used."""

import math
import shlex
from collections.abc import Sequence
from dataclasses import dataclass

from sgdb_engine.checks.lr_curve import Read
from sgdb_engine.events import CheckStatus, Suggestion
from sgdb_engine.launch import Order

LEAST_SHARE = 0.25
"""Of the rates that must have been tried before a sweep says anything."""
AT_THE_END = 0.95
"""Share of the rates beyond which the lowest place is the end of the sweep, not that of the loss."""
OPTIONS = ("--lr", "--learning-rate", "--learning_rate", "-lr")
"""By which scripts are given their rate."""
MOST_GROUPS, MOST_PLACES = 6, 3
"""Whose rates are told one by one, and where optimizers are made."""


@dataclass(frozen=True, kw_only=True)
class Swept:
    """How a sweep went."""

    rates: Sequence[float]
    """That were tried."""
    before: float
    """The loss before the first."""
    ended: str
    """What ended it: "script", "diverged", "steps" or "no update"."""
    raised: str = ""
    """What the script raised; empty where it did not."""


def verdict(swept: Swept, said: Read, order: Order) -> tuple[CheckStatus, str]:
    """What it is worth, and why."""
    wanted, tried = order.rates, len(swept.rates)
    check = f"`{_command(order, 'check')}` looks for the cause"
    if not math.isfinite(swept.before):
        before = "NaN" if math.isnan(swept.before) else "infinite"
        return "fail", f"the loss is {before} before any rate is tried: {check}"
    broke_off = swept.ended == "script"
    least, last = LEAST_SHARE * wanted.steps, swept.rates[-1]
    if broke_off and (said.reason or tried < least):
        words = f"{_how_it_ended(swept)} after {tried} of {wanted.steps} rates, at lr {last:.2g}"
        return "inconclusive", f"{words}: {_more(swept, tried)}"
    if swept.ended in ("diverged", "no update") and tried < least:
        return "fail", (
            f"the loss diverges at once, by lr {last:.2g}: begin lower, with --from {wanted.lowest / 1e4:.0e}; {check}"
        )
    end = _end(swept, said)
    if said.reason:
        return "inconclusive", f"{said.reason}{end}: no rate is suggested; {check}"
    assert said.steepest is not None
    assert said.lowest is not None
    words = f"the loss falls fastest at lr {said.steepest:.2g} and is lowest at {said.lowest:.2g}{end}"
    if said.lowest >= swept.rates[min(tried - 1, int(AT_THE_END * tried))] and not said.diverged:
        if broke_off:
            return "warn", f"{words}: it was still falling; {_more(swept, tried)}"
        return "warn", f"{words}: it is still falling there, so go on with --to {wanted.highest * 100:g}"
    return "pass", words


def _how_it_ended(swept: Swept) -> str:
    return f"the script raised {swept.raised}" if swept.raised else "the script ended"


def _end(swept: Swept, said: Read) -> str:
    last = swept.rates[-1]
    if swept.ended == "no update":
        return f"; from {last:.2g} on no update is made: no gradient is finite"
    if said.diverged is not None or swept.ended == "diverged":
        return f"; it diverges at {said.diverged or last:.2g}"
    if swept.ended == "script":
        return f"; {_how_it_ended(swept)} at lr {last:.2g}"
    return f"; it does not diverge up to {last:.2g}"


def _more(swept: Swept, tried: int) -> str:
    if swept.raised:
        return "mend that first"
    fewer = f", or sweep in fewer steps (--steps {tried})" if tried >= 20 else ""
    return f"let it train longer, with more epochs or more data{fewer}"


# -- what to do with it ----------------------------------------------------------------------------------


def suggestions(
    said: Read, order: Order, places: Sequence[str], shares: Sequence[float]
) -> tuple[Suggestion, ...]:
    """Both rates, as the course and fastai have them, and how each is used; nothing where the curve says nothing.

    Args:
        said: what the curve says.
        order: whose target it is.
        places: where in the user's code the optimizers are made.
        shares: of the highest rate, one a group.
    """
    if said.steepest is None or said.lowest is None or said.tenth is None:
        return ()
    rules = (
        ("steepest", said.steepest, "where the loss falls fastest"),
        ("minimum/10", said.tenth, f"a tenth of the rate with the lowest loss, {said.lowest:.2g}"),
    )
    return tuple(
        Suggestion(rule=rule, value=rate, words=words, use=_use(rate, order, places) + _groups(rate, shares))
        for rule, rate, words in rules
    )


def _use(rate: float, order: Order, places: Sequence[str]) -> str:
    value = spelled(rate)
    if order.kind == "config":
        kept = [each for each in order.overrides if not each.startswith(("optimizer.lr=", "run.name="))]
        sets = " ".join(f"--set {shlex.quote(each)}" for each in (*kept, f"optimizer.lr={value}"))
        return f"sgdb run {shlex.quote(order.target)} {sets}"
    arguments = _with_rate(order.arguments, value)
    if arguments is not None:
        return _command(order, "run", arguments)
    made = "the optimizers are made" if len(places) > 1 else "the optimizer is made"
    return f"set lr={value} where {', '.join([made, *places[:MOST_PLACES]])}"


def _with_rate(arguments: Sequence[str], value: str) -> tuple[str, ...] | None:
    """The same arguments with another rate; None where none of them gives one."""
    for place, argument in enumerate(arguments):
        option, equals, _ = argument.partition("=")
        if option in OPTIONS and equals:
            return (*arguments[:place], f"{option}={value}", *arguments[place + 1 :])
        if option in OPTIONS and place + 1 < len(arguments):
            return (*arguments[: place + 1], value, *arguments[place + 2 :])
    return None


def _groups(rate: float, shares: Sequence[float]) -> str:
    """Where the groups of the optimizers differ."""
    if len(set(shares)) < 2:
        return ""
    told = ", ".join(spelled(rate * share) for share in shares[:MOST_GROUPS])
    more = ", …" if len(shares) > MOST_GROUPS else ""
    return f" (of the highest group; the groups keep their proportions: {told}{more})"


def _command(order: Order, word: str, arguments: Sequence[str] | None = None) -> str:
    parts = ["sgdb", word, *(["-m"] if order.kind == "module" else []), order.target]
    return shlex.join([*parts, *(order.arguments if arguments is None else arguments)])


def spelled(rate: float) -> str:
    """Two digits, the shortest spelling: 0.0032, 3.2e-05."""
    return f"{float(f'{rate:.2g}'):g}"
