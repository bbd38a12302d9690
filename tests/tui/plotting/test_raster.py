"""Curves to dots: each extent against a slow twin; nothing between two dots is lost."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from sgdb_tui.plotting.raster import NUM_DOTS, braille, braille_bits, columns_of, extent, line_dots

values = st.lists(st.floats(0, 1) | st.just(float("nan")), min_size=0, max_size=60)


@given(values, st.integers(1, 30))
def test_the_extent_of_each_column_is_that_of_its_points(fractions: list[float], num_columns: int) -> None:
    x = np.arange(len(fractions), dtype=np.float64)
    y = np.array(fractions, np.float64)
    edges = np.linspace(0, max(1, len(fractions) - 1), num_columns + 1)
    lows, highs = extent(x, y, y, edges)
    for column in range(num_columns):
        last = column == num_columns - 1
        inside = [
            value
            for place, value in zip(x, y, strict=True)
            if edges[column] <= place and (place <= edges[-1] if last else place < edges[column + 1])
        ]
        finite = [value for value in inside if not np.isnan(value)]
        assert (np.isnan(lows[column]) and not finite) or lows[column] == min(finite)
        assert (np.isnan(highs[column]) and not finite) or highs[column] == max(finite)


@given(values, st.integers(1, 20), st.integers(1, 30))
def test_every_finite_point_has_its_dot(fractions: list[float], rows: int, columns: int) -> None:
    x = np.arange(len(fractions), dtype=np.float64)
    y = np.array(fractions, np.float64)
    edges = np.linspace(0, max(1, len(fractions) - 1), columns + 1)
    dots = line_dots(x, y, edges, rows)
    places = columns_of(x, edges[0], edges[-1], columns)
    for column, fraction in zip(places, y, strict=True):
        if not np.isnan(fraction):
            row = min(max(int((1 - fraction) * rows), 0), rows - 1)
            # a point on the border of two columns may fall on either side of it
            assert dots[row, max(0, column - 1) : column + 2].any()


def test_a_line_has_no_holes_between_two_points() -> None:
    dots = line_dots(np.array([0.0, 10.0]), np.array([0.0, 1.0]), np.linspace(0, 10, 21), 40)
    assert dots.any(axis=0).all()
    assert dots.any(axis=1).all()


def test_nan_leaves_a_gap() -> None:
    x = np.arange(11.0)
    y = np.full(11, 0.5)
    y[4:7] = np.nan
    dots = line_dots(x, y, np.linspace(-0.5, 10.5, 12), 4)
    assert dots.any(axis=0).tolist() == [True] * 4 + [False] * 3 + [True] * 4


def test_a_point_alone_is_drawn() -> None:
    assert line_dots(np.array([3.4]), np.array([0.5]), np.linspace(0, 10, 11), 4).sum() == 1


def test_an_empty_curve_draws_nothing() -> None:
    assert not line_dots(np.zeros(0), np.zeros(0), np.linspace(0, 1, 11), 8).any()


@given(st.integers(1, 5), st.integers(1, 5), st.randoms())
def test_braille_characters_have_the_dots_of_the_unicode_standard(h: int, w: int, random: object) -> None:
    seed = int(random.random() * 1e9)  # type: ignore[attr-defined]
    dots = np.random.default_rng(seed).random((4 * h, 2 * w)) < 0.4
    bits = braille_bits(dots)
    weights = {(0, 0): 1, (1, 0): 2, (2, 0): 4, (0, 1): 8, (1, 1): 16, (2, 1): 32, (3, 0): 64, (3, 1): 128}
    for row in range(h):
        for column in range(w):
            expected = sum(weight for (a, b), weight in weights.items() if dots[4 * row + a, 2 * column + b])
            assert bits[row, column] == expected
            assert braille(bits)[row, column] == chr(0x2800 + expected)
    assert NUM_DOTS[bits].sum() == dots.sum()


@given(st.floats(-10, 10), st.integers(1, 50))
def test_columns_outside_the_range_are_marked(x: float, num: int) -> None:
    column = int(columns_of(np.array([x]), -1.0, 1.0, num)[0])
    assert (column == -1) == (abs(x) > 1)
    assert column < num
