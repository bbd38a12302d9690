"""A training that has never heard of sgdb: observed as soon as torch is there, and what was not seen is said."""

import contextlib
import sys
from typing import TYPE_CHECKING

from sgdb_engine.events import ProbeFailed
from sgdb_engine.session import Engine

if TYPE_CHECKING:
    from sgdb_engine.observe.observer import Observer

HOW_TO_WATCH = "If another process trains, call sgdb.watch(model, optimizer) in that one"


class Stranger:
    """Watches on behalf of an engine whatever trains in this process."""

    def __init__(self, engine: Engine, stack: contextlib.ExitStack, *, any_thread: bool) -> None:
        """The observation ends with the stack. `any_thread`: which one trains will be seen."""
        self._any_thread = any_thread
        self._engine = engine
        self._stack = stack
        self._observer: Observer | None = None

    def observe(self) -> None:
        """From now on; called within the script's import of torch, into which nothing must be raised."""
        try:
            from sgdb_engine.observe.told import Told

            engine = self._engine
            told = Told(
                found=engine.found,
                noted=engine.note,
                failed=engine.notes.append,
                described=engine.describe,
                epoch_ended=engine.epoch_ended,
                validated=engine.validation_seen,
            )
            self._observer = self._stack.enter_context(engine.observing(told, any_thread=self._any_thread))
        except Exception as error:
            text = f"{type(error).__name__}: {error}"
            self._engine.recorder.event(ProbeFailed(probe="observation", error=text))
            self._engine.notes.append(f"this training cannot be observed, it runs as without sgdb: {text}")

    def say_what_was_not_seen(self) -> None:
        """No training was seen at all: what was seen instead, and what to do."""
        if self._engine.step:
            return
        if self._observer is None:
            if "torch" not in sys.modules:
                self._engine.note("The script never imported torch: there was no training to observe")
            return
        backwards, models = self._observer.backwards, self._observer.called_models
        seen = f"backward was called {backwards} times" if backwards else "backward was never called"
        on = f"; models that were called: {', '.join(sorted(models)[:5])}" if models else ""
        self._engine.note(f"No update of weights was seen in this process: {seen}{on}. {HOW_TO_WATCH}")
