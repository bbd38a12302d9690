"""`sgdb check --headless`: exit codes, the summary, and nothing left behind."""

import json
from pathlib import Path

import pytest

from tests.cli.conftest import Sgdb, files

ARRAYS = """
import torch
def make():
    x = torch.zeros(64, 5)
    y = torch.full((64, 1), float("{target}"))
    return x, y
"""


def summary(path: str = "out.json") -> dict[str, object]:
    found: dict[str, object] = json.loads(Path(path).read_text())
    return found


def test_a_sound_config_passes_with_exit_code_0_and_writes_the_summary(sgdb: Sgdb) -> None:
    result = sgdb("check", "run.toml", "--headless", "--json", "out.json")
    assert result.exit_code == 0, result.output
    assert result.stdout == ""
    assert "pass: overfit-one-batch" in result.stderr
    found = summary()
    assert list(found)[:11] == [
        *(
            "schema",
            "mode",
            "target",
            "status",
            "verdict",
            "steps",
            "seconds",
            "metrics",
            "checks",
            "findings",
        ),
        "notes",
    ]
    assert found["schema"] == 1
    assert (found["mode"], found["target"]) == ("check", "run.toml")
    assert (found["status"], found["verdict"], found["findings"]) == ("finished", "pass", [])
    (check,) = found["checks"]  # type: ignore[misc]
    assert check["name"] == "overfit-one-batch"
    assert check["status"] == "pass"
    assert "near zero" in check["reason"]
    assert check["seconds"] >= 0
    assert found["steps"] == check["evidence"]["steps"] > 0


def test_the_end_is_told_once(sgdb: Sgdb) -> None:
    result = sgdb("check", "run.toml", "--headless")
    assert result.stderr.count("overfit-one-batch") == 1
    assert " 0 it/s" not in result.stderr


def test_options_may_stand_before_a_config_or_behind_it(sgdb: Sgdb) -> None:
    for arguments in (
        ("--headless", "--json", "a.json", "run.toml"),
        ("run.toml", "--json", "b.json", "--headless"),
        ("--headless", "run.toml", "--json", "c.json", "--set", "optimizer.lr=0.02"),
    ):
        assert sgdb("check", *arguments).exit_code == 0
    assert {"a.json", "b.json", "c.json"} <= files(Path())


def test_a_broken_config_fails_with_exit_code_1_and_a_reason(sgdb: Sgdb) -> None:
    result = sgdb("check", "run.toml", "--headless", "--json", "out.json", "--set", "optimizer.lr=0")
    assert result.exit_code == 1
    assert "fail: overfit-one-batch" in result.stderr
    assert "the learning rate is 0" in result.stderr
    assert summary()["verdict"] == "fail"
    assert summary()["status"] == "finished"


def test_inconclusive_is_a_warning_with_exit_code_0(sgdb: Sgdb) -> None:
    result = sgdb("check", "run.toml", "--headless", "--json", "out.json", "--set", "check.overfit.steps=5")
    assert result.exit_code == 0
    assert "inconclusive: overfit-one-batch" in result.stderr
    (check,) = summary()["checks"]  # type: ignore[misc]
    assert (check["status"], summary()["verdict"]) == ("inconclusive", "warn")


def test_numbers_that_json_does_not_know_are_words(sgdb: Sgdb, folder: Path) -> None:
    (folder / "nan_targets.py").write_text(ARRAYS.format(target="nan"))
    text = (folder / "run.toml").read_text().replace('name = "wine"', 'use = "nan_targets:make"')
    (folder / "run.toml").write_text(text.replace("cross_entropy", "mse"))
    result = sgdb("check", "run.toml", "--headless", "--json", "out.json", "--set", "data.normalise=false")
    assert result.exit_code in (1, 2), result.output
    if result.exit_code == 1:
        (check,) = summary()["checks"]  # type: ignore[misc]
        assert check["evidence"]["start"] == "NaN"
        assert check["evidence"]["excess"] == "Infinity"


@pytest.mark.parametrize(
    "setting",
    ["run.seed=1", "optimizer.lr=0", "check.overfit.steps=2", "data.name=nonsense", "data.validation=0.999"],
    ids=["passes", "fails", "inconclusive", "refused", "refused by the engine"],
)
def test_no_file_is_left_here_in_runs_or_among_the_temporary_ones(
    sgdb: Sgdb, folder: Path, tmp_path: Path, setting: str
) -> None:
    result = sgdb("check", "run.toml", "--headless", "--set", setting)
    assert result.exit_code in (0, 1, 2)
    assert files(folder) == {"run.toml"}
    assert files(tmp_path / "temporary") == set()
    assert not [name for name in files(tmp_path / "state") if not name.endswith(("sgdb", "sock"))]


def test_an_exception_of_the_users_model_shows_its_traceback_and_leaves_no_file(
    sgdb: Sgdb, folder: Path, tmp_path: Path
) -> None:
    (folder / "raising_in_check.py").write_text(
        "from torch import nn\n"
        "class Net(nn.Module):\n"
        "    def __init__(self):\n"
        "        super().__init__()\n"
        "        self.layer, self.calls = nn.Linear(13, 3), 0\n"
        "    def forward(self, x):\n"
        "        self.calls += 1\n"
        "        if self.calls > 9:\n"
        "            raise ValueError('the tenth call')\n"
        "        return self.layer(x)\n"
    )
    text = (folder / "run.toml").read_text().replace('name = "mlp"', 'use = "raising_in_check:Net"')
    (folder / "run.toml").write_text(text)
    result = sgdb("check", "run.toml", "--headless", "--json", "out.json")
    assert result.exit_code == 1
    assert "Traceback" in result.stderr
    assert "raise ValueError('the tenth call')" in result.stderr
    assert summary()["status"] == "failed"
    assert summary()["verdict"] == "fail"
    assert files(folder) == {"run.toml", "raising_in_check.py", "out.json"}
    assert files(tmp_path / "temporary") == set()


def test_a_temporary_folder_that_cannot_be_made_is_told_in_words(
    sgdb: Sgdb, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", "/nowhere/at/all")
    result = sgdb("check", "run.toml", "--headless")
    assert result.exit_code == 2
    assert "set TMPDIR" in result.stderr
