"""What a check has shown, for people, on a page of Markdown or HTML: verdict, findings, stages, curves, ranges."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from sgdb_engine.check_curves import LOSS, NO_INPUT, RATE, RESCUE, YOURS, Evidence, levels_of, rates_of
from sgdb_engine.events import Finding, RangesMeasured, ValueRange
from sgdb_engine.recording.reader import RunReader, read_scalars
from sgdb_engine.svg_chart import SvgChart, SvgLine, draw
from sgdb_engine.text import clean

if TYPE_CHECKING:
    from sgdb_engine.summary import Summary

VERDICTS = {"pass": "PASS", "warn": "WARNING", "fail": "FAIL"}
SIGNS = {"pass": "✓", "warn": "△", "inconclusive": "△", "fail": "✗", "skipped": "○"}
LINES = (
    (YOURS, "your step", "#005faf"),
    (RESCUE, "rescue: Adam at 3e-3", "#d75f00"),
    (NO_INPUT, "no input", "#008700"),
)
LAST_STEP = 2**31
MOST_RANGES = 60
RANGES_TITLE = "Ranges at initialisation"
RANGE_COLUMNS = ("min", "max", "mean", "std", "not finite")
STYLE = """\
body { font: 15px/1.5 sans-serif; color: #303030; background: #ffffff;
max-width: 60em; margin: 2em auto; padding: 0 1em; }
h1 span { padding: 0 .4em; color: #ffffff; } .pass { background: #005f00; } .warn { background: #875f00; }
.fail { background: #af0000; } table { border-collapse: collapse; } td, th { padding: .2em .7em; text-align: left;
vertical-align: top; border-bottom: 1px solid #e4e4e4; } td.number { text-align: right; white-space: nowrap; }
code { font-size: 90%; } li { margin: .4em 0; } svg { max-width: 100%; height: auto; display: block; margin: 1em 0; }
"""


@dataclass(frozen=True)
class Curve:
    """A picture of the report."""

    name: str
    """Of its file, behind that of the report."""
    chart: SvgChart


def write_report(path: Path, summary: "Summary", folder: Path) -> None:
    """Writes the report of a check, and beside a Markdown one its pictures.

    Args:
        path: a name that ends in .md or .html.
        summary: of the check.
        folder: the run folder, whose curves are drawn and whose ranges are told.

    Raises:
        OSError: the place cannot be written.
    """
    curves, ranges = curves_of(summary, folder), ranges_of(folder)
    if path.suffix == ".html":
        _write(path, as_html(summary, curves, ranges))
        return
    for curve in curves:
        _write(_picture_beside(path, curve), draw(curve.chart))
    _write(path, as_markdown(summary, curves, ranges, path))


def curves_of(summary: "Summary", folder: Path) -> list[Curve]:
    """What was recorded of the batch that was held still, and of the sweep of learning rates."""
    found = read_scalars(folder, [*(column for column, _, _ in LINES), RATE, LOSS], 0, LAST_STEP)
    stages = {stage.name: stage.evidence for stage in summary.checks}
    lines = [
        SvgLine(name, color, found[column][0].tolist(), found[column][1].tolist())
        for column, name, color in LINES
        if len(found[column][0])
    ]
    curves = []
    if lines:
        title = "One batch, learnt by heart"
        curves.append(Curve("overfit", SvgChart(title, "update", "loss", lines, levels=_levels(stages))))
    rates, losses = found[RATE][1].tolist(), found[LOSS][1].tolist()
    if rates and len(rates) == len(losses):
        line = SvgLine("loss", LINES[0][2], rates, losses)
        places = [(rate, f"{name} {rate:.2g}") for name, rate in rates_of(stages, summary.findings)]
        title = "Learning rate, from tiny to huge"
        chart = SvgChart(title, "learning rate", "loss", [line], places=places, log_x=True)
        curves.append(Curve("lr-range", chart))
    return curves


def ranges_of(folder: Path) -> tuple[ValueRange, ...]:
    """What was measured of the first minibatch and of the model before the first update; the newest word."""
    reader, caught_up = RunReader(folder), False
    ranges: tuple[ValueRange, ...] = ()
    while not caught_up:
        batch = reader.poll()
        caught_up = batch.caught_up
        for event in batch.events:
            if isinstance(event, RangesMeasured):
                ranges = event.rows
    return ranges


def as_markdown(summary: "Summary", curves: Sequence[Curve], ranges: Sequence[ValueRange], path: Path) -> str:
    """The report; pictures are linked, from files beside it."""
    lines = [
        f"# sgdb check: {VERDICTS[summary.verdict]}",
        "",
        f"`{_code(summary.target)}`, {_in_a_word(summary)}.",
    ]
    if summary.message:
        lines += ["", f"The script ended: {_md(summary.message)}"]
    lines += ["", "## Findings", ""]
    for finding in summary.findings:
        indent = "    " if finding.cause else ""
        lines.append(f"{indent}- **{_heading(finding)}**: {_md(finding.message)}")
        if finding.advice:
            lines += ["", f"{indent}  {_md(finding.advice)}"]
        if finding.location:
            lines += ["", f"{indent}  at `{_code(finding.location)}`"]
        lines.append("")
    if not summary.findings:
        lines += ["Nothing was found.", ""]
    lines += ["## Stages", "", "| | stage | seconds | |", "|---|---|---:|---|"]
    lines += [
        f"| {SIGNS.get(stage.status, '')} {stage.status} | {_md(stage.name)} | {stage.seconds:.1f} "
        f"| {_md(stage.reason)} |"
        for stage in summary.checks
    ]
    for curve in curves:
        name = _picture_beside(path, curve).name
        lines += ["", f"![{curve.chart.title}]({quote(name)})"]
    lines += [*_md_ranges(ranges), "", *(f"- {_md(note)}" for note in summary.notes)]
    return "\n".join(lines).rstrip() + "\n"


def as_html(summary: "Summary", curves: Sequence[Curve], ranges: Sequence[ValueRange]) -> str:
    """The report in one file, its pictures in it."""
    verdict, target = VERDICTS[summary.verdict], escape(clean(summary.target, 500))
    parts = [
        f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>sgdb check: {verdict}: {target}</title>',
        f"<style>\n{STYLE}</style></head><body>",
        f'<h1>sgdb check: <span class="{summary.verdict}">{verdict}</span></h1>',
        f"<p><code>{target}</code>, {_in_a_word(summary)}.</p>",
    ]
    if summary.message:
        parts.append(f"<p>The script ended: {_html(summary.message)}</p>")
    parts += ["<h2>Findings</h2>", _html_findings(summary.findings), "<h2>Stages</h2>", "<table>"]
    parts += [
        f"<tr><td>{SIGNS.get(stage.status, '')} {stage.status}</td><td>{_html(stage.name)}</td>"
        f'<td class="number">{stage.seconds:.1f} s</td><td>{_html(stage.reason)}</td></tr>'
        for stage in summary.checks
    ]
    parts += ["</table>", *(draw(curve.chart) for curve in curves), *_html_ranges(ranges)]
    if summary.notes:
        parts.append(f"<ul>{''.join(f'<li>{_html(note)}</li>' for note in summary.notes)}</ul>")
    return "\n".join([*parts, "</body></html>\n"])


def _md_ranges(ranges: Sequence[ValueRange]) -> list[str]:
    """A table under its heading; nothing where nothing was measured."""
    if not ranges:
        return []
    lines = ["", f"## {RANGES_TITLE}", "", f"| | name | {' | '.join(RANGE_COLUMNS)} |"]
    lines.append("|---|---|" + "---:|" * len(RANGE_COLUMNS))
    lines += [
        f"| {row.place} | {_md(row.name)} | {' | '.join(_numbers(row))} |" for row in ranges[:MOST_RANGES]
    ]
    left = len(ranges) - MOST_RANGES
    return [*lines, "", f"and {left} more"] if left > 0 else lines


def _html_ranges(ranges: Sequence[ValueRange]) -> list[str]:
    if not ranges:
        return []
    heads = "".join(f"<th>{name}</th>" for name in ("", "name", *RANGE_COLUMNS))
    parts = [f"<h2>{RANGES_TITLE}</h2>", f"<table>\n<tr>{heads}</tr>"]
    for row in ranges[:MOST_RANGES]:
        cells = "".join(f'<td class="number">{number}</td>' for number in _numbers(row))
        parts.append(f"<tr><td>{row.place}</td><td>{_html(row.name)}</td>{cells}</tr>")
    left = len(ranges) - MOST_RANGES
    return [*parts, "</table>", *([f"<p>and {left} more</p>"] if left > 0 else [])]


def _numbers(row: ValueRange) -> list[str]:
    """As they stand in the columns; what is not finite is told only where there is such."""
    shown = [f"{value:.4g}" for value in (row.low, row.high, row.mean, row.std)]
    return [*shown, f"{row.nonfinite:,}" if row.nonfinite else ""]


def _html_findings(findings: Sequence[Finding]) -> str:
    """A list; what follows from a cause is a list in its item."""
    if not findings:
        return "<p>Nothing was found.</p>"
    items: list[tuple[str, list[str]]] = []
    for finding in findings:
        place = f"<br>at <code>{_html(finding.location)}</code>" if finding.location else ""
        advice = f"<br>{_html(finding.advice)}" if finding.advice else ""
        words = f"<b>{_heading(finding)}</b>: {_html(finding.message)}{advice}{place}"
        if finding.cause and items:
            items[-1][1].append(words)
        else:
            items.append((words, []))
    return f"<ul>{''.join(map(_html_item, items))}</ul>"


def _html_item(item: tuple[str, list[str]]) -> str:
    words, effects = item
    folded = f"<ul>{''.join(f'<li>{effect}</li>' for effect in effects)}</ul>" if effects else ""
    return f"<li>{words}{folded}</li>"


def _levels(stages: Mapping[str, Evidence]) -> list[tuple[float, str]]:
    floor, passes = levels_of(stages)
    floors = [(floor, "floor")] if floor else []
    return [*floors, (passes, f"pass below {passes:.3g}")] if passes is not None else []


def _heading(finding: Finding) -> str:
    """Severity and code; what is not sure says so."""
    unsure = "" if finding.state == "confirmed" else f", {finding.state}"
    return f"{finding.severity} {clean(finding.code, 60)}{unsure}"


def _in_a_word(summary: "Summary") -> str:
    done = sum(stage.status != "skipped" for stage in summary.checks)
    return f"{done} of {len(summary.checks)} stages done in {summary.seconds:.1f} s"


def _md(text: str) -> str:
    """Foreign text as text: what Markdown would read as its own is escaped."""
    text = clean(text, 2000).replace("\\", "\\\\")
    for sign in "`*_[]<>|#":
        text = text.replace(sign, f"\\{sign}")
    return text


def _code(text: str) -> str:
    """Between backticks, of which there can be none in it."""
    return clean(text, 500).replace("`", "'")


def _html(text: str) -> str:
    return escape(clean(text, 2000))


def _picture_beside(path: Path, curve: Curve) -> Path:
    return path.with_name(f"{path.stem}-{curve.name}.svg")


def _write(path: Path, text: str) -> None:
    """Whole or not at all; into a pipe or a device as it is."""
    if path.exists() and not path.is_file():
        path.write_text(text, encoding="utf-8")
        return
    path = path.resolve()
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.write_text(text, encoding="utf-8")
    draft.replace(path)
