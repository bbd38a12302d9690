"""--set section.key=value."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sgdb_engine.config import COMMENTED_CONFIG, RunConfig, parse_config
from sgdb_engine.errors import ConfigError


def read(*overrides: str) -> RunConfig:
    return parse_config(COMMENTED_CONFIG, origin="run.toml", overrides=overrides)


def problem(*overrides: str) -> str:
    with pytest.raises(ConfigError) as caught:
        read(*overrides)
    return str(caught.value)


def test_a_number_text_list_and_table_are_read_as_toml() -> None:
    config = read(
        "optimizer.lr=0.5", 'run.name="x"', "optimizer.betas=[0.5, 0.6]", "check.overfit={steps = 7}"
    )
    assert config.optimizer.lr == 0.5
    assert config.run.name == "x"
    assert getattr(config.optimizer, "betas") == (0.5, 0.6)  # noqa: B009 (only Adam's record has it)
    assert config.check.overfit.steps == 7


def test_bare_text_needs_no_quotes() -> None:
    assert read("run.device=cpu").run.device == "cpu"


def test_the_last_of_two_options_wins() -> None:
    assert read("run.seed=1", "run.seed=2").run.seed == 2


def test_a_section_that_is_not_in_the_file_can_be_set() -> None:
    text = COMMENTED_CONFIG.replace("[observe]\nbudget = 0.02 ", "#")
    assert parse_config(text, origin="run.toml", overrides=["observe.budget=0.5"]).observe.budget == 0.5


def test_an_entry_of_a_list_is_counted_from_0() -> None:
    assert read("loss.0.weight=3").loss[0].weight == 3


def test_the_table_of_a_key_below_can_be_set() -> None:
    assert read("check.overfit.steps=9").check.overfit.steps == 9


@pytest.mark.parametrize(
    ("option", "told"),
    [
        ("optimizer.lr=fast", '--set optimizer.lr=fast: optimizer.lr = "fast": must be a number'),
        ("optimizer.lr=-1", "--set optimizer.lr=-1: optimizer.lr = -1: must be a number, at least 0"),
        ("optimizer.rl=1", "--set optimizer.rl=1: optimizer.rl = 1: unknown key"),
        ("lr=1", "lr is a key of [optimizer]"),
        ("=1", "write --set section.key=value"),
        ("optimizer.lr", "no '=' in it"),
        ("loss.3.weight=1", "there is no 3"),
        ("loss.weight=1", "number its entries: loss.0.weight"),
        ("run.seed.x=1", "there is no"),
    ],
)
def test_a_mistake_names_the_option(option: str, told: str) -> None:
    assert told in problem(option)


@given(st.text(max_size=30), st.sampled_from(["", "run.name=", "loss.", "check.overfit"]))
def test_any_option_gives_a_config_or_is_named_in_the_error(option: str, before: str) -> None:
    told = "--set"
    try:
        read(before + option)
    except ConfigError as error:
        told = str(error)
    assert "--set" in told


@pytest.mark.parametrize(
    ("typed", "steps", "epochs"), [("train.steps=5", 5, None), ("train.epochs=2", None, 2)]
)
def test_the_length_that_was_typed_takes_the_place_of_the_one_in_the_file(
    typed: str, steps: int | None, epochs: int | None
) -> None:
    for standing in ("epochs = 3", "steps = 30"):
        text = COMMENTED_CONFIG.replace("epochs = 30 ", standing + " ")
        train = parse_config(text, origin="run.toml", overrides=[typed]).train
        assert (train.steps, train.epochs) == (steps, epochs)
