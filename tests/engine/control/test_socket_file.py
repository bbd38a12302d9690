"""The folder of the sockets is ours alone, and an address always fits."""

import os
from pathlib import Path

import pytest

from sgdb_engine.control import socket_path
from sgdb_engine.control.socket_file import MAX_PATH_BYTES
from sgdb_engine.errors import ControlError


@pytest.fixture
def state(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_STATE_HOME", str(folder / "state"))
    monkeypatch.setattr("sgdb_engine.control.socket_file._TEMPORARY", folder / "tmp")
    (folder / "tmp").mkdir()
    return folder / "state"


def fallback(state: Path) -> Path:
    return state.parent / "tmp" / f"sgdb-{os.geteuid()}"


def test_the_socket_is_in_the_state_folder_which_nobody_else_can_enter(state: Path) -> None:
    path = socket_path("abc")
    assert path == state / "sgdb" / "sock" / "abc"
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert not path.exists()


def test_without_the_variable_it_is_under_the_home_folder(
    state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(state))
    for unset in ("", "relative/to/somewhere"):
        monkeypatch.setenv("XDG_STATE_HOME", unset)
        assert socket_path("abc") == state / ".local" / "state" / "sgdb" / "sock" / "abc"


def test_a_long_path_falls_back_to_a_short_one(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(state / ("deep" * 25)))
    path = socket_path("abc")
    assert path == fallback(state) / "abc"
    assert path.parent.stat().st_mode & 0o777 == 0o700


def test_the_longest_path_that_fits_is_taken(state: Path) -> None:
    room = MAX_PATH_BYTES - len(os.fsencode(state / "sgdb" / "sock")) - 1
    assert socket_path("x" * room).parent == state / "sgdb" / "sock"
    assert socket_path("x" * (room + 1)).parent == fallback(state)


def test_a_folder_that_others_can_enter_is_not_used(state: Path) -> None:
    (state / "sgdb" / "sock").mkdir(parents=True)
    (state / "sgdb" / "sock").chmod(0o750)
    assert socket_path("abc").parent == fallback(state)


def test_a_planted_link_is_not_followed(state: Path, folder: Path) -> None:
    (folder / "target").mkdir(mode=0o700)
    fallback(state).symlink_to(folder / "target")
    (state / "sgdb").mkdir(parents=True)
    (state / "sgdb" / "sock").symlink_to(folder / "target")
    with pytest.raises(ControlError, match="No place for the control socket"):
        socket_path("abc")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make another user's folder")
def test_another_users_folder_is_not_used(state: Path) -> None:
    fallback(state).mkdir(mode=0o700)
    os.chown(fallback(state), 65534, 65534)
    (state / "sgdb").mkdir(parents=True)
    (state / "sgdb" / "sock").write_text("in the way")
    with pytest.raises(ControlError, match="belongs to user 65534"):
        socket_path("abc")


@pytest.mark.parametrize("run_id", ["", ".", "..", "a/b", "/etc/x", "a\0b"])
def test_a_run_id_that_is_no_file_name_is_refused(run_id: str) -> None:
    with pytest.raises(ControlError, match="is no run id"):
        socket_path(run_id)


def test_an_id_too_long_for_any_place_is_refused_with_what_to_do(state: Path) -> None:
    with pytest.raises(ControlError, match="XDG_STATE_HOME"):
        socket_path("x" * 200)
