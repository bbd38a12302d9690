"""Which rank this process is."""

import pytest

from sgdb_engine.ranks.place import ALONE, Place, is_launched, own_place


@pytest.mark.parametrize(
    ("environment", "place"),
    [
        ({"RANK": "0", "WORLD_SIZE": "2"}, Place(0, 2)),
        ({"RANK": "7", "WORLD_SIZE": "8"}, Place(7, 8)),
        ({"RANK": "0", "WORLD_SIZE": "1"}, ALONE),
        ({}, ALONE),
        ({"RANK": "1"}, ALONE),
        ({"RANK": "one", "WORLD_SIZE": "2"}, ALONE),
        ({"RANK": "2", "WORLD_SIZE": "2"}, ALONE),
        ({"RANK": "-1", "WORLD_SIZE": "2"}, ALONE),
    ],
)
def test_as_the_launcher_says_and_alone_where_it_says_nothing_sensible(
    environment: dict[str, str], place: Place
) -> None:
    assert own_place(environment) == place


def test_a_process_of_a_launcher_has_no_terminal_of_its_own_even_if_it_is_the_only_one() -> None:
    assert is_launched({"RANK": "0", "WORLD_SIZE": "1", "TORCHELASTIC_RUN_ID": "none"})
    assert is_launched({"RANK": "1", "WORLD_SIZE": "2"})


@pytest.mark.parametrize("environment", [{}, {"RANK": "0", "WORLD_SIZE": "1"}])
def test_what_a_shell_has_left_in_its_environment_is_no_launcher(environment: dict[str, str]) -> None:
    assert not is_launched(environment)
