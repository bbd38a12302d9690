"""The moving average agrees with the loop that everybody would write."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sgdb_tui.plotting.smoothing import SHARE, Smoothing, smoothed


def loop(values: list[float], decay: float) -> list[float]:
    """Bias-corrected exponential moving average."""
    total = weight = 0.0
    averages = []
    for value in values:
        total, weight = total * decay, weight * decay
        if np.isfinite(value):
            total, weight = total + value, weight + 1
        averages.append(total / weight if np.isfinite(value) else float("nan"))
    return averages


@given(
    st.lists(st.floats(-100, 100) | st.just(float("nan")), min_size=3, max_size=300),
    st.sampled_from(["light", "strong"]),
)
def test_the_moving_average_agrees_with_a_loop(values: list[float], smoothing: Smoothing) -> None:
    x = np.arange(len(values), dtype=np.float64)
    span = 1000.0
    decay = float(np.exp(-1 / (SHARE[smoothing] * span)))
    result = smoothed(x, np.array(values), span, smoothing)
    np.testing.assert_allclose(result, loop(values, decay), rtol=1e-8, atol=1e-8)


def test_a_sparse_curve_stays_as_it_is() -> None:
    x, values = np.arange(0, 1000, 100.0), np.array([5.0, 1.0] * 5)
    np.testing.assert_allclose(smoothed(x, values, 1000.0, "light"), values, rtol=1e-3)


def test_a_constant_is_not_changed_by_smoothing() -> None:
    values = np.full(500, 0.7)
    assert smoothed(np.arange(500.0), values, 500.0, "strong") == pytest.approx(values)


def test_off_means_off() -> None:
    values = np.array([1.0, 5.0, 2.0, 8.0])
    assert smoothed(np.arange(4.0), values, 4.0, "off") is values
