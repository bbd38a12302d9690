"""What a run or a check leaves when it has ended: its summary, and the files that were asked for."""

import contextlib
import sys
from pathlib import Path

from sgdb_engine.ending import End
from sgdb_engine.launch import Order
from sgdb_engine.session import Engine
from sgdb_engine.summary import Summary, summarise, write_summary


def write_outcome(engine: Engine, order: Order, end: End) -> bool:
    """Writes the summary into the run folder, and what was asked for to where it was asked for; whether that worked."""
    summary = summarise(engine, end, mode=order.mode, target=order.target)
    own = engine.folder / "summary.json"
    with contextlib.suppress(OSError):
        write_summary(own, summary)
        own.chmod(0o600)
    return all([_write_summary_asked_for(order, summary), _write_report(engine, order, summary)])


def _write_summary_asked_for(order: Order, summary: Summary) -> bool:
    if not order.summary_path:
        return True
    try:
        write_summary(Path(order.summary_path), summary)
    except OSError as error:
        return _not_written("--json", order.summary_path, error)
    return True


def _write_report(engine: Engine, order: Order, summary: Summary) -> bool:
    if not order.report_path:
        return True
    from sgdb_engine.report import write_report  # imports numpy, which a script may want to find fresh

    try:
        write_report(Path(order.report_path), summary, engine.folder)
    except OSError as error:
        return _not_written("--report", order.report_path, error)
    return True


def _not_written(option: str, path: str, error: OSError) -> bool:
    print(f"sgdb: {option} {path}: {error}", file=sys.stderr)  # noqa: T201  (the only place left)
    return False
