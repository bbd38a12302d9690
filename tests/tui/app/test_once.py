"""One frame as text, of a live run and of an ended one, without a terminal."""

import re
from collections.abc import Callable
from pathlib import Path

from sgdb_tui.app import render_once


def test_a_frame_is_plain_text_of_the_size_asked_for(gpt_run: Path) -> None:
    frame = render_once(gpt_run, 100, 30, color=False)
    lines = frame.splitlines()
    assert len(lines) == 30
    assert max(map(len, lines)) <= 100
    assert "\x1b" not in frame
    assert "RUNNING" in frame
    assert "train 0." in frame


def test_an_ended_run_has_a_frame_too(small_run: Callable[..., Path]) -> None:
    assert "FINISHED" in render_once(small_run("finished"), 80, 24, color=False)


def test_in_colour_the_words_are_the_same(gpt_run: Path) -> None:
    frame = render_once(gpt_run, 120, 40, color=True)
    assert "\x1b[" in frame
    assert "RUNNING" in re.sub(r"\x1b\[[0-9;]*m", "", frame)


def test_without_colour_the_map_is_spelled_in_glyphs(gpt_run: Path) -> None:
    row = next(
        line for line in render_once(gpt_run, 80, 24, color=False).splitlines() if "h.0.mlp.down" in line
    )
    assert re.search(r"-+l+L+", row)
