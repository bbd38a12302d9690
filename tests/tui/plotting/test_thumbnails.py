"""Small images in cells."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from sgdb_tui.plotting.cells import PIXEL
from sgdb_tui.plotting.thumbnails import averaged, color_numbers, color_of, draw_thumbnail

IMAGES = arrays.arrays(np.uint8, st.tuples(st.integers(1, 9), st.integers(1, 9), st.sampled_from([1, 3])))


def rgb(number: int) -> tuple[int, int, int]:
    text = color_of(number)
    return int(text[1:3], 16), int(text[3:5], 16), int(text[5:7], 16)


def test_the_colours_are_those_of_the_xterm_palette() -> None:
    known = {16: "#000000", 21: "#0000ff", 67: "#5f87af", 196: "#ff0000", 231: "#ffffff", 232: "#080808"}
    assert {number: color_of(number) for number in known} == known
    assert color_of(255) == "#eeeeee"


@pytest.mark.parametrize("channels", [1, 3])
@given(value=st.integers(0, 255))
def test_a_grey_is_shown_by_a_grey_that_is_near(channels: int, value: int) -> None:
    (found,) = color_numbers(np.full((1, channels), float(value)))
    assert len(set(rgb(int(found)))) == 1
    assert abs(rgb(int(found))[0] - value) <= 9


@given(arrays.arrays(np.float64, (1, 3), elements=st.floats(0, 255)))
def test_a_colour_is_shown_by_one_that_is_near(pixel: np.ndarray) -> None:
    (found,) = color_numbers(pixel)
    assert np.abs(np.array(rgb(int(found))) - pixel[0]).max() <= 48


def test_painted_a_cell_holds_two_pixels() -> None:
    image = np.array([[[0]], [[255]]], np.uint8)
    cells = draw_thumbnail(image, 1, 1, painted=True, unicode=True)
    assert color_of(int(cells.inks[0, 0]) - PIXEL) == "#000000"
    assert color_of(int(cells.papers[0, 0]) - PIXEL) == "#ffffff"


@pytest.mark.parametrize("unicode", [True, False])
def test_without_paint_a_sign_stands_for_the_lightness(unicode: bool) -> None:
    image = np.array([[[0], [128], [255]]], np.uint8)
    line = draw_thumbnail(image, 3, 1, painted=False, unicode=unicode).line(0)
    assert line[0] == " "
    assert len(set(line)) == 3
    assert unicode or line.isascii()


@given(IMAGES)
def test_an_image_over_as_many_parts_is_itself(image: np.ndarray) -> None:
    assert (averaged(image, *image.shape[:2]) == image).all()


@given(IMAGES, st.integers(1, 3), st.integers(1, 3))
def test_a_part_of_several_pixels_is_their_mean(image: np.ndarray, down: int, across: int) -> None:
    large = np.repeat(np.repeat(image, down, axis=0), across, axis=1)
    assert averaged(large, *image.shape[:2]) == pytest.approx(image)
    assert (averaged(image, *large.shape[:2]) == large).all()


@given(IMAGES, st.integers(0, 12), st.integers(0, 6), st.booleans())
def test_any_size_can_be_drawn(image: np.ndarray, width: int, height: int, painted: bool) -> None:
    cells = draw_thumbnail(image, width, height, painted=painted, unicode=True)
    assert (cells.height, cells.width) == (height, width)
