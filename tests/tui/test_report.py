"""The report of a check: what it says, its pictures, and where it cannot be written."""

import xml.etree.ElementTree as ET
from pathlib import Path

import msgspec
import numpy as np
import pytest
from click.testing import CliRunner

from sgdb.cli import commands
from sgdb_engine.events import Finding, RangesMeasured, ValueRange
from sgdb_engine.recording.writer import Recorder
from sgdb_engine.report import curves_of, ranges_of, write_report
from sgdb_engine.summary import CheckSummary, Summary
from sgdb_engine.svg_chart import SvgChart, SvgLine, axis_of, draw, ticks_of
from tests.terminal.pseudo_terminal import ROOT
from tests.tui.app.checked import FLOOR, NOT_LEARNT, RANGES, RATE_HIGH, SOUND, START, recorded_check
from tests.tui.app.recorded import make_folder

SVG = "{http://www.w3.org/2000/svg}"
HOSTILE = "<script>x</script> | `a` _b_ [c](d) \x1b[31m"


def summary(*, findings: tuple[Finding, ...] = (RATE_HIGH, NOT_LEARNT), message: str = "") -> Summary:
    evidence = {
        "overfit-one-batch": {"start": START, "floor": FLOOR, "threshold": 0.1},
        "lr-range": {"lowest": 0.15, "suggestion": 0.015},
    }
    checks = [
        CheckSummary(
            name=name,
            status="skipped" if name == "zero-input" else "pass",
            reason=reason,
            seconds=0.5,
            evidence=evidence.get(name, {}),
        )
        for name, reason in SOUND.items()
    ]
    return Summary(
        mode="check",
        target="train.py",
        status="finished",
        verdict="fail" if findings else "pass",
        steps=0,
        seconds=9.87,
        metrics={},
        checks=checks,
        findings=findings,
        notes=("precision: float32",),
        message=message,
    )


def words_of(svg: Path | str) -> list[str]:
    """Every text in a picture; fails where it is no XML."""
    root = ET.parse(svg).getroot() if isinstance(svg, Path) else ET.fromstring(svg)
    return [element.text or "" for element in root.iter(f"{SVG}text")]


def test_markdown_tells_verdict_findings_stages_and_links_its_pictures(tmp_path: Path) -> None:
    folder = recorded_check(tmp_path, "fail")
    write_report(tmp_path / "my report.md", summary(), folder)
    text = (tmp_path / "my report.md").read_text(encoding="utf-8")
    assert text.startswith("# sgdb check: FAIL\n")
    assert "12 of 13 stages done in 9.9 s" in text
    assert f"- **error lr-high**: {RATE_HIGH.message}" in text
    assert RATE_HIGH.advice in text
    assert "at `train.py:34`" in text
    assert f"    - **warning cannot-overfit**: {NOT_LEARNT.message}" in text, "folded under its cause"
    assert "| ✓ pass | gradient-check | 0.5 | autograd agrees with differences to 8e-09 |" in text
    assert "| ○ skipped | zero-input |" in text
    assert "- precision: float32" in text
    for name in ("my report-overfit.svg", "my report-lr-range.svg"):
        assert f"({name.replace(' ', '%20')})" in text
        assert (tmp_path / name).is_file()
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_file()) == [
        *("my report-lr-range.svg", "my report-overfit.svg", "my report.md")
    ]


def test_pictures_have_lines_levels_places_and_a_legend(tmp_path: Path) -> None:
    overfit, sweep = curves_of(summary(), recorded_check(tmp_path, "fail"))
    words = words_of(draw(overfit.chart))
    for word in ("your step", "rescue: Adam at 3e-3", "floor", "pass below 0.248", "update", "loss"):
        assert word in words
    assert [len(line.x) for line in overfit.chart.lines] == [200, 67]
    words = words_of(draw(sweep.chart))
    for word in ("lowest 0.15", "try 0.015", "yours 1", "learning rate", "1e-7", "0.1"):
        assert word in words
    assert sweep.chart.log_x


def test_html_is_one_file_with_the_pictures_in_it(tmp_path: Path) -> None:
    folder = recorded_check(tmp_path, "fail")
    write_report(tmp_path / "report.html", summary(), folder)
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert text.count("<svg") == 2
    assert '<span class="fail">FAIL</span>' in text
    assert "at <code>train.py:34</code>" in text
    cause, effect = text.index("lr-high"), text.index("cannot-overfit")
    assert text[cause:effect].count("<ul>") == 1, "folded under its cause"
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["report.html"]


def test_a_check_without_curves_and_findings_has_a_report_too(tmp_path: Path) -> None:
    folder = recorded_check(tmp_path, "wiring")
    for name in ("report.md", "report.html"):
        write_report(tmp_path / name, summary(findings=(), message="ValueError: x"), folder)
        text = (tmp_path / name).read_text(encoding="utf-8")
        assert "PASS" in text
        assert "Nothing was found." in text
        assert "The script ended: ValueError: x" in text
        assert "svg" not in text.replace("svg {", "")


def test_ranges_at_initialisation_are_a_table(tmp_path: Path) -> None:
    folder = recorded_check(tmp_path, "fail")
    write_report(tmp_path / "report.md", summary(), folder)
    text = (tmp_path / "report.md").read_text(encoding="utf-8")
    assert "## Ranges at initialisation\n\n| | name | min | max | mean | std | not finite |\n" in text
    assert "| input | input | 0 | 1 | 0.304 | 0.378 |  |" in text
    assert "| activation | relu1 | 0 | 1.3 | 0.13 | 0.19 |  |" in text
    assert "| parameter | fc2.bias | -0.05 | 0.08 | 0.01 | 0.05 | 2 |" in text
    assert "more\n" not in text[text.index("## Ranges") :]
    write_report(tmp_path / "report.html", summary(), folder)
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "<h2>Ranges at initialisation</h2>" in text
    assert '<tr><td>activation</td><td>relu1</td><td class="number">0</td>' in text
    for row in RANGES:
        assert f"<td>{row.place}</td><td>{row.name}</td>" in text


@pytest.mark.parametrize("suffix", ["md", "html"])
def test_of_many_ranges_the_first_are_told_and_how_many_more_there_are(tmp_path: Path, suffix: str) -> None:
    folder = recorded_check(tmp_path, "wiring")
    recorder = Recorder(folder)
    rows = tuple(ValueRange("parameter", f"<h>|.{n}", -1.0, float("nan"), 0.0, 1.0, 12345) for n in range(75))
    recorder.event(RangesMeasured(rows=rows))
    recorder.close()
    assert ranges_of(folder)[-1].name == "<h>|.74"
    write_report(tmp_path / f"report.{suffix}", summary(), folder)
    text = (tmp_path / f"report.{suffix}").read_text(encoding="utf-8")
    assert text.count("12,345") == 60
    assert "and 15 more" in text
    assert "<h>" not in text.replace("\\<h", "")
    assert "fc1.weight" not in text, "the newest word counts"


def test_a_check_that_measured_no_ranges_has_no_table(tmp_path: Path) -> None:
    folder = make_folder(tmp_path, mode="check")
    assert ranges_of(folder) == ()
    for name in ("report.md", "report.html"):
        write_report(tmp_path / name, summary(), folder)
        assert "Ranges" not in (tmp_path / name).read_text(encoding="utf-8")


def test_foreign_text_stays_text(tmp_path: Path) -> None:
    folder = recorded_check(tmp_path, "wiring")
    hostile = msgspec.structs.replace(RATE_HIGH, message=HOSTILE, advice=HOSTILE, location=HOSTILE)
    for name in ("report.md", "report.html"):
        write_report(tmp_path / name, summary(findings=(hostile,), message=HOSTILE), folder)
        text = (tmp_path / name).read_text(encoding="utf-8")
        assert "<script>" not in text.replace("`<script>", "")
        assert "\x1b" not in text
    assert "\\| \\`a\\` \\_b\\_ \\[c\\](d)" in (tmp_path / "report.md").read_text(encoding="utf-8")


def test_a_chart_draws_gaps_single_points_and_nothing_at_all() -> None:
    nan = float("nan")
    line = SvgLine("a<b", "#005faf", [1, 2, 3, 4, 5], [1.0, nan, 2.0, 3.0, float("inf")])
    picture = draw(SvgChart("title", "x", "y", [line, SvgLine("c", "#d75f00", [1], [1.0])]))
    assert picture.count("<polyline") == 1
    assert picture.count("<circle") == 2
    assert "a<b" in words_of(picture)
    empty = draw(SvgChart("title", "x", "y", [SvgLine("a", "#005faf", [], [])]))
    assert "<polyline" not in empty
    assert "nan" not in draw(SvgChart("title", "x", "y", [SvgLine("a", "#005faf", [1], [nan])]))


@pytest.mark.parametrize(
    ("values", "log", "ticks"),
    [
        ([0.0, 10.0], False, [0, 2, 4, 6, 8, 10]),
        ([-3.0, 1.0], False, [-3, -2, -1, 0, 1]),
        ([1e-7, 10.0], True, [1e-6, 1e-4, 1e-2, 1]),
        ([1.5, 30.0], True, [2, 5, 10, 20]),
        ([2.0, 2.4], True, [2.0, 2.1, 2.2, 2.3, 2.4]),
    ],
)
def test_ticks_are_round(values: list[float], log: bool, ticks: list[float]) -> None:
    assert np.allclose(ticks_of(axis_of(values, 0, 100, log=log)), ticks)


@pytest.mark.parametrize(
    ("place", "words"),
    [
        ("nowhere/report.md", "cannot be written there (No such file or directory)"),
        ("folder.html", "is a directory"),
        ("report.txt", "give a name that ends in .md or .html"),
        ("report", "give a name that ends in .md or .html"),
    ],
)
def test_a_report_that_cannot_be_written_is_refused_before_anything_is_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str, words: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder.html").mkdir()
    config = str(ROOT / "sample_configs" / "five_points.toml")
    result = CliRunner().invoke(commands, ["check", config, "--headless", "--report", place])
    assert result.exit_code == 2
    assert words in result.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["folder.html"]
