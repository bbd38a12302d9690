"""A run from Python: the same engine, in this process."""

from collections.abc import Sequence
from pathlib import Path

from sgdb_engine.recording.folder import create_run_folder
from sgdb_engine.session import Engine
from sgdb_engine.target import resolve
from sgdb_engine.training import training_of


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
    folder = create_run_folder(Path(runs_dir), target.config.run.name)
    target.describe_in(folder, "run")
    training = training_of(target.config, target.path.absolute().parent)
    return Engine(folder, training, budget=target.config.observe.budget, max_steps=max_steps)
