"""The plane by class in cells."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sgdb_engine.recording.pictures import NO_CLASS, Regions
from sgdb_tui.plotting.cells import CLASSES, Ink, Paper
from sgdb_tui.plotting.regions import HALF, draw_regions, fill_of, is_wrong, label_of, sampled


def picture(grid: list[list[int]], examples: list[tuple[float, float, int]] = ()) -> Regions:
    cells = np.array(grid, np.uint8)
    return Regions(
        step=1,
        wall=0.0,
        height=cells.shape[0],
        width=cells.shape[1],
        low=(0.0, 0.0),
        high=(1.0, 1.0),
        cells=cells.tobytes(),
        points=np.array([example[:2] for example in examples], "<f4").tobytes(),
        targets=bytes(example[2] for example in examples),
    )


QUARTERS = picture([[0, 1], [2, 3]])


def test_painted_each_cell_holds_two_rows_of_the_plane() -> None:
    cells = draw_regions(QUARTERS, 2, 1, painted=True, unicode=True)
    assert cells.line(0) == HALF * 2
    assert cells.inks.tolist() == [[Ink.REGION, Ink.REGION + 1]]
    assert cells.papers.tolist() == [[Paper.REGION + 2, Paper.REGION + 3]]


def test_where_both_rows_are_of_one_class_there_is_no_glyph() -> None:
    cells = draw_regions(QUARTERS, 2, 2, painted=True, unicode=True)
    assert cells.line(0) == "  "
    assert cells.papers.tolist() == [[Paper.REGION, Paper.REGION + 1], [Paper.REGION + 2, Paper.REGION + 3]]


@pytest.mark.parametrize("unicode", [True, False])
def test_without_paint_a_sign_stands_for_each_class(unicode: bool) -> None:
    cells = draw_regions(QUARTERS, 4, 2, painted=False, unicode=unicode)
    signs = [fill_of(number, unicode=unicode) for number in range(4)]
    assert cells.line(0) == signs[0] * 2 + signs[1] * 2
    assert cells.line(1) == signs[2] * 2 + signs[3] * 2
    assert unicode or "".join(signs).isascii()


def test_where_there_is_no_class_there_is_nothing() -> None:
    nothing = picture([[NO_CLASS]])
    assert draw_regions(nothing, 2, 1, painted=False, unicode=True).line(0) == "  "
    assert draw_regions(nothing, 1, 1, painted=True, unicode=True).papers.tolist() == [[Paper.SURFACE]]


def test_examples_stand_where_they_lie_and_wrong_ones_are_red_and_on_top() -> None:
    examples = [(0.1, 0.9, 0), (0.9, 0.1, 3), (0.9, 0.12, 1), (0.9, 0.11, 3), (0.1, 0.1, 2)]
    drawn = picture([[0, 1], [2, 3]], examples)
    assert is_wrong(drawn).tolist() == [False, False, True, False, False]
    cells = draw_regions(drawn, 4, 2, painted=True, unicode=True)
    assert cells.line(0) == "0   "
    assert cells.line(1) == "2  1"
    assert cells.inks[1, 3] == Ink.ERROR
    assert cells.inks[0, 0] == Ink.CLASS
    assert cells.papers[1, 3] == Paper.REGION + 3


@given(st.integers(1, 9), st.integers(1, 9), st.integers(1, 20), st.integers(1, 20))
def test_sampling_takes_the_middle_of_each_part(rows: int, columns: int, height: int, width: int) -> None:
    grid = np.arange(rows * columns, dtype=np.uint8).reshape(rows, columns)
    found = sampled(grid, height, width)
    assert found.shape == (height, width)
    for row in range(height):
        for column in range(width):
            at = grid[int((row + 0.5) * rows / height), int((column + 0.5) * columns / width)]
            assert found[row, column] == at


@given(
    st.lists(
        st.tuples(st.floats(-2, 3, width=32), st.floats(-2, 3, width=32), st.integers(0, 255)), max_size=5
    ),
    st.integers(0, 12),
    st.integers(0, 6),
    st.booleans(),
)
def test_any_size_and_any_examples_can_be_drawn(
    examples: list[tuple[float, float, int]], width: int, height: int, painted: bool
) -> None:
    cells = draw_regions(
        picture([[0, 7, NO_CLASS], [255, 99, 3]], examples), width, height, painted=painted, unicode=True
    )
    assert (cells.height, cells.width) == (height, width)


def test_every_class_has_a_sign_and_a_label() -> None:
    assert len({fill_of(k, unicode=False) for k in range(CLASSES)}) == CLASSES
    assert len({fill_of(k, unicode=True) for k in range(CLASSES)}) == CLASSES
    assert [label_of(k) for k in (0, 9, 10, 61, 62, 255)] == ["0", "9", "a", "Z", "+", "+"]
