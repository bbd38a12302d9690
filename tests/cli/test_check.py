"""`sgdb check --headless` of a config: exit codes, the summary, and nothing left behind."""

import json
from pathlib import Path

import pytest

from sgdb_engine.checks.preflight import STAGES
from tests.cli.conftest import CONFIG, Forked, Sgdb, files

ARRAYS = """
import torch
def make():
    x = torch.zeros(64, 5)
    y = torch.full((64, 1), float("{target}"))
    return x, y
"""


LONG = CONFIG.replace("epochs = 2", "epochs = 60").replace("lr = 0.01", "lr = 0.001")
"""Long enough for every stage, and without overfitting within them."""


@pytest.fixture(autouse=True)
def _long(folder: Path) -> None:
    (folder / "run.toml").write_text(LONG)


def summary(path: str = "out.json") -> dict[str, object]:
    found: dict[str, object] = json.loads(Path(path).read_text())
    return found


def check_named(name: str) -> dict[str, object]:
    """A stage in the summary."""
    (found,) = [check for check in summary()["checks"] if check["name"] == name]  # type: ignore[attr-defined]
    return found  # type: ignore[no-any-return]


def test_a_sound_config_passes_with_exit_code_0_and_writes_the_summary(forked: Forked) -> None:
    result = forked("check", "run.toml", "--headless", "--json", "out.json")
    assert result.exit_code == 0, result.stderr
    assert result.stdout == ""
    assert result.stderr.count("pass: overfit-one-batch") == 1
    assert " 0 it/s" not in result.stderr
    found = summary()
    assert list(found)[:11] == [
        *("schema", "mode", "target", "status", "verdict", "steps", "seconds", "metrics"),
        *("checks", "findings", "notes"),
    ]
    assert found["schema"] == 1
    assert (found["mode"], found["target"]) == ("check", "run.toml")
    assert (found["status"], found["verdict"], found["findings"]) == ("finished", "pass", [])
    assert [check["name"] for check in found["checks"]] == list(STAGES)  # type: ignore[attr-defined]
    check = check_named("overfit-one-batch")
    assert check["status"] == "pass"
    assert "near zero" in str(check["reason"])
    assert float(str(check["seconds"])) >= 0


def test_options_may_stand_before_a_config_or_behind_it(forked: Forked) -> None:
    for arguments in (
        ("--headless", "--json", "a.json", "run.toml"),
        ("run.toml", "--json", "b.json", "--headless"),
        ("--headless", "run.toml", "--json", "c.json", "--set", "optimizer.lr=-1"),
    ):
        assert forked("check", *arguments, "--set", "model.name=nonsense").exit_code == 2
    assert not {"a.json", "b.json", "c.json"} & files(Path()), "all were read to their end, and refused"


@pytest.mark.slow
def test_a_broken_config_fails_with_exit_code_1_and_a_reason(forked: Forked) -> None:
    result = forked("check", "run.toml", "--headless", "--json", "out.json", "--set", "optimizer.lr=0")
    assert result.exit_code == 1
    assert "fail: overfit-one-batch" in result.stderr
    assert "The learning rate 0 is too low" in result.stderr
    assert summary()["verdict"] == "fail"
    assert summary()["status"] == "finished"


@pytest.mark.slow
def test_inconclusive_is_a_warning_with_exit_code_0(forked: Forked) -> None:
    result = forked("check", "run.toml", "--headless", "--json", "out.json", "--set", "check.overfit.steps=1")
    assert result.exit_code == 0
    assert "inconclusive: overfit-one-batch" in result.stderr
    assert (check_named("overfit-one-batch")["status"], summary()["verdict"]) == ("inconclusive", "warn")


@pytest.mark.slow
def test_numbers_that_json_does_not_know_are_words(forked: Forked, folder: Path) -> None:
    (folder / "nan_targets.py").write_text(ARRAYS.format(target="nan"))
    text = LONG.replace('name = "wine"', 'use = "nan_targets:make"')
    (folder / "run.toml").write_text(text.replace("cross_entropy", "mse"))
    result = forked("check", "run.toml", "--headless", "--json", "out.json", "--set", "data.normalise=false")
    assert result.exit_code in (1, 2), result.stderr
    if result.exit_code == 1:
        assert "NaN" in Path("out.json").read_text()
        assert summary()["verdict"] == "fail"


@pytest.mark.parametrize(
    "setting",
    [
        pytest.param("run.seed=1", id="passes", marks=pytest.mark.slow),
        pytest.param("optimizer.lr=0", id="fails", marks=pytest.mark.slow),
        pytest.param("check.overfit.steps=2", id="inconclusive"),
        pytest.param("data.name=nonsense", id="refused"),
        pytest.param("data.validation=0.999", id="refused by the engine"),
    ],
)
def test_no_file_is_left_here_in_runs_or_among_the_temporary_ones(
    forked: Forked, folder: Path, tmp_path: Path, setting: str
) -> None:
    result = forked("check", "run.toml", "--headless", "--set", setting)
    assert result.exit_code in (0, 1, 2)
    assert files(folder) == {"run.toml"}
    assert files(tmp_path / "temporary") == set()
    assert not [name for name in files(tmp_path / "state") if not name.endswith(("sgdb", "sock"))]


RAISES = """
from torch import nn
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer, self.calls = nn.Linear(13, 3), 0
    def forward(self, x):
        self.calls += 1
        if self.calls > {calls}:
            raise ValueError('one call too many')
        return self.layer(x)
"""


@pytest.mark.parametrize("calls", [1, pytest.param(9, marks=pytest.mark.slow)])
def test_an_exception_of_the_users_model_is_told_and_leaves_no_file(
    forked: Forked, folder: Path, tmp_path: Path, calls: int
) -> None:
    """The first call of all is a trial, which is sgdb's."""
    (folder / "raises.py").write_text(RAISES.format(calls=calls))
    (folder / "run.toml").write_text(LONG.replace('name = "mlp"', 'use = "raises:Net"'))
    result = forked("check", "run.toml", "--headless", "--json", "out.json")
    if calls == 1:
        assert result.exit_code == 1
        assert "Traceback" in result.stderr
        assert "raise ValueError('one call too many')" in result.stderr
        assert (summary()["status"], summary()["verdict"]) == ("failed", "fail")
    else:
        assert "one call too many" in result.stderr
        assert summary()["verdict"] != "pass"
    assert files(folder) == {"run.toml", "raises.py", "out.json"}
    assert files(tmp_path / "temporary") == set()


def test_a_temporary_folder_that_cannot_be_made_is_told_in_words(
    sgdb: Sgdb, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", "/nowhere/at/all")
    result = sgdb("check", "run.toml", "--headless")
    assert result.exit_code == 2
    assert "set TMPDIR" in result.stderr
