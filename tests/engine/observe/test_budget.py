"""Short steps are measured rarely, long ones always; what it costs is told."""

import pytest

from sgdb_engine.observe.budget import Budget


def measured_steps(budget: Budget, steps: int, step_s: float, cost_s: float, fixed_s: float = 0.0) -> int:
    """How many of so many equal steps are measured."""
    measured = 0
    for _ in range(steps):
        spent = cost_s if budget.due() else 0.0
        measured += spent > 0
        budget.step_ended(step_s + spent, fixed_s, spent)
    return measured


def test_steps_of_a_third_of_a_millisecond_are_measured_rarely() -> None:
    assert 80 <= measured_steps(Budget(0.02), 2000, 0.3e-3, 0.13e-3) <= 110


def test_steps_of_fifty_milliseconds_are_all_measured() -> None:
    assert measured_steps(Budget(0.02), 500, 50e-3, 0.5e-3) == 500


def test_what_is_spent_stays_within_the_share() -> None:
    for step_s, cost_s in ((1e-4, 1e-3), (1e-3, 1e-3), (1e-2, 1e-3)):
        spent = measured_steps(Budget(0.02), 5000, step_s, cost_s) * cost_s
        assert spent <= 0.021 * 5000 * step_s + 2 * cost_s


def test_a_whole_budget_measures_every_step_and_none_measures_never() -> None:
    assert measured_steps(Budget(1.0), 100, 1e-4, 1e-2) == 100
    assert measured_steps(Budget(0.0), 100, 1.0, 1e-6) == 0


def test_a_long_wait_is_not_followed_by_a_burst() -> None:
    budget = Budget(0.02)
    measured_steps(budget, 100, 1e-3, 1e-3)
    budget.step_ended(3600.0, 0.0, 0.0)
    assert measured_steps(budget, 50, 1e-3, 1e-3) <= 4


def test_the_own_share_counts_what_is_fixed_and_what_is_measured() -> None:
    budget = Budget(1.0)
    assert budget.own_share == 0
    for _ in range(500):
        budget.step_ended(10e-3, 0.2e-3, 0.3e-3)
    assert budget.own_share == pytest.approx(0.05)


def test_what_recording_a_measurement_costs_is_paid_as_well() -> None:
    def measured(recording_s: float) -> int:
        budget, count = Budget(0.02), 0
        for _ in range(3000):
            due = budget.due()
            count += due
            budget.step_ended(1e-3, 0.0, 1e-4 if due else 0.0)
            if due:
                budget.pay(recording_s)
        return count

    assert measured(1e-4) == pytest.approx(measured(0.0) / 2, rel=0.05)
