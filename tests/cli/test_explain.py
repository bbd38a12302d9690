"""`sgdb explain`: one finding in words, or all codes."""

from sgdb_engine.findings.catalogue import catalogue
from tests.cli.conftest import Sgdb


def test_a_code_is_explained(sgdb: Sgdb) -> None:
    result = sgdb("explain", "no-zero-grad")
    assert result.exit_code == 0
    assert result.stderr == ""
    assert result.stdout.startswith(
        "Gradients never set to zero\nno-zero-grad · error · found by: check, run\n"
    )
    for words in ("optimizer.zero_grad()", "more than 90 %", "--mute no-zero-grad"):
        assert words in result.stdout


def test_all_codes_are_listed_without_one(sgdb: Sgdb) -> None:
    result = sgdb("explain")
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert [line.split()[0] for line in lines] == list(catalogue())
    assert "overfit              warning  Overfitting" in lines


def test_an_unknown_code_is_refused_with_those_near_to_it(sgdb: Sgdb) -> None:
    result = sgdb("explain", "no-zero-gard")
    assert result.exit_code == 2
    assert result.stdout == ""
    assert result.stderr == 'sgdb: there is no finding "no-zero-gard": did you mean no-zero-grad?\n'


def test_two_codes_are_one_too_many(sgdb: Sgdb) -> None:
    assert sgdb("explain", "lr-high", "lr-low").exit_code == 2
