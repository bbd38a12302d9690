"""The summary that other programs read: its form is fixed."""

import json
import math
import os
import stat
from pathlib import Path
from typing import Any

import pytest

from sgdb_engine.ending import End
from sgdb_engine.events import CheckStage, CheckStatus, Finding, Severity, Verdict
from sgdb_engine.session import Engine
from sgdb_engine.summary import summarise, verdict_of, write_summary


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    """A run that has ended."""
    folder = tmp_path / "run"
    folder.mkdir()

    def training(engine: Engine) -> None:
        engine.validated({"val/loss": math.nan, "val/accuracy": 0.5})
        engine.metrics["lr"] = 0.1
        engine.checked(
            CheckStage(name="overfit-one-batch", status="warn", reason="still falling", seconds=1.5)
        )
        engine.found(
            Finding(
                code="nonfinite",
                severity="error",
                step=2,
                message="é\u202e",
                evidence={"grad_norm": math.inf},
            )
        )

    made = Engine(folder, training)
    made.start()
    assert made.wait(20) is not None
    return made


def written(engine: Engine, path: Path) -> dict[str, Any]:
    assert engine.end is not None
    write_summary(path, summarise(engine, engine.end, mode="check", target="run.toml"))
    content: dict[str, Any] = json.loads(path.read_text(), parse_constant=pytest.fail)
    return content


def test_it_has_the_stable_form(engine: Engine, tmp_path: Path) -> None:
    summary = written(engine, tmp_path / "out.json")
    assert list(summary)[:6] == ["schema", "mode", "target", "status", "verdict", "steps"]
    assert (summary["schema"], summary["mode"], summary["target"]) == (1, "check", "run.toml")
    assert (summary["status"], summary["verdict"], summary["steps"]) == ("finished", "fail", 0)
    assert summary["seconds"] >= 0
    check, finding = summary["checks"][0], summary["findings"][0]
    assert {"name", "status", "reason", "seconds"} <= set(check)
    assert {
        "code", "severity", "step", "message", "advice", "where", "location", "evidence", "state",
    } <= set(finding)  # fmt: skip


def test_numbers_that_json_lacks_are_strings_and_only_losses_and_metrics_are_told(
    engine: Engine, tmp_path: Path
) -> None:
    summary = written(engine, tmp_path / "out.json")
    assert summary["metrics"] == {"val/loss": "NaN", "val/accuracy": 0.5}
    assert summary["findings"][0]["evidence"] == {"grad_norm": "Infinity"}


def check(status: CheckStatus) -> CheckStage:
    return CheckStage(name="overfit-one-batch", status=status)


def finding(severity: Severity, state: Any = "confirmed") -> Finding:
    return Finding(code="x", severity=severity, step=1, message="", state=state)


@pytest.mark.parametrize(
    ("end", "checks", "findings", "verdict"),
    [
        ("finished", [], [], "pass"),
        ("stopped", [], [], "pass"),
        ("failed", [], [], "fail"),
        ("finished", [check("pass")], [], "pass"),
        ("finished", [check("skipped")], [], "pass"),
        ("finished", [check("pass"), check("warn")], [], "warn"),
        ("finished", [check("inconclusive")], [], "warn"),
        ("finished", [check("fail"), check("pass")], [], "fail"),
        ("finished", [], [finding("info")], "pass"),
        ("finished", [], [finding("warning")], "warn"),
        ("finished", [], [finding("error")], "fail"),
        ("finished", [], [finding("error", "cleared")], "pass"),
    ],
)
def test_the_verdict_is_the_worst_of_all(
    end: Any, checks: list[CheckStage], findings: list[Finding], verdict: Verdict
) -> None:
    assert verdict_of(End(end, 0), checks, findings) == verdict


def test_a_summary_is_replaced_whole_and_leaves_no_draft(engine: Engine, tmp_path: Path) -> None:
    path = tmp_path / "out.json"
    path.write_text("x" * 100_000)
    written(engine, path)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["out.json", "run"]


def test_a_place_that_cannot_be_written_is_an_os_error(engine: Engine, tmp_path: Path) -> None:
    with pytest.raises(OSError, match="nowhere"):
        written(engine, tmp_path / "nowhere" / "out.json")


def test_a_pipe_gets_it_as_it_is(engine: Engine, tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    assert engine.end is not None
    write_summary(pipe, summarise(engine, engine.end, mode="run", target="run.toml"))
    assert json.loads(os.read(reader, 65536))["mode"] == "run"
    os.close(reader)
    assert stat.S_ISFIFO(pipe.stat().st_mode)
