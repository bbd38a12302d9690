"""TARGET on the command line → an order that an engine can carry out. Without torch, so that it refuses fast."""

import platform
import secrets
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Literal

from sgdb_engine.config import RunConfig, as_dict, load_config
from sgdb_engine.errors import TargetError
from sgdb_engine.launch import Order
from sgdb_engine.recording import folder as run_folder
from sgdb_engine.recording import liveness
from sgdb_engine.text import clean

Mode = Literal["run", "check"]


@dataclass(frozen=True, slots=True)
class ConfigTarget:
    """A config file, read and checked."""

    written: str
    """As the user wrote it."""
    path: Path
    overrides: tuple[str, ...]
    config: RunConfig

    def order(self, folder: Path, mode: Mode, *, max_steps: int | None, summary_path: Path | None) -> Order:
        """The order to run or to check it in that run folder."""
        return Order(
            folder=str(folder.absolute()),
            mode=mode,
            target=self.written,
            config_text=self.path.read_text(encoding="utf-8"),
            base=str(self.path.absolute().parent),
            overrides=self.overrides,
            max_steps=max_steps,
            summary_path=str(summary_path.absolute()) if summary_path else "",
            disposable=mode == "check",
        )

    def describe_in(self, folder: Path, mode: Mode) -> run_folder.RunInfo:
        """Writes run.json, and the config beside it."""
        info = run_folder.RunInfo(
            id=secrets.token_hex(4),
            name=self.config.run.name,
            mode=mode,
            target=self.written,
            argv=tuple(sys.argv),
            config=as_dict(self.config),
            seed=self.config.run.seed,
            created=time.time(),
            versions=versions(),
            host=liveness.host_name(),
        )
        run_folder.write_info(folder, info)
        return info


def resolve(written: str, arguments: Sequence[str], overrides: Sequence[str]) -> ConfigTarget:
    """What a user's TARGET is.

    Raises:
        TargetError: it cannot be run.
        ConfigError: it is a config with mistakes.
    """
    path = Path(written)
    if path.suffix != ".toml":
        raise TargetError(
            f"{clean(written)}: {_what_it_is(path)}; this version runs configs, files that end in .toml. "
            '`sgdb init` writes one to start from, and its model may be yours: use = "module:function"'
        )
    if arguments:
        raise TargetError(
            f"{' '.join(arguments)}: a config takes no arguments; change a value with --set section.key=value"
        )
    return ConfigTarget(written, path, tuple(overrides), load_config(path, overrides))


def _what_it_is(path: Path) -> str:
    if path.suffix == ".py":
        return "is a Python script"
    if path.is_dir() and path.name:
        return "is a folder"
    return "is not a config"


def versions() -> dict[str, str]:
    """Versions of what a result depends on."""
    found = {"python": platform.python_version()}
    for package in ("sgdb", "torch", "numpy"):
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            found[package] = "unknown"
    return found
