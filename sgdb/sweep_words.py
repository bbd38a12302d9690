"""What `sgdb sweep` prints: a line for each run that begins or ends, and the table."""

import math
import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path

from sgdb.progress import say
from sgdb.starting import attach_command
from sgdb_engine.sweep.grid import short_names
from sgdb_engine.sweep.plan import SweepPlan
from sgdb_engine.sweep.results import best_first, best_of, compared_by, compared_loss
from sgdb_engine.sweep.standing import DIVERGED, Standing
from sgdb_engine.text import clean


class Lines:
    """Prints a line when a run begins, and when it has ended."""

    def __init__(self, points: int) -> None:
        """Of a sweep of so many points."""
        self._points = points
        self._ended: list[Standing] = []

    def begun(self, standing: Standing) -> None:
        """Says how to look at it."""
        assert standing.folder is not None
        say(f"{self._place(standing)}: running; {attach_command(standing.folder)}")

    def ended(self, standing: Standing) -> None:
        """Says how, and whether it is the best of those that ended here."""
        self._ended.append(standing)
        is_best = best_of(self._ended) is standing and len(self._ended) > 1
        say(f"{self._place(standing)}: {_ended(standing)}{', the best so far' if is_best else ''}")

    def waiting(self, points: int) -> None:
        """Says why nothing happens."""
        say(
            f"nothing is left to begin here; {points} points are under way elsewhere, and are taken up if lost"
        )

    def _place(self, standing: Standing) -> str:
        return f"point {standing.point.number}/{self._points} {clean(standing.point.label)}"


def _ended(standing: Standing) -> str:
    words = [f"{_state(standing)} after {standing.step} steps"]
    if standing.state == "failed":
        words.append(_one_line(standing.message))
    elif math.isfinite(standing.best_val_loss):
        words.append(f"val loss {standing.best_val_loss:.4g} at step {standing.best_step}")
    elif standing.step:
        words.append(f"train loss {standing.train_loss:.4g}")
    return ", ".join(words)


def _state(standing: Standing) -> str:
    codes = [code for code in standing.findings if code in DIVERGED]
    return f"diverged ({', '.join(codes)})" if standing.state == "diverged" else standing.state


def _one_line(message: str) -> str:
    return clean(message.strip().splitlines()[0] if message.strip() else "it did not say why", 300)


def table(plan: SweepPlan, standings: Sequence[Standing]) -> Iterator[str]:
    """One line a point, the best first and marked, under a line of headings."""
    measure = compared_by(standings)
    best = best_of(standings)
    names = short_names([axis.key for axis in plan.grid])
    validated = measure == "val/loss"
    measured = ("BEST VAL LOSS", "AT STEP", "TRAIN LOSS") if validated else ("TRAIN LOSS",)
    rows = [("", *map(clean, names), *measured, "STATE", "STEPS", "RUN")]
    for standing in best_first(standings):
        values = [clean(value) for _, value in standing.point.settings]
        losses = [_number(standing.train_loss)]
        if validated:
            losses = [_number(compared_loss(standing, measure)), str(standing.best_step or ""), *losses]
        mark = "*" if best is not None and standing.point == best.point else ""
        run = clean(standing.folder.name) if standing.folder else ""
        rows.append((mark, *values, *losses, _state(standing), str(standing.step or ""), run))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()


def _number(value: float) -> str:
    return "" if math.isnan(value) else f"{value:.4g}"


def last_words(folder: Path, standings: Sequence[Standing]) -> Iterator[str]:
    """What failed, which run is the best, and how to go on."""
    for standing in standings:
        if standing.state == "failed":
            where = f"; its output: {standing.folder / 'output.log'}" if standing.folder else ""
            yield f"failed: {clean(standing.point.label)}: {_one_line(standing.message)}{where}"
    best = best_of(standings)
    done = sum(standing.is_done for standing in standings)
    if best is not None and best.folder is not None:
        so_far = "" if done == len(standings) else " so far"
        yield f"the best{so_far}: {clean(best.point.label)}; look at it with: {attach_command(best.folder)}"
    elif done == len(standings):
        yield "no run came to a finite loss"
    if done < len(standings):
        yield f"{done} of {len(standings)} points are done; go on with: {resume_command(folder)}"


def resume_command(folder: Path) -> str:
    """The command that goes on with a sweep, from here."""
    which = folder.name if folder.parent == Path("runs") else str(folder)
    return f"sgdb sweep --resume {shlex.quote(which)}"
