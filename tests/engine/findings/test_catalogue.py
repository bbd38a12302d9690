"""Every finding is explained in full, and docs/findings.md says the same."""

import re
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from sgdb_engine.errors import SgdbError
from sgdb_engine.findings import catalogue as module
from sgdb_engine.findings.catalogue import (
    FAMILIES,
    MEASURED,
    WIDTH,
    Entry,
    as_markdown,
    catalogue,
    entry,
    explained,
    listed,
)

DOCUMENT = Path(__file__).parents[3] / "docs" / "findings.md"
ENTRIES = list(catalogue().values())
PROSE = ("meaning", "measured", "threshold", "source", "healthy", "advice")

every_entry = pytest.mark.parametrize("one", ENTRIES, ids=lambda one: one.code)


def test_the_document_is_what_the_catalogue_says() -> None:
    assert DOCUMENT.read_text(encoding="utf-8") == as_markdown()


def test_the_module_prints_the_document() -> None:
    done = subprocess.run(
        [sys.executable, str(Path(module.__file__))],
        env={"PYTHONPATH": ":".join(sys.path), "LC_ALL": "C"},
        capture_output=True,
        check=True,
    )
    assert done.stdout.decode() == as_markdown()


@every_entry
def test_an_entry_is_complete(one: Entry) -> None:
    assert 0 < len(one.title) <= 50
    assert not one.title.endswith(".")
    for field in PROSE:
        text = getattr(one, field)
        assert re.search(r"\w.*\.\)?$", text), field
        assert "  " not in text
        assert "\n" not in text


@every_entry
def test_a_code_is_lower_case_words_with_hyphens(one: Entry) -> None:
    assert re.fullmatch(r"[a-z]+(-[a-z]+)*", one.code)
    assert catalogue()[one.code] is one


@every_entry
def test_an_example_is_python_and_shows_mistake_and_mend(one: Entry) -> None:
    compile(one.example, one.code, "exec")
    lines = one.example.splitlines()
    assert 3 <= len(lines) <= 8
    (turn,) = [i for i, line in enumerate(lines) if line.startswith("# ")]
    assert 0 < turn < len(lines) - 1
    assert max(map(len, lines)) <= 110


@every_entry
def test_the_text_for_the_terminal_has_all_that_is_known(one: Entry) -> None:
    text = explained(one)
    words = " ".join(text.split())
    assert text.startswith(f"{one.title}\n{one.code} · {one.severity}")
    assert text.endswith(f"How to mute: --mute {one.code}")
    for field in PROSE:
        assert getattr(one, field) in words, field
    assert all(f"    {line}".rstrip() in text for line in one.example.splitlines())
    prose = [line for line in text.splitlines() if not line.startswith("    ")]
    assert max(map(len, prose)) <= WIDTH


def test_what_measured_means_is_said_where_it_is_used() -> None:
    assert " ".join(explained(entry("not-shuffled")).split()).count(MEASURED) == 1
    assert MEASURED not in " ".join(explained(entry("opt-wrong-model")).split())


def test_families_stay_together_and_each_has_a_heading() -> None:
    order = list(dict.fromkeys(one.family for one in ENTRIES))
    assert order == list(FAMILIES)
    assert [one.family for one in ENTRIES] == sorted((one.family for one in ENTRIES), key=order.index)


def test_titles_are_not_used_twice() -> None:
    assert len({one.title for one in ENTRIES}) == len(ENTRIES)


def test_the_list_has_one_line_a_code() -> None:
    lines = list(listed())
    assert [line.split()[:2] for line in lines] == [[one.code, one.severity] for one in ENTRIES]
    assert max(map(len, lines)) <= 80


def test_the_document_links_to_each_section() -> None:
    text = as_markdown()
    for one in ENTRIES:
        assert text.count(f"| [{one.code}](#{one.code}) |") == 1
        assert text.count(f"\n### {one.code}\n") == 1


@pytest.mark.parametrize(
    ("code", "near"),
    [("no-zero-gard", "no-zero-grad"), ("NO_ZERO_GRAD", "no-zero-grad"), ("lr-hihg", "lr-high")],
)
def test_an_unknown_code_is_told_with_those_near_to_it(code: str, near: str) -> None:
    with pytest.raises(SgdbError, match=f'no finding "{code}": did you mean .*{near}'):
        entry(code)


def test_a_code_near_to_nothing_is_told_with_where_all_are_listed() -> None:
    with pytest.raises(SgdbError, match="sgdb explain lists all codes") as told:
        entry("\x1b[31m")
    assert "\x1b" not in str(told.value)


def test_a_key_that_is_misspelt_in_the_catalogue_is_refused() -> None:
    with pytest.raises(msgspec.ValidationError, match="advise"):
        msgspec.convert({**msgspec.structs.asdict(ENTRIES[0]), "advise": ""}, Entry)
