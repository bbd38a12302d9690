"""What a user gets wrong: a clear message, exit code 2, no traceback, nothing left lying about."""

import os
from pathlib import Path

import pytest

from tests.cli.conftest import CONFIG, Sgdb, files


def assert_refused(sgdb: Sgdb, folder: Path, *arguments: str, command: str = "run") -> str:
    """The message of a command that was refused as it should be."""
    before = files(folder)
    result = sgdb(command, *arguments, "--headless", "--json", "out.json")
    assert result.exit_code == 2, result.output
    assert result.stdout == ""
    left = {name for name in files(folder) if "__pycache__" not in name}
    assert left - {"runs"} == before
    assert not list(folder.glob("runs/*"))
    return str(result.stderr)


@pytest.mark.parametrize("command", ["run", "check"])
@pytest.mark.parametrize(
    ("target", "words"),
    [
        ("nowhere.toml", "there is no such file"),
        ("rum.toml", "run.toml"),
        ("syntax.py", "syntax.py, line 1: "),
        ("folder", "is a folder"),
        (".", "is a folder"),
        ("folder.toml", "cannot be read: Is a directory"),
        ("package.module:", 'is not "package.module:function"'),
        ("", "is a folder"),
        ("\x1b[31mred", "there is no such file"),
    ],
)
def test_what_is_no_target_is_refused(
    sgdb: Sgdb, folder: Path, command: str, target: str, words: str
) -> None:
    for name in ("folder", "folder.toml"):
        (folder / name).mkdir()
    (folder / "syntax.py").write_text("print('not to be run'")
    message = assert_refused(sgdb, folder, target, command=command)
    assert words in message
    assert "Traceback" not in message
    assert "\x1b" not in message


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_an_unreadable_file_is_refused(sgdb: Sgdb, folder: Path) -> None:
    (folder / "run.toml").chmod(0)
    assert "cannot be read: Permission denied" in assert_refused(sgdb, folder, "run.toml")


@pytest.mark.parametrize("content", [b"\xff\xfe\x00", b"[run\nname", b"", b"\x7fELF"])
def test_a_file_that_is_no_config_inside_is_refused(sgdb: Sgdb, folder: Path, content: bytes) -> None:
    (folder / "run.toml").write_bytes(content)
    message = assert_refused(sgdb, folder, "run.toml")
    assert message.startswith("sgdb: run.toml: ")
    assert "Traceback" not in message


def test_all_mistakes_are_told_at_once(sgdb: Sgdb, folder: Path) -> None:
    text = CONFIG.replace("lr = 0.01", "lr = -1").replace("batch_size = 32", 'batch_size = 0\nepoch = "x"')
    (folder / "run.toml").write_text(text + "[trian]\n")
    message = assert_refused(sgdb, folder, "run.toml")
    for words in ("optimizer.lr", "-1", "train.batch_size", "train.epoch", "Did you mean", "trian"):
        assert words in message
    assert len(message.splitlines()) >= 4


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("optimizer.lr=fast", "optimizer.lr"),
        ("optimizer.lr=nan", "optimizer.lr"),
        ("train.batch_size=0", "train.batch_size"),
        ("nonsense", "section.key=value"),
        ("model.widht=3", "width"),
        ("run.device=cuda:77", "cuda:77"),
        ("data.name=mnist", "data.path"),
        ("train.epochs=1e3", "train.epochs"),
    ],
)
def test_a_setting_that_cannot_be_is_refused(sgdb: Sgdb, folder: Path, setting: str, words: str) -> None:
    message = assert_refused(sgdb, folder, "run.toml", "--set", setting)
    assert words in message
    assert "Traceback" not in message


DATA = """
import numpy as np
def empty(): return np.zeros((0, 4)), np.zeros(0, dtype=int)
def uneven(): return np.zeros((5, 4)), np.zeros(6, dtype=int)
def one(): return np.zeros((5, 4))
def nothing(): return None
def beyond(): return np.zeros((20, 4)), np.arange(20) - 3
def raising(): raise RuntimeError("no network here")
def leaving(): raise SystemExit(7)
def words(): return "x", "y"
constant = 3
"""


@pytest.mark.parametrize("command", ["run", "check"])
@pytest.mark.parametrize(
    ("function", "words"),
    [
        ("empty", "empty"),
        ("uneven", "5"),
        ("one", "two things"),
        ("nothing", "NoneType"),
        ("beyond", "-3"),
        ("raising", "no network here"),
        ("leaving", "SystemExit"),
        ("words", ""),
        ("constant", "not something that can be called"),
        ("missing", "there is no missing"),
    ],
)
def test_data_that_cannot_be_used_are_refused(
    sgdb: Sgdb, folder: Path, command: str, function: str, words: str
) -> None:
    (folder / "bad_data.py").write_text(DATA)
    (folder / "run.toml").write_text(CONFIG.replace('name = "wine"', f'use = "bad_data:{function}"'))
    message = assert_refused(sgdb, folder, "run.toml", command=command)
    assert f"bad_data:{function}" in message
    assert words in message


MODELS = """
import torch
from torch import nn
def two(): return nn.Linear(13, 2)
def wrong(): return nn.Linear(7, 3)
def number(): return 3
def raising(): raise RuntimeError("out of ideas")
def empty(): return nn.Identity()
class Dictionary(nn.Linear):
    def __init__(self): super().__init__(13, 3)
    def forward(self, x): return {"scores": super().forward(x)}
"""


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("two", "2 classes, the data have 3"),
        ("wrong", "(2, 13)"),
        ("number", "int"),
        ("raising", "out of ideas"),
        ("empty", "no parameters"),
        ("Dictionary", "dict"),
        ("Missing", "there is no Missing"),
    ],
)
def test_a_model_that_does_not_fit_is_refused(sgdb: Sgdb, folder: Path, name: str, words: str) -> None:
    (folder / "bad_model.py").write_text(MODELS)
    (folder / "run.toml").write_text(CONFIG.replace('name = "mlp"', f'use = "bad_model:{name}"'))
    assert words in assert_refused(sgdb, folder, "run.toml")


def test_a_refusal_is_told_line_by_line_and_nothing_else_with_it(sgdb: Sgdb, folder: Path) -> None:
    (folder / "bad_model.py").write_text(MODELS)
    (folder / "run.toml").write_text(CONFIG.replace('name = "mlp"', 'use = "bad_model:raising"'))
    message = assert_refused(sgdb, folder, "run.toml")
    assert all(line.startswith("sgdb: ") for line in message.splitlines())
    assert "sgdb: failed" not in message
    assert 'raise RuntimeError("out of ideas")' in message


@pytest.mark.parametrize(
    "arguments", [["run.toml", "--lr", "3"], ["run.toml", "more"], [], ["--max-steps", "0", "run.toml"]]
)
def test_a_command_line_that_cannot_be_is_refused(sgdb: Sgdb, folder: Path, arguments: list[str]) -> None:
    message = assert_refused(sgdb, folder, *arguments)
    assert "Traceback" not in message


def test_only_scripts_train_in_several_processes(sgdb: Sgdb, folder: Path) -> None:
    assert "--nproc 2 train.py" in assert_refused(sgdb, folder, "--nproc", "2", "run.toml")


def test_under_torchrun_a_config_and_another_launch_are_refused(
    sgdb: Sgdb, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "train.py").write_text("")
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert "trains in one process" in assert_refused(sgdb, folder, "run.toml")
    (folder / "out.json").unlink(missing_ok=True)
    assert "leave it out" in assert_refused(sgdb, folder, "--nproc", "2", "train.py")


@pytest.mark.parametrize("place", ["nowhere/out.json", "folder", "/proc/out.json"])
def test_a_summary_that_could_not_be_written_is_refused_before_the_training(
    sgdb: Sgdb, folder: Path, place: str
) -> None:
    (folder / "folder").mkdir()
    result = sgdb("run", "run.toml", "--headless", "--json", place)
    assert result.exit_code == 2
    assert not (folder / "runs").exists()


def test_a_summary_of_an_earlier_run_is_not_touched_by_a_refusal(sgdb: Sgdb, folder: Path) -> None:
    (folder / "out.json").write_text("earlier")
    result = sgdb("run", "run.toml", "--headless", "--json", "out.json", "--set", "optimizer.lr=-1")
    assert result.exit_code == 2
    assert (folder / "out.json").read_text() == "earlier"


def test_a_runs_dir_that_cannot_be_made_is_told_in_words(sgdb: Sgdb, folder: Path) -> None:
    (folder / "file").write_text("")
    for place in ("file", "file/runs"):
        result = sgdb("run", "run.toml", "--headless", "--runs-dir", place)
        assert result.exit_code == 2
        assert "Traceback" not in result.stderr
