"""How the ranks find the one run folder."""

import os
import threading
from pathlib import Path

import pytest

from sgdb_engine.errors import RunFolderError
from sgdb_engine.ranks import meeting
from sgdb_engine.ranks.meeting import folder_of_the_first, told_to_the_others


@pytest.fixture(autouse=True)
def launched(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"RANK": "0", "WORLD_SIZE": "2", "MASTER_PORT": "29500"}.items():
        monkeypatch.setenv(name, value)


def test_the_others_get_the_folder_of_the_first(tmp_path: Path) -> None:
    with told_to_the_others(tmp_path, tmp_path / "run-1"):
        assert folder_of_the_first(tmp_path) == tmp_path / "run-1"


def test_they_wait_for_it(tmp_path: Path) -> None:
    found: list[Path] = []
    waiting = threading.Thread(target=lambda: found.append(folder_of_the_first(tmp_path, 10)))
    waiting.start()
    with told_to_the_others(tmp_path, tmp_path / "run-1"):
        waiting.join(10)
    assert found == [tmp_path / "run-1"]


def test_nothing_is_left_behind(tmp_path: Path) -> None:
    with told_to_the_others(tmp_path, tmp_path / "run-1"):
        assert len(list(tmp_path.iterdir())) == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("name", "value"), [("MASTER_PORT", "29501"), ("TORCHELASTIC_RESTART_COUNT", "1")])
def test_two_trainings_in_one_place_do_not_mix(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    with told_to_the_others(tmp_path, tmp_path / "run-1"):
        monkeypatch.setenv(name, value)
        with pytest.raises(RunFolderError, match="--runs-dir"):
            folder_of_the_first(tmp_path, 0.1)


def test_the_word_of_a_first_rank_that_is_dead_does_not_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as dead:
        dead.setattr(os, "getpid", lambda: 2**22 + 1)
        dead.setattr(meeting.liveness, "own_start_time", lambda: 1.0)
        word = told_to_the_others(tmp_path, tmp_path / "run-1")
        word.__enter__()
    with pytest.raises(RunFolderError):
        folder_of_the_first(tmp_path, 0.1)


@pytest.mark.parametrize("content", [b"", b"{", b'{"folder": 3}', b"\xff\xfe"])
def test_what_is_no_word_is_not_believed(tmp_path: Path, content: bytes) -> None:
    with told_to_the_others(tmp_path, tmp_path / "run-1"):
        (place,) = tmp_path.iterdir()
        place.write_bytes(content)
        with pytest.raises(RunFolderError):
            folder_of_the_first(tmp_path, 0.1)


@pytest.mark.parametrize(("rank", "size"), [("0", "1"), ("1", "2")])
def test_only_the_first_of_several_speaks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rank: str, size: str
) -> None:
    monkeypatch.setenv("RANK", rank)
    monkeypatch.setenv("WORLD_SIZE", size)
    with told_to_the_others(tmp_path, tmp_path / "run-1"):
        assert list(tmp_path.iterdir()) == []
