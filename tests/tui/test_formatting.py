"""Numbers to text: readable, and never wider than asked."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sgdb_tui.formatting import count, duration, fit, fit_name, fit_names, number, percent, size

anything = st.floats()
widths = st.integers(0, 12)


@pytest.mark.parametrize(
    ("value", "width", "text"),
    [
        (0.36042, 6, "0.3604"),
        (3.2e-4, 6, "3.2e-4"),
        (3e-5, 6, "3e-5"),
        (-4.4, 6, "-4.400"),
        (12345.6, 6, "12346"),
        (1e6, 6, "1e6"),
        (0.0, 6, "0"),
        (float("nan"), 6, "NaN"),
        (float("-inf"), 6, "-inf"),
        (9.99996, 6, "10.00"),
        (0.0011, 4, "1e-3"),
        (-3.2e-100, 4, "####"),
    ],
)
def test_numbers_read_as_a_person_would_write_them(value: float, width: int, text: str) -> None:
    assert number(value, width) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (4000, "4000"), (15000, "15k"), (12345, "12345"), (2_500_000, "2500k"), (10**9, "1G")],
)
def test_counts_use_a_unit_where_it_is_exact(value: int, text: str) -> None:
    assert count(value) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (3.5e-5, "35 µs"),
        (0.048, "48 ms"),
        (3.2, "3.2 s"),
        (45, "45 s"),
        (59.96, "1:00"),
        (5000, "1:23:20"),
        (273_600, "3d 04h"),
    ],
)
def test_durations_take_the_unit_that_fits(seconds: float, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("num_bytes", "text"), [(0, "0 B"), (812, "812 B"), (13_207_024_435, "12.3 GiB"), (1023, "1.0 KiB")]
)
def test_sizes_are_in_powers_of_1024(num_bytes: float, text: str) -> None:
    assert size(num_bytes) == text


def test_shares_are_percentages() -> None:
    assert [percent(share) for share in (0, 0.004, 0.12, 1)] == ["0 %", "0.4 %", "12 %", "100 %"]


@given(anything, widths)
def test_no_number_is_ever_wider_than_asked(value: float, width: int) -> None:
    assert all(len(write(value, width)) <= width for write in (number, count, size, duration, percent))


@given(st.floats(-1e300, 1e300).filter(lambda value: value == 0 or abs(value) > 1e-300))
def test_a_number_with_room_reads_back_within_a_percent(value: float) -> None:
    assert math.isclose(float(number(value, 12)), value, rel_tol=1e-2)


@given(st.text(), st.integers(0, 20))
def test_cut_text_fits(text: str, width: int) -> None:
    from rich.cells import cell_len

    assert cell_len(fit(text, width)) <= width
    assert cell_len(fit_name(text, width)) <= width


def test_names_are_cut_at_dots_from_the_left() -> None:
    assert fit_name("transformer.h.7.mlp.weight", 18) == "…h.7.mlp.weight"


def test_names_that_begin_alike_lose_equally_many_parts() -> None:
    names = ["net.h.1.w", "net.layer.10.w", "head.w"]
    assert fit_names(names, 12) == ["…h.1.w", "…layer.10.w", "head.w"]
