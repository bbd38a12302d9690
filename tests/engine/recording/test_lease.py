"""One engine a run: of any number of contenders one wins, and the dead give way."""

import subprocess
import sys
import threading
from pathlib import Path

import msgspec
import pytest

from sgdb_engine.errors import RunFolderError
from sgdb_engine.recording.folder import acquire_lease
from sgdb_engine.recording.liveness import boot_id, host_name

HOLDER = """
import sys
from pathlib import Path
from sgdb_engine.recording.folder import acquire_lease
print(acquire_lease(Path(sys.argv[1])).generation, flush=True)
input()
"""


def plant(folder: Path, **holder: object) -> None:
    fields = {"host": host_name(), "boot_id": boot_id(), "pid": 1, "start_time": 0.0} | holder
    (folder / "LOCK.7").write_bytes(msgspec.json.encode(fields))


def test_a_run_has_one_engine(tmp_path: Path) -> None:
    acquire_lease(tmp_path)
    with pytest.raises(RunFolderError, match=r"is training this run; attach"):
        acquire_lease(tmp_path)


def test_a_released_run_can_be_taken_again(tmp_path: Path) -> None:
    for expected in (1, 3, 5):
        lease = acquire_lease(tmp_path)
        assert lease.generation == expected
        lease.release()


def contend(folder: Path, contenders: int) -> int:
    """How many of so many threads got the lease."""
    won: list[bool] = []
    start = threading.Barrier(contenders)

    def try_it() -> None:
        start.wait()
        try:
            acquire_lease(folder)
        except RunFolderError:
            return
        won.append(True)

    threads = [threading.Thread(target=try_it) for _ in range(contenders)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return len(won)


def test_of_many_contenders_one_wins(tmp_path: Path) -> None:
    for number in range(30):
        folder = tmp_path / str(number)
        folder.mkdir()
        if number % 2:
            plant(folder)
        assert contend(folder, 6) == 1


def test_a_killed_holder_gives_way(tmp_path: Path) -> None:
    for expected in (1, 2):
        holder = subprocess.Popen(
            [sys.executable, "-c", HOLDER, str(tmp_path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert holder.stdout is not None
        assert holder.stdout.readline() == f"{expected}\n"
        with pytest.raises(RunFolderError, match=f"process {holder.pid} is training"):
            acquire_lease(tmp_path)
        holder.kill()
        holder.communicate()
    assert acquire_lease(tmp_path).generation == 3


def test_a_holder_before_a_reboot_gives_way(tmp_path: Path) -> None:
    plant(tmp_path, boot_id="an earlier boot")
    assert acquire_lease(tmp_path).generation == 8


def test_a_holder_on_another_machine_is_believed(tmp_path: Path) -> None:
    plant(tmp_path, host="elsewhere\x1b[2J")
    with pytest.raises(RunFolderError, match="elsewhere\ufffd"):
        acquire_lease(tmp_path)


@pytest.mark.parametrize("content", [b"", b"{}", b"\xff"])
def test_an_unreadable_lock_refuses_and_says_what_to_do(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "LOCK.1").write_bytes(content)
    with pytest.raises(RunFolderError, match=r"LOCK\.1 cannot be read.*delete it"):
        acquire_lease(tmp_path)


def test_a_link_as_a_lock_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "LOCK.1").symlink_to("/etc/hostname")
    with pytest.raises(RunFolderError, match="cannot be read"):
        acquire_lease(tmp_path)


def test_no_drafts_are_left_behind(tmp_path: Path) -> None:
    acquire_lease(tmp_path).release()
    contend(tmp_path, 4)
    assert all(path.name.startswith("LOCK.") for path in tmp_path.iterdir())


def test_a_folder_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(RunFolderError, match="cannot be read"):
        acquire_lease(tmp_path / "nowhere")
