"""Short steps are measured rarely, long ones always; what it costs is told."""

import pytest

from sgdb_engine.observe.budget import LEAST_SHARE, UNSEEN, Budget


def measured_steps(budget: Budget, steps: int, step_s: float, cost_s: float, fixed_s: float = 0.0) -> int:
    """How many of so many equal steps are measured."""
    measured, now = 0, 1000.0
    for _ in range(steps):
        spent = cost_s if now >= budget.due_from else 0.0
        measured += spent > 0
        now += step_s + spent
        budget.step_ended(step_s + spent, fixed_s, spent, now)
    return measured


def test_steps_of_a_third_of_a_millisecond_are_measured_rarely() -> None:
    assert 40 <= measured_steps(Budget(0.02), 2000, 0.3e-3, 0.13e-3) <= 90


def test_steps_of_fifty_milliseconds_are_all_measured() -> None:
    assert measured_steps(Budget(0.02), 500, 50e-3, 0.5e-3) == 500


def test_what_is_spent_stays_within_the_share_with_what_no_clock_sees() -> None:
    for step_s, cost_s in ((1e-4, 1e-3), (1e-3, 1e-3), (1e-2, 1e-3)):
        spent = measured_steps(Budget(0.02), 5000, step_s, cost_s) * cost_s
        assert UNSEEN * spent <= 0.021 * 5000 * step_s + 3 * UNSEEN * cost_s


def test_what_is_fixed_is_taken_from_the_share_but_never_all_of_it() -> None:
    free = measured_steps(Budget(0.02), 20_000, 1e-3, 1e-3)
    half = measured_steps(Budget(0.02), 20_000, 1e-3, 1e-3, fixed_s=0.005e-3)
    none_left = measured_steps(Budget(0.02), 20_000, 1e-3, 1e-3, fixed_s=1e-3)
    assert none_left < half < free
    assert none_left == pytest.approx(LEAST_SHARE * UNSEEN * free, rel=0.2)


def test_a_whole_budget_measures_every_step_and_none_measures_never() -> None:
    assert measured_steps(Budget(1.0), 100, 1e-4, 1e-2) == 100
    assert measured_steps(Budget(0.0), 100, 1.0, 1e-6) == 0


def test_a_long_wait_is_not_followed_by_a_burst() -> None:
    budget = Budget(0.02)
    measured_steps(budget, 100, 1e-3, 1e-3)
    assert budget.due_from <= 5000.0
    budget.step_ended(2e-3, 0.0, 1e-3, 5000.0)
    assert budget.due_from >= 5000.0 + 0.05


def test_the_own_share_counts_what_is_fixed_and_what_is_measured() -> None:
    budget = Budget(1.0)
    assert budget.own_share == 0
    for k in range(500):
        budget.step_ended(10e-3, 0.2e-3, 0.3e-3, k * 10e-3)
    assert budget.own_share == pytest.approx(0.05)


def test_quick_steps_cost_what_a_timed_one_did_and_what_their_rows_took() -> None:
    budget = Budget(0.02)
    for k in range(10):
        budget.step_ended(1e-3, 0.01e-3, 0.0, k * 1e-3)
    for _ in range(100):
        budget.quick_steps_ended(20, 20e-3, 0.2e-3)
    assert budget.own_share == pytest.approx(0.01 + 0.01, rel=0.01)
    assert budget.step_s == pytest.approx(1e-3, rel=0.01)


def measured_in_step(step_s: float, cost_s: float, steps: int = 4000) -> set[int]:
    """The steps that a rank measures, of so many."""
    budget, now, measured = Budget(0.02, in_step=True), 1000.0, set()
    for step in range(steps):
        spent = cost_s if budget.due(now, step) else 0.0
        if spent:
            measured.add(step + 1)
        now += step_s + spent
        budget.step_ended(step_s + spent, 0.0, spent, now)
    return measured


def test_ranks_of_different_speed_measure_steps_that_are_common_to_them() -> None:
    fast, slow = measured_in_step(1e-3, 0.3e-3), measured_in_step(1.1e-3, 0.9e-3)
    assert len(slow) < len(fast)
    assert len(slow - fast) <= 2
    assert len(slow & fast) >= 10


def test_ranks_that_measure_in_step_keep_to_the_share() -> None:
    for step_s, cost_s in ((1e-3, 1e-3), (1e-2, 1e-3)):
        spent = len(measured_in_step(step_s, cost_s)) * cost_s
        assert UNSEEN * spent <= 0.021 * 4000 * step_s + 4 * UNSEEN * cost_s


def test_ranks_never_leave_the_parts_of_a_step_untimed() -> None:
    budget = Budget(0.02, in_step=True)
    for k in range(100):
        budget.step_ended(1e-4, 1e-6, 0.0, k * 1e-4)
    assert not budget.allows_quick
