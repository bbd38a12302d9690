"""A training → what is tried of it: it runs up to its first update, and there the experiments begin."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from sgdb_engine.config.records import OverfitBudget
from sgdb_engine.ending import End
from sgdb_engine.events import CheckStage, Finding
from sgdb_engine.launch import Order
from sgdb_engine.session import Engine, Training

if TYPE_CHECKING:
    from sgdb_engine.observe.observer import Observer

NOT_SEEN = "no update of weights was seen"
FIRST_STAGE = {"check": "wiring", "lr-find": "lr-find"}
"""Which stage of what is tried a training fails that makes no update."""


class Flight(Protocol):
    """What is tried at the first update."""

    def pass_through(self, observer: "Observer") -> None:
        """The safe point of the script. Returns in children only."""

    def script_ended(self, end: End) -> None:
        """The script is over; in a child so is the experiment."""


def checked(training: Training, order: Order, budget: OverfitBudget) -> Training:
    """The check of what this would train, or whatever else the order wants to try.

    Args:
        training: up to its first update it is run as it is; the rest happens in children.
        order: what it was made from.
        budget: what the user's own steps on one batch may take.
    """

    def check(engine: Engine) -> End | None:
        flight: list[Flight] = []  # made when torch is there
        first_stage = FIRST_STAGE[order.mode]

        def safe_point(step: int) -> None:
            if not flight:
                flight.append(_flight(engine, order, budget))
            assert engine.observer is not None
            flight[0].pass_through(engine.observer)

        def found(finding: Finding) -> None:
            if finding.code == "no-step":  # it would go on without an update for ever
                engine.checked(CheckStage(name=first_stage, status="fail", reason=finding.message))
                engine.end_here(End("finished", 1))

        engine.safe_point, engine.on_finding, engine.probing = safe_point, found, True
        with no_compiled_modules():
            try:
                end = training(engine)
            except Exception as error:
                if flight:  # in a child this ends it
                    flight[0].script_ended(End("failed", 1, f"{type(error).__name__}: {error}"))
                raise
        if flight:
            flight[0].script_ended(end or End("finished", 0))
        if end is None or end.state == "finished":
            engine.checked(CheckStage(name=first_stage, status="inconclusive", reason=NOT_SEEN))
        return end

    return check


def _flight(engine: Engine, order: Order, budget: OverfitBudget) -> Flight:
    scratch = _scratch_of(engine)
    if order.mode == "lr-find":
        from sgdb_engine.checks.lr_find import LrFind

        return LrFind(engine, order, scratch)
    from sgdb_engine.checks.preflight import Preflight

    return Preflight(engine, order, scratch, budget)


@contextmanager
def no_compiled_modules() -> Iterator[None]:
    """Keeps Python, here and in workers, from writing __pycache__ beside the user's modules."""
    flag, variable = sys.dont_write_bytecode, os.environ.get("PYTHONDONTWRITEBYTECODE")
    sys.dont_write_bytecode, os.environ["PYTHONDONTWRITEBYTECODE"] = True, "1"
    try:
        yield
    finally:
        sys.dont_write_bytecode = flag
        if variable is None:
            del os.environ["PYTHONDONTWRITEBYTECODE"]
        else:
            os.environ["PYTHONDONTWRITEBYTECODE"] = variable


def _scratch_of(engine: Engine) -> Path:
    """Goes with the run folder. Its name is short: sockets are made below it."""
    folder = engine.folder / "s"
    folder.mkdir()
    return folder
