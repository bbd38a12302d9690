"""`sgdb.watch()`, `sgdb.log()`, `sgdb.finish()`: a run out of any loop or notebook, in its own process and thread."""

import atexit
import contextlib
import os
import sys
import threading
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from sgdb.progress import say
from sgdb_engine.current import observing_engine
from sgdb_engine.ending import End
from sgdb_engine.errors import RunFolderError
from sgdb_engine.gate import StopTraining
from sgdb_engine.host import Host
from sgdb_engine.launch import Order
from sgdb_engine.ranks.meeting import folder_of_the_first, told_to_the_others
from sgdb_engine.ranks.place import own_place
from sgdb_engine.recording.folder import create_run_folder
from sgdb_engine.session import Engine
from sgdb_engine.stranger import Stranger
from sgdb_engine.target import Target

if TYPE_CHECKING:
    from torch import nn
    from torch.optim import Optimizer

OFF = ("off", "0", "false", "no")
"""Values of the environment variable SGDB that switch watching off."""
LAST_WORDS_S = 10.0
BY_FIRST_WORD = ("train_", "val_", "test_")

_current: "Watch | None" = None


class Watch:
    """A training that is being watched, until `finish()` or the end of the `with` block."""

    def __init__(self, engine: Engine | None = None, order: Order | None = None) -> None:
        """Without an engine of its own it is part of another run, or of none: then finishing it does nothing."""
        self._engine = engine
        self._stack = contextlib.ExitStack()
        if engine is not None and order is not None:
            self._host = threading.Thread(target=Host(engine, order).accompany, name="sgdb-host", daemon=True)
            engine.give_up = self._let_go
            engine.last_words = lambda: self._host.join(LAST_WORDS_S)

    def begin(self) -> None:
        """Observes the calling thread from now on."""
        assert self._engine is not None
        stranger = Stranger(self._engine, self._stack, any_thread=False)
        self._stack.enter_context(told_to_the_others(self._engine.folder.parent, self._engine.folder))
        self._host.start()
        stranger.observe()
        self._stack.callback(stranger.say_what_was_not_seen)

    @property
    def folder(self) -> Path | None:
        """The run folder; None where nothing is recorded."""
        engine = self._engine or observing_engine()
        return engine.folder if engine is not None else None

    def log(self, values: Mapping[str, Any] | None = None, /, **more: Any) -> None:
        """As `sgdb.log`."""
        log(values, **more)

    def finish(self) -> None:
        """The training is over: writes what waits, puts back all that was replaced. Can be called again."""
        self._finish(End("finished", 0))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._finish(self._end_of(error))

    def _end_of(self, error: BaseException | None) -> End:
        if error is None or self._engine is None:
            return End("finished", 0)
        if isinstance(error, StopTraining):
            return self._engine.stopped(error)
        if isinstance(error, KeyboardInterrupt):
            return End("stopped", 130, "interrupted")
        return self._engine.failed(error)

    def _let_go(self) -> None:
        """The training swallows its stop: it goes on, unwatched."""
        self._finish(End("stopped", 0, "the training kept catching its stop and goes on unwatched"))

    def _finish(self, end: End) -> None:
        global _current
        engine = self._engine
        if engine is None or engine.end is not None or os.getpid() != engine.pid:
            return
        if engine.gate.stopping and end.state == "finished":
            end = End("stopped", 0, "asked")
        with contextlib.suppress(Exception):
            self._stack.close()
        engine.close(end)
        engine.last_words()
        if _current is self:
            _current = None


def watch(
    model: "nn.Module | Iterable[nn.Module] | None" = None,
    optimizer: "Optimizer | Iterable[Optimizer] | None" = None,
    *,
    name: str | None = None,
    runs_dir: Path | str = "runs",
    budget: float = 0.02,
) -> Watch:
    """Watches what the calling thread trains from now on; `sgdb attach` in any terminal shows and controls it.

    Nothing has to be told: models and optimizers are found when they are used. Naming them names their parameters
    from the first step on. No signal handler is installed. Under `sgdb run` this is the run that there is already;
    with SGDB=off in the environment nothing is watched.

    Args:
        model: what is trained, one or several.
        optimizer: what trains it, one or several.
        name: of the run; the script's own name where it is left out.
        runs_dir: where its folder is made.
        budget: share of the step time that measurements may cost, 0..1.

    Raises:
        RunFolderError: the run folder cannot be made.
    """
    global _current
    if os.environ.get("SGDB", "").lower() in OFF:
        return Watch()
    finish()  # a notebook's cell that is run again begins anew
    engine = observing_engine()
    if engine is not None:
        _tell(engine, model, optimizer)
        return Watch()
    target = Target(
        kind="script", written=_script_name(), name=name or Path(_script_name()).stem, base=str(Path.cwd())
    )
    place = own_place()
    if place.rank:
        try:
            folder = folder_of_the_first(Path(runs_dir))
        except RunFolderError as error:
            say(f"rank {place.rank}: {error}. It is not watched")
            return Watch()
    else:
        folder = create_run_folder(Path(runs_dir), target.name)
        target.describe_in(folder, "run")
    order = target.order(folder, "run", max_steps=None, summary_path=None)
    engine = Engine(folder, lambda engine: None, budget=budget, place=place)
    _current = Watch(engine, order)
    _current.begin()
    _tell(engine, model, optimizer)
    if place.rank == 0:
        say(f"recording in {folder}; watch it with: sgdb attach {folder}")
    return _current


def log(values: Mapping[str, Any] | None = None, /, **more: Any) -> None:
    """Records numbers of your own under the step that is under way: `sgdb.log(val_loss=0.3)`, `sgdb.log({"a/b": 1})`.

    Keywords that begin with `train_`, `val_` or `test_` become `train/…` and so on. Numbers, 0-d tensors and arrays
    of one element; what is none is told once and left out. Where nothing is watched it does nothing.
    """
    engine = observing_engine()
    if engine is not None:
        engine.log({**(values or {}), **{_column(name): value for name, value in more.items()}})


def finish() -> None:
    """Ends the watch that `watch()` began. The end of the process does it too. Where there is none it does nothing."""
    if _current is not None:
        _current.finish()


def _column(name: str) -> str:
    return name.replace("_", "/", 1) if name.startswith(BY_FIRST_WORD) else name


def _tell(engine: Engine, model: Any, optimizer: Any) -> None:
    engine.expect(_several(model), _several(optimizer))


def _several(given: Any) -> list[Any]:
    from torch import nn

    if given is None:
        return []
    return [given] if isinstance(given, nn.Module) or hasattr(given, "param_groups") else list(given)


def _script_name() -> str:
    main = getattr(sys.modules.get("__main__"), "__file__", None)
    return Path(main).name if main else "notebook"


@atexit.register
def _finish_at_exit() -> None:
    """A program that ends of an error says so; in a notebook an earlier error says nothing of the end."""
    error = getattr(sys, "last_value", None)
    if (
        _current is not None
        and isinstance(error, BaseException)
        and not hasattr(sys, "ps1")
        and "IPython" not in sys.modules
    ):
        _current.__exit__(type(error), error, None)
    finish()
