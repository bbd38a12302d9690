"""Where in the user's code something was called."""

import functools
import inspect
import sys
import types
from pathlib import Path

import pytest
from torch import nn

from sgdb_engine.witness.places import place_of_call


def here(back: int = 1) -> str:
    """This file and the caller's line."""
    frame = inspect.stack()[back]
    return f"{Path(frame.filename).relative_to(Path.cwd())}:{frame.lineno}"


@pytest.fixture(autouse=True)
def at_the_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(Path(__file__).parents[3])


def called_from(file: str, module: str, callee: str = "place_of_call") -> str | None:
    """The place, where line 3 of such a file asks for it."""
    spoken = types.ModuleType(module)
    vars(spoken).update(place_of_call=place_of_call, sorted=sorted)
    exec(compile(f"\n\nplace = {callee}()", file, "exec"), vars(spoken))
    place: str | None = spoken.place
    return place


def test_it_is_the_line_of_the_call() -> None:
    place, line = place_of_call(), here()
    assert place == line


def test_the_depth_leaves_out_who_asks() -> None:
    def asked() -> str | None:
        return place_of_call(2)

    place, line = asked(), here()
    assert place == line


def test_frames_of_pytorch_and_of_the_standard_library_are_passed_over() -> None:
    class Asking(nn.Module):
        def forward(self) -> str | None:
            return functools.reduce(lambda _, __: place_of_call(3), [0, 1])

    asking = nn.Sequential()
    asking.forward = Asking().forward  # type: ignore[method-assign]
    place, line = asking(), here()
    assert place is not None
    assert place.partition(":")[0] == line.partition(":")[0]


def test_below_the_working_directory_a_place_is_relative_to_it_else_whole() -> None:
    assert called_from(str(Path.cwd() / "src" / "train.py"), "__main__") == "src/train.py:3"
    assert called_from("/elsewhere/train.py", "__main__") == "/elsewhere/train.py:3"


@pytest.mark.parametrize(
    ("file", "module"),
    [
        ("/venv/lib/python3.11/site-packages/lightning/loop.py", "lightning.loop"),
        ("/usr/lib/python3/dist-packages/torch/nn/functional.py", "torch.nn.functional"),
        (inspect.getfile(functools), "functools"),
        ("/work/sgdb_engine/loop.py", "sgdb_engine.loop"),
        ("/work/sgdb/cli.py", "sgdb.cli"),
        ("<frozen importlib._bootstrap>", "importlib._bootstrap"),
        ("<string>", "__main__"),
    ],
)
def test_what_was_installed_is_not_the_users_own(file: str, module: str) -> None:
    place = called_from(file, module)
    assert place is not None
    assert place.startswith("tests/engine/witness/test_places.py:")


@pytest.mark.parametrize("module", ["sgdbtools.train", "my_sgdb", "__main__", "train"])
def test_what_is_only_called_like_sgdb_is_the_users_own(module: str) -> None:
    assert called_from("/elsewhere/train.py", module) == "/elsewhere/train.py:3"


def test_a_path_with_the_name_of_a_module_of_pythons_is_the_users_own() -> None:
    assert called_from("/home/me/importlib-demo/train.py", "__main__") == "/home/me/importlib-demo/train.py:3"


def test_nobodys_call_has_no_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "_getframe", lambda depth: None)
    assert place_of_call() is None
