"""Measurements of a training before it is run: the learning rate that it takes."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from sgdb.places import kernels_kept_in, refuse_unwritable, temporary_folder
from sgdb.progress import Progress, say
from sgdb.starting import LOADING, Launch, Look, Wanted, printed_last, train_here, watch_trial
from sgdb_engine.errors import SgdbError
from sgdb_engine.launch import RateRange
from sgdb_engine.measured import outcome_in, swept_in
from sgdb_engine.recording import folder as run_folder
from sgdb_engine.text import clean

if TYPE_CHECKING:
    from sgdb_engine.session import Engine

WIDEST, MARGIN = 100, 8
"""Columns of a chart that is printed, and those of what stands before it."""


def lr_find(wanted: Wanted, rates: RateRange, look: Look) -> int:
    """Sweeps the learning rate of a target, in a folder that is gone afterwards; returns the exit code."""
    if rates.lowest >= rates.highest:
        raise SgdbError(f"--from {rates.lowest:g} is not below --to {rates.highest:g}; a sweep goes upwards")
    target = wanted.resolved()
    refuse_unwritable(wanted.summary_path)
    with temporary_folder() as folder, kernels_kept_in(folder):
        target.describe_in(folder, "lr-find")
        order = target.order(folder, "lr-find", summary_path=wanted.summary_path, rates=rates)
        if not look.screen:
            say(f"sweeping the learning rate of {clean(target.written)}; {LOADING}")

            def page(engine: "Engine") -> Iterator[str]:
                return _page(engine.folder, look)

            return train_here(order, Progress("lr-find", page=page))

        def result(folder: Path, status: run_folder.RunStatus) -> Iterator[str]:
            yield from _ended(folder, status)
            yield from _page(folder, look)

        return watch_trial(folder, look, Launch(order), result, "sweep")[0]


def _ended(folder: Path, status: run_folder.RunStatus) -> Iterator[str]:
    """How it did."""
    outcome = outcome_in(folder)
    if status.state == "failed":
        yield from printed_last(folder)
    elif outcome is not None:
        yield f"{outcome.status}: {outcome.name}: {outcome.reason}"


def _page(folder: Path, look: Look) -> Iterator[str]:
    """The curve, and what to do with it."""
    swept = swept_in(folder)
    if swept is None:
        return
    from sgdb_tui.swept import printed_sweep

    width = min(WIDEST, shutil.get_terminal_size((80, 24)).columns - MARGIN)
    yield from printed_sweep(swept, width, unicode=not look.ascii)
    for suggestion in swept.suggestions:
        yield f"{suggestion.rule}: {suggestion.value:.2g}, {clean(suggestion.words, 200)}"
        yield f"  -> {clean(suggestion.use, 500)}"
