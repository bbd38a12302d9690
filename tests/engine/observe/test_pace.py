"""How often what is costly is measured."""

import pytest

from sgdb_engine.observe.pace import Pace


def test_the_first_is_due_at_once_and_the_next_after_the_least_time() -> None:
    pace = Pace(0.01, 2.0)
    assert pace.due(100.0)
    pace.taken(100.0, 1.0)  # what the first one costs says little
    assert not pace.due(101.9)
    assert pace.due(102.0)


def test_what_costs_more_is_taken_less_often() -> None:
    pace = Pace(0.01, 2.0)
    pace.taken(100.0, 0.1)
    pace.taken(102.0, 0.1)
    assert not pace.due(111.9)
    assert pace.due(112.0 + 1e-9)


def test_a_day_has_less_than_twice_as_many_as_an_hour() -> None:
    def taken_in(seconds: int) -> int:
        pace, count = Pace(0.01, 0.5), 0
        for half in range(2 * seconds):
            if pace.due(half / 2):
                pace.taken(half / 2, 0.0)
                count += 1
        return count

    assert 100 < taken_in(3600) < 1000
    assert taken_in(86400) < 2 * taken_in(3600)


@pytest.mark.parametrize("share", [0.0, -1.0])
def test_without_a_share_it_is_never_due(share: float) -> None:
    pace = Pace(share, 1.0)
    assert not pace.is_on
    assert not pace.due(1e12)
