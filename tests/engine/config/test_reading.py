"""A config file becomes checked records, or every mistake in it is told at once."""

from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sgdb_engine.config import COMMENTED_CONFIG, RunConfig, as_dict, load_config, parse_config, records
from sgdb_engine.errors import ConfigError

SMALL = """
[data]
name = "digits"
[model]
name = "mlp"
[[loss]]
name = "cross_entropy"
[optimizer]
name = "adamw"
lr = 1e-3
[train]
epochs = 2
"""


def problems(text: str, *overrides: str) -> tuple[str, ...]:
    with pytest.raises(ConfigError) as caught:
        parse_config(text, origin="run.toml", overrides=overrides)
    return caught.value.problems


def problem(text: str, *overrides: str) -> str:
    found = problems(text, *overrides)
    assert len(found) == 1, found
    return found[0]


def test_what_is_left_out_has_the_documented_default() -> None:
    config = parse_config(SMALL, origin="run.toml")
    assert config.run.seed == 0
    assert config.data.validation == 0.2
    assert config.schedule.name == "constant"
    assert config.train.batch_size == 64
    assert config.check.overfit.steps == 400


def test_the_commented_config_is_whole_and_right() -> None:
    config = parse_config(COMMENTED_CONFIG, origin="run.toml")
    assert config.optimizer.lr == 1e-3
    for section in ("run", "data", "model", "loss", "optimizer", "schedule", "train", "observe", "check"):
        assert f"[{section}]" in COMMENTED_CONFIG


def test_a_run_is_named_after_its_file_where_it_has_no_name(tmp_path: Path) -> None:
    path = tmp_path / "my first try.toml"
    path.write_text(SMALL)
    assert load_config(path).run.name == "my-first-try"


def test_a_config_becomes_plain_values_for_the_run_folder() -> None:
    plain = as_dict(parse_config(SMALL, origin="run.toml"))
    assert plain["optimizer"] == {
        "name": "adamw",
        "lr": 1e-3,
        "weight_decay": 0.01,
        "betas": [0.9, 0.999],
    } or (plain["optimizer"]["betas"] == (0.9, 0.999))
    assert plain["loss"][0]["name"] == "cross_entropy"


def test_all_mistakes_of_a_file_are_told_at_once() -> None:
    text = SMALL.replace("lr = 1e-3", "lr = -1").replace('"mlp"', '"mpl"').replace("epochs = 2", "epochs = 0")
    found = "\n".join(problems(text + "[obsrve]\nbudget = 0.1\n"))
    assert "optimizer.lr = -1" in found
    assert 'model.name = "mpl"' in found
    assert "train.epochs = 0" in found
    assert "obsrve" in found


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("lr = 1e-3", 'lr = "1e-3"', 'optimizer.lr = "1e-3": must be a number, at least 0. Leave out the quotes.'),
        ("lr = 1e-3", "lr = nan", "optimizer.lr = NaN: must be a number"),
        ("lr = 1e-3", "lr = inf", "optimizer.lr = Infinity: must be a number"),
        ("lr = 1e-3", "lr = true", "optimizer.lr = true: must be a number"),
        ("lr = 1e-3", "", "optimizer.lr: missing; must be a number, at least 0"),
        ("lr = 1e-3", "lr = 1e-3\nbetas = [0.9]", "optimizer.betas = [0.9]: must be a list of 2"),
        ("lr = 1e-3", "lr = 1e-3\nmomentum = 0.9", "optimizer.momentum = 0.9: is a key of sgd and rmsprop only"),
        ("epochs = 2", "epochs = 2.5", "train.epochs = 2.5: must be a whole number, at least 1."),
        ("epochs = 2", "epochs = 2\nbatch_size = 0", 'a whole number, at least 1 or "full"'),
        ("epochs = 2", 'epochs = 2\nbatch_size = "ful"', "Did you mean 'full'?"),
        ("epochs = 2", "epochs = 2\nsteps = 5", "train.steps = 5: there are epochs too; keep one of the two"),
        ("epochs = 2", "", "train.epochs: missing"),
        ("epochs = 2", 'epochs = 2\nprecision = "fp8"', 'train.precision = "fp8": must be one of'),
        ("epochs = 2", 'epochs = 2\naccumulate = 2\nbatch_size = "full"', "nothing to accumulate"),
        ('"digits"', '"digit"', "Did you mean 'digits'?"),
        ('"digits"', '"digits"\nvalidaton = 0.1', "data.validaton = 0.1: unknown key; known here are"),
        ('"digits"', '"digits"\nvalidation = 1.0', "data.validation = 1.0: must be a number, at least 0 and below 1"),
        ('"digits"', '"digits"\nuse = "mine:make"', "data.use = \"mine:make\": data has a name too"),
        ('"digits"', '"csv"\ntarget = "y"', "data.path: missing; must be text in quotes"),
        ('"mlp"', '"mlp"\nheads = 2', "model.heads = 2: is a key of transformer only"),
        ('"mlp"', '"mlp"\ndropout = 1', "model.dropout = 1: must be a number, at least 0 and below 1."),
        ('"mlp"', '"transformer"\nwidth = 30\nheads = 4', "model.heads = 4: must divide model.width = 30"),
        ('"cross_entropy"', '"cross_entopy"', "Did you mean 'cross_entropy'?"),
        ('"cross_entropy"', '"cross_entropy"\nweight = 0', "nothing is left to minimise"),
        ('"cross_entropy"', '"cross_entropy"\n[[loss]]\nname = "cross_entropy"', "cross_entropy is there twice"),
        ("[[loss]]", "[loss]", "write [[loss]] with two brackets"),
        ("[train]", '[run]\ndevice = "gpu"\n[train]', 'run.device = "gpu": must be "auto", "cpu", "cuda" or "cuda:0"'),
        ("[train]", '[run]\nname = "../x"\n[train]', "a short name of letters"),
        ("[train]", "[run]\nseed = -1\n[train]", "run.seed = -1: must be a whole number, at least 0"),
        ("[train]", "[check]\noverfit = { step = 3 }\n[train]", "check.overfit.step = 3: unknown key"),
        ("[train]", '[schedule]\nname = "step"\n[train]', "schedule.every: missing; must be a whole number"),
        ("epochs = 2", "epochs = 2\nwarmup_steps = 5", "warmup_steps is a key of [schedule]."),
        ("[train]", "[scheduler]\n[train]", "Did you mean 'schedule'?"),
    ],
)  # fmt: skip
def test_a_mistake_is_told_with_key_value_and_what_is_right(old: str, new: str, told: str) -> None:
    assert old in SMALL
    assert told in problem(SMALL.replace(old, new))


def test_a_message_begins_with_the_file() -> None:
    assert problem(SMALL.replace("1e-3", "-1")).startswith("run.toml: optimizer.lr = -1: ")


def test_no_toml_is_told_with_line_column_and_the_line_itself() -> None:
    told = problem("[run]\nname = digits\n")
    assert told.startswith("run.toml: line 2, column 8: not TOML, ")
    assert '"name = digits"' in told


def test_a_section_that_is_no_table_is_told() -> None:
    assert "must be a table: [train]" in "\n".join(
        problems("train = 3\n" + SMALL.replace("[train]\nepochs = 2", ""))
    )


def test_what_a_terminal_would_obey_is_not_repeated() -> None:
    told = problem(SMALL.replace('"digits"', '"\\u001b[31m\\u009b2J"'))
    assert "\x1b" not in told
    assert "\x9b" not in told


def test_a_file_that_is_not_there_is_told_with_the_nearest(tmp_path: Path) -> None:
    (tmp_path / "digits.toml").write_text(SMALL)
    with pytest.raises(ConfigError, match=r"no such file\. Did you mean 'digits\.toml'\?"):
        load_config(tmp_path / "digit.toml")


@pytest.mark.parametrize("content", [b"\xff\xfe\x00", b"\x00" * 100])
def test_a_file_that_is_no_text_is_a_config_error(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "run.toml"
    path.write_bytes(content)
    with pytest.raises(ConfigError):
        load_config(path)


def test_a_folder_is_a_config_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        load_config(tmp_path)


def test_nesting_without_end_is_a_config_error() -> None:
    assert "nested too deeply" in problem("x = " + "[" * 100_000)


def test_every_name_of_the_schema_is_accepted() -> None:
    for name, record in records.OPTIMIZERS.items():
        config = parse_config(SMALL.replace('"adamw"', f'"{name}"'), origin="run.toml")
        assert type(config.optimizer) is record


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=5,
)
KEYS = st.sampled_from(
    [
        *(
            "data.name",
            "data.validation",
            "data.use",
            "model.name",
            "model.layers",
            "model.use",
            "loss",
            "loss.0",
        ),
        *(
            "loss.0.weight",
            "optimizer",
            "optimizer.lr",
            "optimizer.betas",
            "schedule.name",
            "train.batch_size",
        ),
        *("train", "run.name", "run.seed", "check.overfit", "observe.budget", "model", "data.arguments"),
    ]
)


@given(KEYS, VALUES)
def test_any_value_gives_a_config_or_a_config_error(key: str, value: object) -> None:
    text = str(value).lower() if isinstance(value, bool) else repr(value)
    with suppress(ConfigError):
        config = parse_config(SMALL, origin="run.toml", overrides=[f"{key}={text}"])
        assert isinstance(config, RunConfig)


@given(st.text())
def test_any_text_gives_a_config_or_a_config_error(text: str) -> None:
    with pytest.raises(ConfigError):
        parse_config(text, origin="run.toml")
