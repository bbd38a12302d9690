"""Run folders are made for their owner, found by any of their names, and read without trust."""

import os
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from sgdb_engine.errors import RunFolderError
from sgdb_engine.recording.folder import (
    RunInfo,
    RunStatus,
    create_run_folder,
    find_run,
    find_runs,
    is_alive,
    read_info,
    read_status,
    write_info,
    write_status,
)
from sgdb_engine.recording.liveness import boot_id, host_name, own_start_time


def info(name: str, run_id: str = "id") -> RunInfo:
    return RunInfo(id=run_id, name=name, mode="run", target="train.py")


def own_status() -> RunStatus:
    return RunStatus(
        host=host_name(), boot_id=boot_id(), pid=os.getpid(), start_time=own_start_time(), state="running"
    )


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """A runs folder with runs alpha, beta, beta again; a second apart, so the second beta is the newest."""
    for number, name in enumerate(["alpha", "beta", "beta"]):
        folder = create_run_folder(tmp_path / "runs", name)
        write_info(folder, info(name, f"id-{number}"))
        os.utime(folder / "run.json", (number, number))
    return tmp_path / "runs"


def test_a_new_folder_is_for_its_owner_alone_and_never_an_old_one(tmp_path: Path) -> None:
    folders = {create_run_folder(tmp_path / "runs", "digits") for _ in range(3)}
    assert len(folders) == 3
    assert all(folder.stat().st_mode & 0o777 == 0o700 for folder in folders)
    assert all(folder.name.startswith("digits-2") for folder in folders)


@pytest.mark.parametrize(
    ("name", "start"),
    [("../../etc", "etc-"), ("", "run-"), ("a b\x1b[2J", "a-b--2J-"), ("é" * 300, "run-"), ("..", "run-")],
)
def test_a_name_never_leads_out_of_the_runs_folder(tmp_path: Path, name: str, start: str) -> None:
    folder = create_run_folder(tmp_path, name)
    assert folder.parent == tmp_path
    assert folder.name.startswith(start)


def test_where_no_folder_can_be_made_the_error_says_why_and_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(RunFolderError, match=r"cannot be created.*--runs-dir"):
        create_run_folder(tmp_path / "file", "x")
    with pytest.raises(RunFolderError, match="cannot be created"):
        create_run_folder(tmp_path / "file" / "below", "x")


def test_info_and_status_come_back(tmp_path: Path) -> None:
    written = RunInfo(
        id="1", name="n", mode="check", target="t", argv=("a",), config={"lr": [0.1, {"x": None}]}, seed=0
    )
    write_info(tmp_path, written)
    assert read_info(tmp_path) == written
    status = own_status()
    write_status(tmp_path, status)
    write_status(tmp_path, status)
    assert read_status(tmp_path) == status
    assert sorted(path.name for path in tmp_path.iterdir()) == ["run.json", "status.json"]
    assert (tmp_path / "run.json").stat().st_mode & 0o777 == 0o600


def test_nan_in_a_status_survives(tmp_path: Path) -> None:
    write_status(tmp_path, msgspec.structs.replace(own_status(), sgdb_share=float("nan")))
    share = read_status(tmp_path).sgdb_share
    assert share is not None
    assert share != share


@pytest.mark.parametrize(
    "content", [b"", b"{", b"\xff", b"[]", b'{"id": 1}', b"[" * 100_000, b" " * (2**20 + 1)]
)
def test_a_damaged_file_is_an_error_that_names_it(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "run.json").write_bytes(content)
    with pytest.raises(RunFolderError, match=r"run\.json"):
        read_info(tmp_path)


def test_links_pipes_and_missing_files_are_not_read(tmp_path: Path) -> None:
    (tmp_path / "run.json").symlink_to("/etc/hostname")
    os.mkfifo(tmp_path / "status.json")
    for read in (read_info, read_status):
        with pytest.raises(RunFolderError, match="cannot be read"):
            read(tmp_path)
    with pytest.raises(RunFolderError, match="cannot be read"):
        read_info(tmp_path / "nowhere")


def test_text_in_the_files_is_cleaned(tmp_path: Path) -> None:
    write_info(tmp_path, info("name\x1b[2J"))
    assert read_info(tmp_path).name == "name\ufffd[2J"


def test_runs_are_found_newest_first_and_links_left_out(runs: Path) -> None:
    (runs / "latest").symlink_to(find_runs(runs)[0])
    (runs / "not a run").mkdir()
    assert [read_info(folder).id for folder in find_runs(runs)] == ["id-2", "id-1", "id-0"]
    assert find_runs(runs / "nowhere") == []


def test_a_run_is_found_by_nothing_name_id_folder_or_path(runs: Path) -> None:
    newest, middle, oldest = find_runs(runs)
    assert find_run(runs) == newest
    assert find_run(runs, "beta") == newest
    assert find_run(runs, "alpha") == oldest
    assert find_run(runs, "id-1") == middle
    assert find_run(runs, oldest.name) == oldest
    assert find_run(runs, str(middle)) == middle


def test_an_unknown_run_is_an_error_with_the_nearest_names(runs: Path) -> None:
    with pytest.raises(RunFolderError, match=r"no run alpah in .*did you mean alpha"):
        find_run(runs, "alpah")
    with pytest.raises(RunFolderError, match="sgdb ls"):
        find_run(runs, "zzzzzzzz")
    with pytest.raises(RunFolderError, match="not a run folder"):
        find_run(runs, str(runs))
    with pytest.raises(RunFolderError, match="no run in"):
        find_run(runs / "nowhere")


def test_this_engine_is_alive() -> None:
    assert is_alive(own_status())


@pytest.mark.parametrize(
    "change",
    [
        {"host": "elsewhere"},
        {"boot_id": "another"},
        {"start_time": 1.0},
        {"pid": 2**31 - 1},
        {"pid": -1},
        {"pid": 2**70},
    ],
)
def test_another_host_boot_pid_or_start_is_not_alive(change: dict[str, object]) -> None:
    assert not is_alive(msgspec.structs.replace(own_status(), **change))


def test_an_engine_that_ended_is_not_alive_not_even_as_a_zombie() -> None:
    code = "from sgdb_engine.recording.liveness import own_start_time as t; print(t(), flush=True); input()"
    engine = subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert engine.stdout is not None
    start = float(engine.stdout.readline())
    status = msgspec.structs.replace(own_status(), pid=engine.pid, start_time=start)
    assert is_alive(status)
    engine.kill()
    os.waitid(os.P_PID, engine.pid, os.WEXITED | os.WNOWAIT)
    assert not is_alive(status)
    engine.communicate()
    assert not is_alive(status)
