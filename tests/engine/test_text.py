"""Foreign text never reaches a terminal as anything but printable characters."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sgdb_engine.text import clean, clean_lines, without_escapes

ATTACKS = [
    "\x1b]52;c;cm0gLXJmIH4=\x07",  # writes the clipboard
    "\x1b]0;title\x07",
    "\x1b[2J\x1b[H",
    "\x9b31m",  # CSI as one character
    "\x90q\x9c",
    "a\u202eb",  # right to left override
    "a\u200bb",  # zero width space
    "line\nnext",
    "bell\x07",
    "half of a pair \ud800",
    "\u2028",
]


@pytest.mark.parametrize("text", ATTACKS)
def test_control_and_invisible_characters_become_visible_replacements(text: str) -> None:
    cleaned = clean(text)
    assert "\ufffd" in cleaned
    assert cleaned.isprintable()


@pytest.mark.parametrize(
    "text", ["", "layers.0.weight", "Größe", "損失", "list[int]", "[/]", "loss = 3.2e-04 ± 1"]
)
def test_honest_text_stays_as_it_is(text: str) -> None:
    assert clean(text) == text


def test_any_kind_of_space_becomes_a_plain_one() -> None:
    assert clean("a\u00a0b\u3000c") == "a b c"


def test_text_is_composed() -> None:
    assert clean("e\u0301") == "é"


def test_long_text_ends_in_an_ellipsis() -> None:
    assert clean("x" * 10_000) == "x" * 199 + "…"
    assert clean("abcdef", limit=4) == "abc…"


@given(st.text(alphabet=st.characters(), max_size=300), st.integers(1, 250))
def test_any_text_comes_out_printable_bounded_composed_and_stays_so(text: str, limit: int) -> None:
    cleaned = clean(text, limit)
    assert cleaned.isprintable()
    assert len(cleaned) <= limit
    assert unicodedata.is_normalized("NFC", cleaned)
    assert clean(cleaned, limit) == cleaned
    cleaned.encode("utf-8")


def test_lines_are_kept_and_tabs_are_expanded() -> None:
    assert clean_lines("a\r\n\tb\x1b[31m\n") == "a\n    b\ufffd[31m\n"


def test_of_too_many_lines_the_beginning_and_the_end_are_kept() -> None:
    lines = clean_lines("\n".join(map(str, range(100))), max_lines=10).split("\n")
    assert lines == ["0", "1", "2", "3", "4", "… 90 lines left out …", "95", "96", "97", "98", "99"]


@given(st.text(alphabet=st.characters(), max_size=300))
def test_any_lines_come_out_printable(text: str) -> None:
    assert all(line.isprintable() for line in clean_lines(text).split("\n"))


@pytest.mark.parametrize(
    ("coloured", "plain"),
    [
        ("\x1b[1;31mred\x1b[0m", "red"),
        ("\x1b]8;;http://x\x1b\\link\x1b]8;;\x07", "link"),
        ("\x1b(Bascii", "ascii"),
        ("no escapes", "no escapes"),
    ],
)
def test_colours_and_links_are_taken_out_of_program_output(coloured: str, plain: str) -> None:
    assert without_escapes(coloured) == plain
