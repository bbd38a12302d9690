"""The table of runs."""

import shlex
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from sgdb_engine.errors import RunFolderError
from sgdb_engine.recording import folder as run_folder
from sgdb_engine.sweep.plan_file import find_sweeps
from sgdb_engine.text import clean

HEADINGS = ("RUN", "STATE", "STEP", "TRAIN LOSS", "VAL LOSS", "FINDINGS", "SIZE", "AGE")


def table_of_runs(runs_dir: Path) -> Iterator[str]:
    """One line a run, newest first, under a line of headings; then one for each sweep."""
    rows = [HEADINGS, *(_row(folder) for folder in run_folder.find_runs(runs_dir))]
    sweeps = find_sweeps(runs_dir)
    if len(rows) == 1 and not sweeps:
        yield f"no runs in {runs_dir}; start one with: sgdb run run.toml"
    yield from _aligned(rows) if len(rows) > 1 else ()
    for folder in sweeps:
        count = len(run_folder.find_runs(folder))
        yield f"{clean(folder.name)}: a sweep, {count} runs: sgdb ls --runs-dir {shlex.quote(str(folder))}"


def _aligned(rows: Sequence[tuple[str, ...]]) -> Iterator[str]:
    widths = [max(len(row[i]) for row in rows) for i in range(len(HEADINGS))]
    for row in rows:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()


def _row(folder: Path) -> tuple[str, ...]:
    try:
        status = run_folder.read_status(folder)
    except RunFolderError:
        return (clean(folder.name), "unreadable", "", "", "", "", _size(folder), "")
    state = status.state
    if status.exit_code is None and not run_folder.is_alive(status):
        state = "lost"  # type: ignore[assignment]  # a word for the eye; the engine has no such state
    total = f"/{status.steps_planned}" if status.steps_planned else ""
    return (
        clean(folder.name),
        state,
        f"{status.step}{total}",
        _number(status.metrics.get("train/loss")),
        _number(status.metrics.get("val/loss")),
        str(status.findings or ""),
        _size(folder),
        _age(time.time() - status.wall),
    )


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"


def _size(folder: Path) -> str:
    size = float(sum(_size_of(file) for file in folder.rglob("*")))
    for unit in ("B", "KiB", "MiB", "GiB"):
        if size < 1024 or unit == "GiB":
            break
        size /= 1024
    return f"{size:.0f} {unit}"


def _size_of(file: Path) -> int:
    try:
        return file.lstat().st_size
    except OSError:  # a living run replaces its files
        return 0


def _age(seconds: float) -> str:
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= length:
            return f"{seconds / length:.0f} {unit}"
    return f"{max(0, seconds):.0f} s"
