"""A run from Python: the same engine, in this process, that a dashboard elsewhere can attach to."""

import threading
from collections.abc import Sequence
from pathlib import Path

from sgdb_engine.ending import End
from sgdb_engine.host import Host
from sgdb_engine.launch import Order
from sgdb_engine.orders import engine_for
from sgdb_engine.recording.folder import create_run_folder
from sgdb_engine.session import Engine
from sgdb_engine.target import resolve


class HostedEngine(Engine):
    """An engine that is served from a thread: its status is written, and `sgdb attach` can watch and control it.

    No signal handler is installed: the process is the user's own.
    """

    def serve_as(self, order: Order) -> None:
        """Says what is being run; before `start()`."""
        host = Host(self, order)
        self._host = threading.Thread(target=host.accompany, name="sgdb-host", daemon=True)

    def start(self) -> None:
        """Starts the training; it inherits the calling thread's PyTorch settings."""
        super().start()
        self._host.start()

    def wait(self, timeout_s: float | None = None) -> End | None:
        """Waits for the end, the summary included; None where it is not reached in time."""
        end = super().wait(timeout_s)
        if end is not None and threading.current_thread() is not self._host:
            self._host.join()
        return end


def open_config(
    config: Path | str,
    *,
    overrides: Sequence[str] = (),
    runs_dir: Path | str = "runs",
    max_steps: int | None = None,
) -> Engine:
    """A run of a config, not started yet.

    Args:
        config: path of the config.
        overrides: `section.key=value`, as behind `--set`.
        runs_dir: where its run folder is made.
        max_steps: stop in good order after so many optimizer steps.

    Raises:
        ConfigError: the config has mistakes.
        RunFolderError: the run folder cannot be made.
    """
    target = resolve(str(config), (), overrides)
    folder = create_run_folder(Path(runs_dir), target.name)
    target.describe_in(folder, "run")
    order = target.order(folder, "run", max_steps=max_steps, summary_path=None)
    engine = engine_for(order, HostedEngine)
    engine.serve_as(order)
    return engine
