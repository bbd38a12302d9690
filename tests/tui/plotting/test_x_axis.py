"""Units of the x axis: both ways, and round labels."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sgdb_tui.plotting.x_axis import STEPS, XUnit, by_rising_value, by_time, scaled

SECONDS = by_time(np.array([0.0, 100.0, 200.0]), np.array([0.0, 10.0, 3600.0]))


@pytest.mark.parametrize("unit", [STEPS, scaled("epoch", 1 / 23), scaled("samples", 64), SECONDS])
@given(st.integers(0, 10**6))
def test_a_step_is_found_again_from_its_place(unit: XUnit, step: int) -> None:
    assert unit.step_at(unit.x_at(step)) == step


def test_a_pause_takes_its_time_on_the_axis() -> None:
    assert SECONDS.x_at(50) == pytest.approx(5)
    assert SECONDS.x_at(150) == pytest.approx(1805)


def test_times_have_round_labels() -> None:
    assert [SECONDS.label(x) for x in SECONDS.ticks(0, 3600, 90)] == [
        "0 s",
        "10:00",
        "20:00",
        "30:00",
        "40:00",
        "50:00",
        "1:00:00",
    ]


def test_times_that_stand_still_can_be_turned_round() -> None:
    unit = by_time(np.array([0.0, 1.0, 2.0]), np.array([5.0, 5.0, 5.0]))
    assert np.isfinite(unit.x_at(1))
    assert np.isfinite(unit.step_at(5.0))


def test_epochs_are_whole_numbers_where_they_can_be() -> None:
    epochs = scaled("epoch", 1 / 23)
    assert [epochs.label(x) for x in epochs.ticks(0, 10, 40)] == ["0", "2", "4", "6", "8", "10"]
    assert epochs.label(0.5) == "0.5"


RATES = by_rising_value("lr", np.arange(1.0, 81.0), 1e-7 * 10 ** (np.arange(80) * 8 / 79))


def test_a_learning_rate_that_rises_exponentially_lies_evenly_on_its_axis() -> None:
    assert RATES.x_at(1) == pytest.approx(-7)
    assert RATES.x_at(80) == pytest.approx(1)
    assert all(RATES.step_at(RATES.x_at(step)) == step for step in range(1, 81))


@pytest.mark.parametrize(("columns", "every"), [(80, 1), (40, 2), (20, 4)])
def test_its_labels_are_powers_of_ten(columns: int, every: int) -> None:
    ticks = RATES.ticks(-7.0, 1.0, columns)
    assert ticks == [power for power in range(-7, 2) if power % every == 0]
    assert [RATES.label(x) for x in (-7.0, -4.0, -3.0, -1.82, 0.0, 1.0)] == [
        *("1e-7", "1e-4", "0.001", "0.015", "1", "10")
    ]


def test_a_value_of_which_one_step_is_known_has_no_axis_yet() -> None:
    assert by_rising_value("lr", np.array([1.0]), np.array([1e-7])).x_at(5) == 5
