"""The summary of a run or a check: the stable form that other programs read."""

import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import msgspec

from sgdb_engine.ending import End
from sgdb_engine.events import CheckStage, Finding, Verdict
from sgdb_engine.findings.order import root_cause_first
from sgdb_engine.measured import plain, swept_in
from sgdb_engine.recording.nonfinite import to_json
from sgdb_engine.session import Engine

SUMMARY_METRICS = ("train/", "val/")


class CheckSummary(msgspec.Struct, frozen=True, kw_only=True):
    """One check."""

    name: str
    status: str
    reason: str
    seconds: float
    evidence: dict[str, Any]


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """What `--json` writes. Non-finite numbers are the strings NaN, Infinity and -Infinity."""

    schema: Literal[1] = 1
    mode: str
    target: str
    status: str
    verdict: Verdict
    steps: int
    seconds: float
    metrics: dict[str, Any]
    checks: Sequence[CheckSummary]
    findings: Sequence[Finding]
    notes: Sequence[str]
    """What a reader should know: precision, what was held still."""
    message: str = ""
    lr_find: dict[str, Any] | msgspec.UnsetType = msgspec.UNSET
    """Of a range test: rates, losses, their moving average, suggestions."""


def summarise(engine: Engine, end: End, *, mode: str, target: str) -> Summary:
    """The summary of an engine that has ended."""
    return Summary(
        mode=mode,
        target=target,
        status=end.state,
        verdict=verdict_of(end, engine.checks, engine.findings),
        steps=engine.step,
        seconds=round(time.monotonic() - engine.started, 3),
        metrics={name: value for name, value in engine.latest().items() if name.startswith(SUMMARY_METRICS)},
        checks=[
            CheckSummary(
                name=c.name, status=c.status, reason=c.reason, seconds=c.seconds, evidence=c.evidence
            )
            for c in engine.checks
        ],
        findings=root_cause_first(engine.findings),
        notes=(*(engine.described.notes if engine.described else ()), *engine.notes),
        message=end.message,
        lr_find=plain(swept_in(engine.folder)) if mode == "lr-find" else msgspec.UNSET,
    )


def verdict_of(end: End, checks: Sequence[CheckStage], findings: Sequence[Finding]) -> Verdict:
    """fail where something failed or an error was found, warn for what is inconclusive or a warning, else pass."""
    statuses = {check.status for check in checks}
    severities = {finding.severity for finding in findings if finding.state == "confirmed"}
    if end.state == "failed" or "fail" in statuses or "error" in severities:
        return "fail"
    if statuses & {"warn", "inconclusive"} or "warning" in severities:
        return "warn"
    return "pass"


def write_summary(path: Path, summary: msgspec.Struct) -> None:
    """Writes it whole or not at all; into a pipe or a device as it is.

    Raises:
        OSError: the place cannot be written.
    """
    content = msgspec.json.format(to_json(summary), indent=2) + b"\n"
    if path.exists() and not path.is_file():
        path.write_bytes(content)
        return
    path = path.resolve()
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.write_bytes(content)
    draft.replace(path)
