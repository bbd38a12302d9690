"""The title row of a chart."""

import numpy as np

from sgdb_tui.plotting.cells import Ink
from sgdb_tui.plotting.legend import legend
from sgdb_tui.plotting.series import Curve

X = np.array([0.0, 10.0, 20.0])
TRAIN = Curve("train", "t", "train", X, X + 1, X, X + 2, np.array([0, 0, 2]), 21.5)
VAL = Curve("val", "v", "val", X, X, X, X, np.zeros(3, np.int64))


def text(width: int, cursor: float | None = None, key: str | None = "━", place: str = "") -> str:
    runs = legend([TRAIN, VAL], width, cursor=cursor, hints=["log", place], key=key)
    return "".join(run.text for run in runs).rstrip()


def test_the_newest_values_are_shown() -> None:
    assert text(60) == "log  ━ train 21.50  ━ val 20.00"


def test_without_colours_letters_name_the_lines() -> None:
    assert text(60, key=None) == "log  t train 21.50  v val 20.00"


def test_at_the_cursor_the_range_of_the_bucket_is_shown() -> None:
    assert text(60, cursor=11.0) == "log  ━ train 11.00 (10.00..12.00)  ━ val 10.00"


def test_a_bucket_with_nan_says_so_in_red() -> None:
    assert "NaN ×2" in text(60, cursor=20.0)
    runs = legend([TRAIN], 60, cursor=20.0, hints=[], key="━")
    assert [run.ink for run in runs if run.text == "NaN"] == [Ink.ERROR]


def test_without_room_ranges_go_first_then_names_then_whole_fields() -> None:
    assert text(60, cursor=11.0) == "log  ━ train 11.00 (10.00..12.00)  ━ val 10.00"
    assert text(40, cursor=11.0) == "log  ━ train 11.00  ━ val 10.00"
    assert text(22) == "log  ━ 21.50  ━ 20.00"
    assert text(18, cursor=11.0, place="step 11") == "step 11  ━ 11.00"
    assert text(15) == "━ 21.50"
    assert text(3) == ""
