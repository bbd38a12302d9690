"""The heat map's maths: grey is normal, and what is not is told."""

import numpy as np
import pytest

from sgdb_tui.plotting.heat import (
    BROKEN,
    EMPTY,
    badness,
    deviations,
    levels_of,
    resampled,
    worst_first,
)

NONE = np.zeros((1, 1), np.bool_)


def healthy(num_layers: int = 9, num_bins: int = 100) -> np.ndarray:
    """Norms of layers that differ by a factor of two and fall together by four decades."""
    decay = 10 ** -np.linspace(0, 4, num_bins)
    return decay * np.logspace(-0.3, 0.3, num_layers, base=10)[:, None]


def levels(values: np.ndarray) -> np.ndarray:
    return levels_of(deviations(values), ~np.isfinite(values))


def test_layers_that_decay_together_are_normal() -> None:
    assert not levels(healthy()).any()


def test_a_vanishing_layer_goes_below_step_by_step() -> None:
    values = healthy()
    values[0] *= 10 ** -np.linspace(0, 5, 100)
    row = levels(values)[0]
    assert row[0] == 0
    assert row[-1] == -5
    assert (np.diff(row.astype(int)) <= 0).all()


def test_a_spike_common_to_all_layers_is_seen() -> None:
    values = healthy()
    values[:, 50] *= 100
    assert (levels(values)[:, 50] >= 2).all()


def test_the_dead_zone_is_three_quarters_of_a_decade() -> None:
    values = np.ones((9, 20))
    values[0], values[1] = 10**0.74, 10**-0.76
    assert levels(values)[0, 0] == 0
    assert levels(values)[1, 0] == -1


def test_non_finite_zero_and_unmeasured_bins_differ() -> None:
    values = np.ones((9, 4))
    values[0] = [0.0, np.nan, 1.0, np.inf]
    nonfinite = np.zeros((9, 4), np.bool_)
    nonfinite[0, 3] = True
    assert levels_of(deviations(values), nonfinite)[0].tolist() == [-5, EMPTY, 0, BROKEN]


def test_nothing_measured_is_empty() -> None:
    assert (levels_of(deviations(np.full((2, 3), np.nan)), np.zeros((2, 3), np.bool_)) == EMPTY).all()


def test_the_worst_rows_come_first_and_non_finite_before_all() -> None:
    values = healthy()
    values[4, 90:] *= 1e-4
    values[7, 99] = np.nan
    order = worst_first(badness(levels(values)))
    assert order[:2] == [7, 4]


def test_rows_of_nearly_the_same_score_keep_their_places() -> None:
    assert worst_first(np.array([0.1, 0.2, 9.0]), previous=[1, 0, 2]) == [2, 1, 0]


def test_the_worst_bin_of_a_column_is_shown() -> None:
    row = np.array([[0, 0, 3, 0, BROKEN, 0, EMPTY, EMPTY]], np.int8)
    edges = np.arange(0.0, 9.0)
    assert resampled(row, edges, 0, 8, 4).tolist() == [[0, 3, BROKEN, EMPTY]]


@pytest.mark.parametrize("num_columns", [0, 1, 7, 64])
def test_bins_are_spread_over_any_number_of_columns(num_columns: int) -> None:
    row = np.array([[1, 2]], np.int8)
    spread = resampled(row, np.array([0.0, 1.0, 2.0]), 0, 4, num_columns)
    assert spread.shape == (1, num_columns)
    if num_columns == 64:
        assert spread[0].tolist() == [1] * 16 + [2] * 16 + [EMPTY] * 32


def test_no_bins_are_empty_columns() -> None:
    none = np.zeros((2, 0), np.int8)
    assert (resampled(none, np.zeros(0), 0, 1, 3) == EMPTY).all()
    assert badness(none).tolist() == [0, 0]


def test_swings_common_to_all_layers_are_normal_where_they_never_cease() -> None:
    swings = 10 ** np.random.default_rng(0).normal(0, 1, 100)
    assert not levels(healthy() * swings).any()
