"""`--grid`: what is typed → axes and points, or all mistakes at once."""

from math import prod

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sgdb_engine.errors import ConfigError
from sgdb_engine.sweep.grid import Axis, ordered, parse_grid, points_of, short_names, split_values

words = st.text("abcxyz0123456789.-+_eE", min_size=1, max_size=6)
lists = st.lists(words, min_size=1, max_size=3).map(lambda parts: f"[{', '.join(parts)}]")
quoted = st.text("abc, =[]{}", max_size=6).map(lambda text: f'"{text}"')
values = st.one_of(words, lists, quoted)


def problems(*options: str) -> tuple[str, ...]:
    with pytest.raises(ConfigError) as caught:
        parse_grid(options)
    return caught.value.problems


@given(st.lists(values, min_size=1, max_size=6))
def test_values_are_split_at_commas_that_stand_in_no_brackets_and_no_quotes(parts: list[str]) -> None:
    assert split_values(",".join(parts)) == tuple(parts)
    assert split_values(" , ".join(parts)) == tuple(parts)


@given(st.text("ab,[]{}()\"'", max_size=12))
def test_whatever_is_typed_is_split_or_refused_and_nothing_is_lost(text: str) -> None:
    parts = split_values(text)
    assert parts is None or ",".join(parts) == text


@given(st.lists(st.integers(1, 5), min_size=1, max_size=4))
def test_there_is_one_point_for_each_combination(sizes: list[int]) -> None:
    axes = [Axis(f"a.k{i}", tuple(f"v{j}" for j in range(size))) for i, size in enumerate(sizes)]
    points = list(points_of(axes, ordered(axes)))
    assert len(points) == prod(sizes)
    assert [point.number for point in points] == list(range(1, len(points) + 1))
    assert len({point.settings for point in points}) == len(points)
    assert len({point.label for point in points}) == len(points)
    assert all([key for key, _ in point.settings] == [axis.key for axis in axes] for point in points)


def test_the_last_key_changes_fastest() -> None:
    axes = parse_grid(["optimizer.lr=1e-3,1e-2", "train.batch_size=32,full"])
    labels = [point.label for point in points_of(axes, ordered(axes))]
    assert labels == [
        "lr=1e-3 batch_size=32",
        "lr=1e-3 batch_size=full",
        "lr=1e-2 batch_size=32",
        "lr=1e-2 batch_size=full",
    ]


def test_a_key_may_be_an_argument_of_a_script() -> None:
    (axis,) = parse_grid(["--lr=1e-3,1e-2"])
    assert (axis.key, axis.values, axis.is_argument) == ("--lr", ("1e-3", "1e-2"), True)


def test_keys_that_end_alike_are_named_in_full() -> None:
    assert short_names(["model.name", "data.name", "optimizer.lr"]) == ("model.name", "data.name", "lr")


@pytest.mark.parametrize(
    ("option", "said"),
    [
        ("optimizer.lr", "write --grid section.key=value,value"),
        ("optimizer lr=1,2", "write --grid section.key=value,value"),
        ("=1,2", "write --grid section.key=value,value"),
        ("optimizer.lr=", "there are no values"),
        ("optimizer.lr=1,,2", "a value is empty"),
        ("optimizer.lr=1,2,", "a value is empty"),
        ("optimizer.betas=[0.9,0.99", "is not closed"),
        ('run.name="a,b', "is not closed"),
        ("optimizer.betas=0.9],[0.99", "is not closed"),
        ("optimizer.lr=1e-3,1e-2,0.001", "0.001 is there twice"),
    ],
)
def test_what_is_wrong_with_an_option_is_said(option: str, said: str) -> None:
    (problem,) = problems(option)
    assert said in problem


def test_true_and_1_are_two_values() -> None:
    assert parse_grid(["model.x=true,1"])[0].values == ("true", "1")


def test_a_key_that_is_given_twice_and_other_mistakes_are_told_together() -> None:
    said = problems("optimizer.lr=1", "optimizer.lr=2", "train.steps=1,1")
    assert len(said) == 2
    assert "optimizer.lr: is given 2 times" in said[1]


def test_no_grid_is_none() -> None:
    assert "a sweep needs a grid" in problems()[0]


def test_a_grid_of_more_than_ten_thousand_points_is_refused_before_they_are_made() -> None:
    hundred = ",".join(map(str, range(100)))
    options = [f"a.{name}={hundred}" for name in "bcdefgh"]
    assert "100,000,000,000,000 points are more than 10,000" in problems(*options)[0]
    assert len(parse_grid(options[:2])) == 2
