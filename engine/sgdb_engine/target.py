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
from sgdb_engine.launch import FailOn, Kind, Order, RateRange
from sgdb_engine.recording import folder as run_folder
from sgdb_engine.recording import liveness
from sgdb_engine.source import compiled
from sgdb_engine.text import clean

Mode = Literal["run", "check", "lr-find"]

FOR_SCRIPTS = "a script has its own arguments, behind its name: sgdb run train.py --lr 1e-3"


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """What is to be run or checked, as far as it can be known without importing it."""

    kind: Kind
    written: str
    """As the user wrote it."""
    name: str
    """Of the run."""
    arguments: tuple[str, ...] = ()
    """Of a script."""
    config: RunConfig | None = None
    config_text: str = ""
    overrides: tuple[str, ...] = ()
    base: str
    """The folder against which paths and modules are resolved."""

    def order(
        self,
        folder: Path,
        mode: Mode,
        *,
        max_steps: int | None = None,
        summary_path: Path | None = None,
        report_path: Path | None = None,
        nproc: int = 0,
        mute: tuple[str, ...] = (),
        fail_on: FailOn | None = None,
        stop_on: tuple[str, ...] = (),
        rates: RateRange = RateRange(),  # noqa: B008  (frozen)
    ) -> Order:
        """The order to run or to try it in that run folder.

        Args:
            folder: of the run.
            mode: run, or what is tried.
            max_steps: to stop after.
            summary_path: where the summary is written besides.
            report_path: where what a check has shown is told; a name that ends in .md or .html.
            nproc: processes to train in together; 0: one, without torchrun.
            mute: codes of findings that are not told.
            fail_on: severity from which a finding fails it; an error fails what is tried, nothing a run.
            stop_on: codes of errors at which a run stops itself.
            rates: of lr-find.
        """
        return Order(
            folder=str(folder.absolute()),
            mode=mode,
            kind=self.kind,
            target=self.written,
            arguments=self.arguments,
            config_text=self.config_text,
            base=self.base,
            overrides=self.overrides,
            max_steps=max_steps,
            summary_path=str(summary_path.absolute()) if summary_path else "",
            report_path=str(report_path.absolute()) if report_path else "",
            nproc=nproc,
            mute=mute,
            fail_on=fail_on or ("never" if mode == "run" else "error"),
            stop_on=stop_on,
            rates=rates,
            disposable=mode != "run",
        )

    def describe_in(self, folder: Path, mode: Mode) -> run_folder.RunInfo:
        """Writes run.json, and the config in it."""
        info = run_folder.RunInfo(
            id=secrets.token_hex(4),
            name=self.name,
            mode=mode,
            target=" ".join((self.written, *self.arguments)),
            argv=tuple(sys.argv),
            config=as_dict(self.config) if self.config else {},
            seed=self.config.run.seed if self.config else None,
            created=time.time(),
            versions=versions(),
            host=liveness.host_name(),
        )
        run_folder.write_info(folder, info)
        return info


def resolve(
    written: str,
    arguments: Sequence[str] = (),
    overrides: Sequence[str] = (),
    *,
    module: bool = False,
    name: str | None = None,
) -> Target:
    """What a user's TARGET is.

    Args:
        written: a config, a script, "module:function", or the name of a module.
        arguments: what stands behind it.
        overrides: values for a config.
        module: it is to be run as by `python -m`.
        name: of the run, where the target's own is not wanted.

    Raises:
        TargetError: it cannot be run.
        ConfigError: it is a config with mistakes.
    """
    path = Path(written)
    if path.suffix == ".toml" and not module:
        return _config(path, written, arguments, overrides, name)
    if overrides:
        raise TargetError(f"--set and --device change a config, and {clean(written)} is none; {FOR_SCRIPTS}")
    base = str(Path.cwd())
    if module:
        last = written.rpartition(".")[2]
        return Target(
            kind="module", written=written, name=name or last, arguments=tuple(arguments), base=base
        )
    if path.suffix == ".py" or path.is_file():
        _refuse_unreadable(path)
        name = name or path.stem
        return Target(kind="script", written=written, name=name, arguments=tuple(arguments), base=base)
    if ":" in written:
        return _factory(written, arguments, base, name)
    raise TargetError(f"{clean(written)}: {_what_it_is(path)}. {TARGETS}")


TARGETS = (
    "A TARGET is a config (run.toml), a script (train.py, or -m package.module), or a function that returns a "
    'sgdb.Workload ("package.module:function"); `sgdb init` writes a config to start from'
)


def _config(
    path: Path, written: str, arguments: Sequence[str], overrides: Sequence[str], name: str | None
) -> Target:
    if arguments:
        raise TargetError(
            f"{' '.join(arguments)}: a config takes no arguments; change a value with --set section.key=value"
        )
    overrides = (*overrides, *([f"run.name={name}"] if name is not None else []))
    config = load_config(path, overrides)
    return Target(
        kind="config",
        written=written,
        name=config.run.name,
        config=config,
        config_text=path.read_text(encoding="utf-8"),
        overrides=overrides,
        base=str(path.absolute().parent),
    )


def _factory(written: str, arguments: Sequence[str], base: str, name: str | None) -> Target:
    module, _, function = written.partition(":")
    if module.endswith(".py"):
        raise TargetError(
            f"{clean(written)}: write {clean(module[:-3].replace('/', '.'))}:{clean(function)}. {TARGETS}"
        )
    if not all(part.isidentifier() for part in (*module.split("."), *function.split("."))):
        raise TargetError(f'{clean(written)}: is not "package.module:function". {TARGETS}')
    if arguments:
        raise TargetError(
            f"{' '.join(arguments)}: a function that returns a Workload takes no arguments from here; "
            "write another function, or a script"
        )
    return Target(kind="factory", written=written, name=name or function.rpartition(".")[2], base=base)


def _refuse_unreadable(path: Path) -> None:
    """What no Python could run is told before a run folder is made."""
    if path.is_dir():
        raise TargetError(f"{clean(str(path))} is a folder; name the script in it")
    if not path.exists():
        raise TargetError(f"{clean(str(path))}: there is no such file here ({clean(str(Path.cwd()), 500)})")
    compiled(path)


def _what_it_is(path: Path) -> str:
    return "is a folder" if path.is_dir() else "there is no such file"


def versions() -> dict[str, str]:
    """Versions of what a result depends on."""
    found = {"python": platform.python_version()}
    for package in ("sgdb", "torch", "numpy"):
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            found[package] = "unknown"
    return found
