"""Whatever happens while a checkpoint is written or lies on disk, the newest whole one is found."""

import contextlib
import errno
import json
import os
import re
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from sgdb_engine.checkpoint import load_checkpoint, save_checkpoint
from sgdb_engine.errors import CheckpointError

DURABLE = ("mkdir", "open", "write", "fsync", "rename", "unlink", "rmdir")


def state(step: int) -> dict[str, Any]:
    return {"weight": torch.full((4,), float(step)), "lr": 0.1 * step}


def before_each_operation(patch: pytest.MonkeyPatch, act: Callable[[int, str], None]) -> None:
    """Calls `act(number, name)` before each operation that changes the disk or makes a change durable."""
    count = iter(range(10**9))

    def patched(name: str, original: Callable[..., Any]) -> Callable[..., Any]:
        def operation(*args: Any, **kwargs: Any) -> Any:
            if name != "open" or args[1] & os.O_CREAT:
                act(next(count), name)
            return original(*args, **kwargs)

        return operation

    for name in DURABLE:
        patch.setattr(os, name, patched(name, getattr(os, name)))


def operations_of_a_save(folder: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    save_checkpoint(folder, 1, state(1), keep=1)
    names: list[str] = []
    with monkeypatch.context() as patch:
        before_each_operation(patch, lambda number, name: names.append(name))
        save_checkpoint(folder, 2, state(2), keep=1)
    return names


def assert_holds_old_or_new(folder: Path) -> int:
    found = load_checkpoint(folder)
    assert found.rejected == ()
    assert found.step in (1, 2)
    assert torch.equal(found.state["weight"], state(found.step)["weight"])
    assert found.state["lr"] == state(found.step)["lr"]
    return found.step


def assert_next_save_clears_up(folder: Path) -> None:
    save_checkpoint(folder, 3, state(3), keep=1)
    assert load_checkpoint(folder).step == 3
    assert len(list(folder.iterdir())) == 1


def test_what_is_written_is_durable_before_it_is_visible(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert operations_of_a_save(tmp_path / "c", monkeypatch) == [
        "mkdir",
        *("open", "write", "write", "fsync"),  # the tensors: header and data
        *("open", "write", "fsync"),  # the state
        *("open", "write", "fsync"),  # the manifest
        "fsync",  # the folder of the three
        "rename",
        "fsync",  # the folder of the checkpoints
        *("rename", "unlink", "unlink", "unlink", "rmdir"),  # only then the one that is too old
    ]  # fmt: skip


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_killed_before_any_operation_the_old_or_the_new_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = []
    for fatal, _ in enumerate(operations_of_a_save(tmp_path / "dry", monkeypatch)):
        folder = tmp_path / str(fatal)
        save_checkpoint(folder, 1, state(1), keep=1)
        child = os.fork()
        if child == 0:
            patch = pytest.MonkeyPatch()
            before_each_operation(
                patch,
                lambda number, _, fatal=fatal: (
                    os.kill(os.getpid(), signal.SIGKILL) if number == fatal else None
                ),
            )
            with contextlib.suppress(BaseException):
                save_checkpoint(folder, 2, state(2), keep=1)
            os._exit(0)
        assert os.WTERMSIG(os.waitpid(child, 0)[1]) == signal.SIGKILL
        found.append(assert_holds_old_or_new(folder))
        assert_next_save_clears_up(folder)
    assert found == sorted(found)
    assert set(found) == {1, 2}


@pytest.mark.parametrize("lasting", [False, True], ids=["once", "from then on"])
def test_a_full_disk_at_any_operation_leaves_the_old_and_no_debris(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lasting: bool
) -> None:
    for full, _ in enumerate(operations_of_a_save(tmp_path / "dry", monkeypatch)):
        folder = tmp_path / str(full)
        save_checkpoint(folder, 1, state(1), keep=1)

        def fill(number: int, name: str, full: int = full) -> None:
            takes_room = name not in ("unlink", "rmdir")
            if number == full or (lasting and number > full and takes_room):
                raise OSError(errno.ENOSPC, "No space left on device")

        reason = ""
        with monkeypatch.context() as patch:
            before_each_operation(patch, fill)
            try:
                save_checkpoint(folder, 2, state(2), keep=1)
            except CheckpointError as error:
                reason = str(error)
        if assert_holds_old_or_new(folder) == 1:
            assert "No space left on device" in reason
            assert [path.name for path in folder.iterdir()] == ["step-00000001-000001"]
        assert_next_save_clears_up(folder)


@pytest.fixture
def two(tmp_path: Path) -> Path:
    """A folder with two checkpoints; the newer is to be damaged."""
    save_checkpoint(tmp_path, 1, state(1))
    save_checkpoint(tmp_path, 2, state(2))
    return tmp_path


@pytest.mark.parametrize(
    "error", [RuntimeError("CUDA error: out of memory"), OSError(errno.EIO, "I/O error")]
)
def test_any_failure_is_the_one_error_that_a_caller_expects(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def fail(number: int, name: str) -> None:
        if number == 3:
            raise error

    save_checkpoint(tmp_path, 1, state(1))
    with monkeypatch.context() as patch:
        before_each_operation(patch, fail)
        with pytest.raises(
            CheckpointError, match=f"No checkpoint of step 2 .*{re.escape(str(error))}.*untouched"
        ):
            save_checkpoint(tmp_path, 2, state(2))
    with pytest.raises(CheckpointError, match="No checkpoint of step 2"):
        save_checkpoint(tmp_path, 2, {"number": 10**5000})
    assert [path.name for path in tmp_path.iterdir()] == ["step-00000001-000001"]


FILES = ("MANIFEST.json", "state.json", "tensors.safetensors")
NEWEST = "step-00000002-000002"


def assert_older_is_used(folder: Path, name: str) -> None:
    found = load_checkpoint(folder)
    assert found.step == 1
    assert [path for path, _ in found.rejected] == [folder / NEWEST]
    assert name in found.rejected[0][1]
    assert (folder / NEWEST).exists(), "what is damaged is left for its owner to look at"


@pytest.mark.parametrize("name", FILES)
def test_any_flipped_byte_is_refused_and_the_older_one_is_used(two: Path, name: str) -> None:
    path = two / NEWEST / name
    whole = path.read_bytes()
    for index in range(len(whole)):
        damaged = bytearray(whole)
        damaged[index] ^= 1 << (index % 8)
        path.write_bytes(damaged)
        assert_older_is_used(two, name)
    path.write_bytes(whole)
    assert load_checkpoint(two).step == 2


@pytest.mark.parametrize("name", FILES)
def test_any_truncation_or_extension_is_refused(two: Path, name: str) -> None:
    path = two / NEWEST / name
    whole = path.read_bytes()
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        assert_older_is_used(two, name)
    path.write_bytes(whole + b" ")
    assert_older_is_used(two, name)


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("replace", ["nothing", "folder", "link", "pipe"])
def test_a_file_that_is_not_there_as_a_file_is_refused(two: Path, name: str, replace: str) -> None:
    path = two / NEWEST / name
    path.rename(two / "aside")
    match replace:
        case "folder":
            path.mkdir()
        case "link":
            path.symlink_to(two / "aside")
        case "pipe":
            os.mkfifo(path)
    assert_older_is_used(two, name if replace in ("nothing", "link") else "")


def test_a_manifest_of_another_format_is_refused_with_the_reason(
    two: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sgdb_engine.checkpoint.folder._FORMAT", 2)
    with pytest.raises(CheckpointError, match="format 1 is not 2"):
        load_checkpoint(two)


@pytest.mark.parametrize("text", ["", "null", "[]", "{}", '{"manifest": {}, "sha256": ""}', "[" * 100_000])
def test_a_forged_manifest_is_refused(two: Path, text: str) -> None:
    (two / NEWEST / "MANIFEST.json").write_text(text)
    assert load_checkpoint(two).step == 1


def test_without_a_whole_checkpoint_each_is_named_with_what_is_wrong(two: Path) -> None:
    for path in two.iterdir():
        (path / "state.json").write_text("{}")
    with pytest.raises(CheckpointError) as raised:
        load_checkpoint(two)
    assert str(raised.value).count("state.json is damaged") == 2


def test_an_empty_or_missing_folder_is_said(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "none"):
        with pytest.raises(CheckpointError, match="there is none"):
            load_checkpoint(folder)


def test_the_newest_are_kept_and_the_last_saved_counts_as_newest(tmp_path: Path) -> None:
    for step in (10, 200, 30, 40, 200, 50):  # going back happens
        save_checkpoint(tmp_path, step, state(step), keep=3)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "step-00000040-000004",
        "step-00000050-000006",
        "step-00000200-000005",
    ]
    assert load_checkpoint(tmp_path).step == 50


def test_only_the_owner_can_read_a_checkpoint(tmp_path: Path) -> None:
    path = save_checkpoint(tmp_path / "checkpoints", 1, state(1))
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert path.stat().st_mode & 0o777 == 0o700
    assert {file.name: file.stat().st_mode & 0o777 for file in path.iterdir()} == dict.fromkeys(FILES, 0o600)


@pytest.mark.parametrize("link", [os.symlink, os.link])
def test_a_planted_link_is_not_written_through(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, link: Callable[[Path, Path], None]
) -> None:
    folder, target = tmp_path / "c", tmp_path / "target"
    folder.mkdir()
    target.write_text("precious")

    def plant(_: int, name: str) -> None:
        if name == "open":  # the folder is made, its first file is not
            link(target, next(folder.iterdir()) / "tensors.safetensors")

    with monkeypatch.context() as patch:
        before_each_operation(patch, plant)
        with pytest.raises(CheckpointError, match="File exists"):
            save_checkpoint(folder, 1, state(1))
    assert target.read_text() == "precious"


def test_other_files_in_the_folder_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / "step-mine").mkdir()
    for step in range(5):
        save_checkpoint(tmp_path, step, state(step), keep=1)
    assert {path.name for path in tmp_path.iterdir()} == {"notes.txt", "step-mine", "step-00000004-000005"}


def test_the_files_can_be_read_without_sgdb(tmp_path: Path) -> None:
    safetensors = pytest.importorskip("safetensors.torch")
    path = save_checkpoint(tmp_path, 7, {"model": {"weight": torch.ones(2)}, "epoch": 3})
    assert safetensors.load_file(path / "tensors.safetensors")["model/weight"].tolist() == [1, 1]
    assert json.loads((path / "state.json").read_text())["epoch"] == 3
    assert json.loads((path / "MANIFEST.json").read_text())["manifest"]["step"] == 7


def test_a_copy_of_a_checkpoint_is_a_checkpoint(two: Path, tmp_path: Path) -> None:
    shutil.copytree(two / NEWEST, tmp_path / "elsewhere" / NEWEST)
    assert load_checkpoint(tmp_path / "elsewhere").step == 2
