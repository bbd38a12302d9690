"""`sgdb check` as its user sees it: the verdict, Enter, and the run of the same target; and its report."""

import subprocess
from pathlib import Path

import pytest

from sgdb_engine.recording.folder import find_runs, read_info, read_status
from tests.terminal.pseudo_terminal import ROOT, SGDB, Terminal

pytestmark = pytest.mark.slow
SCRIPT = ROOT / "tests" / "corpus" / "digits_mlp_adam.py"


def test_enter_after_the_check_starts_the_run_and_its_exit_code_counts(tmp_path: Path) -> None:
    terminal = Terminal([*SGDB.split(), "check", "--json", "check.json", str(SCRIPT)], tmp_path, 40, 120)
    terminal.wait_for("Press Enter to start the run")
    assert not (tmp_path / "runs").exists(), "a check leaves no trace"
    terminal.press("\r")
    terminal.wait_for("1 Loss")
    terminal.wait_for("FINISHED")
    terminal.press("q")
    assert terminal.wait_for_exit() == 0
    assert "Look at it again with" in terminal.text()
    (run,) = find_runs(tmp_path / "runs")
    assert read_info(run).mode == "run"
    assert read_status(run).state == "finished"
    assert '"mode": "check"' in (tmp_path / "check.json").read_text()


def test_q_after_the_check_leaves_no_run(tmp_path: Path) -> None:
    terminal = Terminal([*SGDB.split(), "check", str(SCRIPT)], tmp_path)
    terminal.wait_for("Press Enter to start the run")
    terminal.press("q")
    assert terminal.wait_for_exit() == 0
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["report.md", "report.html"])
def test_a_script_that_ends_in_the_middle_has_its_report(tmp_path: Path, name: str) -> None:
    command = [*SGDB.split(), "check", "--headless", "--report", name, str(SCRIPT)]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=110)
    assert result.returncode == 0, result.stderr
    text = (tmp_path / name).read_text(encoding="utf-8")
    assert "PASS" in text
    assert "overfit-one-batch" in text
    pictures = {"report-overfit.svg", "report-lr-range.svg"} if name.endswith(".md") else set()
    assert {path.name for path in tmp_path.iterdir()} == {name, *pictures}
    assert text.count("<svg") == (0 if pictures else 2)
