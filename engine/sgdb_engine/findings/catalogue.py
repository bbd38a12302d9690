"""What each finding means, how it is measured and what to do: the texts of catalogue.toml, for terminal and docs."""

import difflib
import functools
import sys
import textwrap
import tomllib
from collections.abc import Iterator, Mapping
from itertools import groupby
from operator import attrgetter
from pathlib import Path
from types import MappingProxyType
from typing import Literal

import msgspec

from sgdb_engine.errors import SgdbError
from sgdb_engine.events import Severity
from sgdb_engine.text import clean

Family = Literal["wiring", "loss", "data", "leaks", "signals", "optimisation", "course"]
Where = Literal["check", "run", "both"]

WIDTH = 92
"""Columns of the text for the terminal."""
FAMILIES: dict[Family, str] = {
    "wiring": "Wiring",
    "loss": "The loss and its gradient",
    "data": "Data",
    "leaks": "Leaks inside the model",
    "signals": "Initial weights and signals",
    "optimisation": "Optimisation",
    "course": "The course of a run",
}
FOUND_BY: dict[Where, str] = {"check": "check", "run": "run", "both": "check, run"}
SECTIONS = (
    ("How it is measured", "measured"),
    ("Threshold", "threshold"),
    ("Where the threshold comes from", "source"),
    ("What is not flagged", "healthy"),
)
"""Headings of what stands behind the example, and the fields below them."""
RUNS = "434 short runs of 119 faulty and 75 healthy set-ups, small models on a CPU"
MEASURED = f"Measured: on {RUNS}."
HEAD = f"""\
<!-- Made by: python -m sgdb_engine.findings.catalogue > docs/findings.md -->

# Findings

Everything that `sgdb check` and `sgdb run` can find, by its code. An *error* makes a training wrong, a *warning*
probably costs something, an *info* is worth knowing. `--mute CODE` leaves one out. The same texts in the terminal:

```console
$ sgdb explain
$ sgdb explain no-zero-grad
```

Where a source says *measured*, the numbers are the extremes of the faulty and of the healthy ones among
{RUNS}.
"""


class Entry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One kind of finding, in words."""

    code: str
    title: str
    severity: Severity
    """The one that it usually has."""
    family: Family
    where: Where
    """Where it can be found: before a run, while it runs, or both."""
    meaning: str
    measured: str
    threshold: str
    source: str
    """Where the threshold comes from."""
    healthy: str
    """What looks like it and is left alone."""
    advice: str
    example: str
    """Python: the mistake and, behind a comment line, how it is mended."""


@functools.cache
def catalogue() -> Mapping[str, Entry]:
    """All entries by their code, in the order of their families."""
    text = Path(__file__).with_suffix(".toml").read_text(encoding="utf-8")
    return MappingProxyType({code: _entry(code, fields) for code, fields in tomllib.loads(text).items()})


def _entry(code: str, fields: Mapping[str, str]) -> Entry:
    unfolded = {key: " ".join(value.split()) for key, value in fields.items() if key != "example"}
    return msgspec.convert({**unfolded, "code": code, "example": fields.get("example", "").strip()}, Entry)


def entry(code: str) -> Entry:
    """The entry of a code; one that is not known is a mistake of the user's."""
    known = catalogue()
    if code in known:
        return known[code]
    near = difflib.get_close_matches(code.lower().replace("_", "-"), known, n=3, cutoff=0.6)
    hint = f"did you mean {' or '.join(near)}?" if near else "sgdb explain lists all codes"
    raise SgdbError(f'there is no finding "{clean(code, 60)}": {hint}')


def listed() -> Iterator[str]:
    """All codes with severity and title, one a line."""
    entries = catalogue().values()
    width = max(len(each.code) for each in entries)
    for each in entries:
        yield f"{each.code:<{width}}  {each.severity:<7}  {each.title}"


def explained(entry: Entry) -> str:
    """The entry as text for the terminal."""
    sections = [(heading, _wrapped(getattr(entry, field))) for heading, field in SECTIONS]
    blocks = [
        f"{entry.title}\n{entry.code} · {entry.severity} · found by: {FOUND_BY[entry.where]}",
        _wrapped(entry.meaning, ""),
        f"What to do\n{_wrapped(entry.advice)}",
        f"Example\n{textwrap.indent(entry.example, '    ')}",
        *(f"{heading}\n{text}" for heading, text in sections),
        *([_wrapped(MEASURED, "")] if "measured" in entry.source.lower() else []),
        f"How to mute: --mute {entry.code}",
    ]
    return "\n\n".join(blocks)


def _wrapped(text: str, indent: str = "  ") -> str:
    return textwrap.fill(
        text,
        WIDTH,
        initial_indent=indent,
        subsequent_indent=indent,
        break_on_hyphens=False,
        break_long_words=False,
    )


def as_markdown() -> str:
    """docs/findings.md as a whole."""
    parts = [HEAD, _table()]
    for family, entries in groupby(catalogue().values(), attrgetter("family")):
        parts += [f"## {FAMILIES[family]}\n", *(_section(each) for each in entries)]
    return "\n".join(parts)


def _table() -> str:
    rows = [
        f"| [{each.code}](#{each.code}) | {each.title} | {each.severity} | {FOUND_BY[each.where]} |"
        for each in catalogue().values()
    ]
    return "\n".join(["| code | what | severity | found by |", "|---|---|---|---|", *rows, ""])


def _section(entry: Entry) -> str:
    """Fenced as `py`, not `python`: an example is a fragment that cannot be run."""
    items = [f"- **{heading}.** {getattr(entry, field)}" for heading, field in SECTIONS]
    return "\n".join(
        [
            f"### {entry.code}\n",
            f"**{entry.title}** · {entry.severity} · {FOUND_BY[entry.where]}\n",
            f"{entry.meaning}\n",
            f"**What to do.** {entry.advice}\n",
            f"```py\n{entry.example}\n```\n",
            *items,
            "",
        ]
    )


def main() -> None:
    """Writes docs/findings.md to stdout."""
    sys.stdout.buffer.write(as_markdown().encode())


if __name__ == "__main__":
    main()
