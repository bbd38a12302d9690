"""The bridge: what it knows of a run folder, whatever is in there."""

import math
from collections.abc import Callable
from pathlib import Path

import pytest

from sgdb_engine.control import Pause
from sgdb_engine.errors import RunFolderError
from sgdb_engine.events import Finding, FindingChanged, RangesMeasured, RunDescribed, Validated, ValueRange
from sgdb_engine.recording.writer import Recorder
from sgdb_tui.bridge import RunView
from sgdb_tui.tensors import short_names
from tests.tui.app.recorded import make_folder, write_state


def opened(folder: Path) -> RunView:
    view = RunView(folder)
    while not view.caught_up:
        view.poll()
    return view


def test_no_run_there_is_an_error_of_the_users(tmp_path: Path) -> None:
    with pytest.raises(RunFolderError):
        RunView(tmp_path)


def test_it_knows_description_marks_findings_and_the_best(gpt_run: Path) -> None:
    view = opened(gpt_run)
    assert view.described.parameters == 10_682_112
    assert view.steps_planned == 5000
    kinds = [mark.kind for mark in view.marks]
    assert {"epoch", "checkpoint", "finding"} <= set(kinds)
    assert [finding.code for finding in view.findings.values()] == [
        "nonfinite-gradient",
        "vanishing-gradient",
        "overfitting",
    ]
    assert view.best == Validated(
        step=1300,
        wall=view.best.wall if view.best else 0,
        metrics={"val/loss": 0.4934, "val/accuracy": 0.9},
        best=True,
    )


def test_a_finding_told_again_replaces_itself(small_run: Callable[..., Path]) -> None:
    folder = small_run()
    recorder = Recorder(folder)
    for state in ("suspected", "confirmed", "cleared"):
        finding = Finding(code="x", severity="error", step=5, message=state, where=("a",), state=state)  # type: ignore[arg-type]
        recorder.event(FindingChanged(finding=finding))
    recorder.close()
    found = [finding for finding in opened(folder).findings.values() if finding.code == "x"]
    assert [finding.state for finding in found] == ["cleared"]


def test_it_knows_the_newest_ranges_of_a_check(empty_run: Path) -> None:
    view = opened(empty_run)
    assert view.ranges == ()
    recorder = Recorder(empty_run)
    for high in (1.0, float("nan")):
        recorder.event(RangesMeasured(rows=(ValueRange("input", "input", 0.0, high, 0.5, 0.1, 3),)))
    recorder.close()
    assert view.poll().events
    (row,) = view.ranges
    assert (row.place, row.name, row.low, row.nonfinite) == ("input", "input", 0.0, 3)
    assert math.isnan(row.high)


def test_printed_lines_come_once_and_a_progress_bar_stands_apart(empty_run: Path) -> None:
    output = empty_run / "output.log"
    view = opened(empty_run)
    output.write_text("one\ntwo\n 10 %")
    view.poll()
    view.poll()
    assert [line.text for line in view.log] == ["one", "two"]
    assert view.unfinished_line == " 10 %"
    with output.open("a") as file:
        file.write("\r 20 %")
    view.poll()
    assert view.unfinished_line == " 20 %"
    with output.open("a") as file:
        file.write("\rdone\nthree\n")
    view.poll()
    assert [line.text for line in view.log] == ["one", "two", "done", "three"]
    assert view.unfinished_line == ""


def test_poll_says_what_changed(empty_run: Path) -> None:
    view = opened(empty_run)
    assert not any((view.poll().scalars, view.poll().events, view.poll().log))
    recorder = Recorder(empty_run)
    recorder.event(RunDescribed(device="cpu"))
    recorder.scalars(("train/loss",), 1, 1.0, 1.0, [0.5])
    recorder.close()
    changed = view.poll()
    assert changed.scalars
    assert changed.events
    assert not changed.tensors


def test_a_command_to_nobody_is_answered_in_words(small_run: Callable[..., Path], tmp_path: Path) -> None:
    view = opened(small_run(socket=str(tmp_path / "nobody")))
    view.send(Pause())
    while view.asked:
        view.poll()
    assert "No engine answers" in view.log[-1].text


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff\xfe", b'{"state": 7}'])
def test_a_damaged_status_is_no_status(tmp_path: Path, content: bytes) -> None:
    folder = make_folder(tmp_path)
    (folder / "status.json").write_bytes(content)
    view = opened(folder)
    assert view.state == "starting"
    write_state(folder, "running")
    view.poll()
    (folder / "status.json").write_bytes(content)
    view.poll()
    assert view.state == "running"


def test_names_lose_what_says_nothing() -> None:
    names = ("model.net.0.weight", "model.net.0.bias", "model.head.weight")
    assert short_names(names) == ("net.0.weight", "net.0.bias", "head")
    assert short_names(("weight",)) == ("weight",)
    assert short_names(()) == ()
    assert len(set(short_names(("a.x", "a.x.weight")))) == 2
