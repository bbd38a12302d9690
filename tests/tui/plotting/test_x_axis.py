"""Units of the x axis: both ways, and round labels."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sgdb_tui.plotting.x_axis import STEPS, XUnit, by_time, scaled

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
