"""The worst pairs, and the matrix."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from sgdb_tui.plotting.cells import Ink
from sgdb_tui.plotting.confusion import Pair, draw_matrix, matrix_size, worst_pairs

MATRIX = np.array([[8, 2, 0], [5, 5, 0], [1, 0, 0]])
MATRICES = st.integers(1, 5).flatmap(
    lambda n: arrays.arrays(np.int64, (n, n), elements=st.integers(0, 10**9))
)


def test_the_most_frequent_mistakes_come_first() -> None:
    assert worst_pairs(MATRIX) == [Pair(1, 0, 5, 0.5), Pair(0, 1, 2, 0.2), Pair(2, 0, 1, 1.0)]
    assert worst_pairs(MATRIX, most=1) == [Pair(1, 0, 5, 0.5)]


def test_where_all_is_right_there_are_none() -> None:
    assert worst_pairs(np.diag([3, 4])) == []


@given(MATRICES)
def test_all_mistakes_are_in_some_pair(matrix: np.ndarray) -> None:
    pairs = worst_pairs(matrix)
    assert sum(pair.number for pair in pairs) == matrix.sum() - np.trace(matrix)
    assert all(pair.number == matrix[pair.true, pair.predicted] for pair in pairs)


def test_the_matrix_has_a_row_for_each_true_class() -> None:
    cells = draw_matrix(MATRIX, unicode=True)
    assert [cells.line(row).split() for row in range(cells.height)] == [
        ["true", "0", "1", "2"],
        ["0", "8", "2", "·"],
        ["1", "5", "5", "·"],
        ["2", "1", "·", "·"],
    ]
    right, wrong = cells.line(1).index("8"), cells.line(2).index("5")
    assert cells.inks[1, right] == Ink.GOOD
    assert cells.inks[2, wrong] == Ink.ERROR


@given(MATRICES)
def test_it_takes_the_room_that_it_says(matrix: np.ndarray) -> None:
    cells = draw_matrix(matrix, unicode=False)
    assert (cells.height, cells.width) == matrix_size(matrix)
    assert "#" not in "".join(cells.line(row) for row in range(cells.height))
