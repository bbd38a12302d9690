"""output.log keeps its beginning and its end; the log panel shows its tail as a terminal would."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sgdb_engine.recording.output_log import OutputLog, TailReader


@pytest.fixture
def output(tmp_path: Path) -> Iterator[OutputLog]:
    log = OutputLog(tmp_path, cap_bytes=4000)
    yield log
    log.close()


def test_a_long_output_keeps_its_beginning_and_its_end(output: OutputLog, tmp_path: Path) -> None:
    for line in range(2000):
        os.write(output.fd, f"line {line}\n".encode())
        output.trim()
        assert (tmp_path / "output.log").stat().st_size <= 4000
    lines = (tmp_path / "output.log").read_text().splitlines()
    assert lines[:3] == ["line 0", "line 1", "line 2"]
    assert lines[-3:] == ["line 1997", "line 1998", "line 1999"]
    assert any("left out" in line for line in lines)


def test_a_short_output_is_left_alone(output: OutputLog, tmp_path: Path) -> None:
    os.write(output.fd, b"x" * 4000)
    assert not output.trim()
    assert (tmp_path / "output.log").read_bytes() == b"x" * 4000


def test_a_child_goes_on_writing_across_a_trim(output: OutputLog, tmp_path: Path) -> None:
    child = subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=output.fd)
    assert child.stdin is not None
    os.write(output.fd, b"beginning\n" * 1000)
    output.trim()
    child.communicate(b"from the child\n")
    content = (tmp_path / "output.log").read_bytes()
    assert content.endswith(b"beginning\nfrom the child\n")
    assert b"\0" not in content
    assert len(content) < 4000


def test_the_log_is_for_its_owner_and_no_link(output: OutputLog, tmp_path: Path) -> None:
    assert (tmp_path / "output.log").stat().st_mode & 0o777 == 0o600
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "output.log").symlink_to(tmp_path / "output.log")
    with pytest.raises(OSError, match="symbolic links"):
        OutputLog(tmp_path / "other")


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        (b"a\nb\n", ("a", "b")),
        (b"a\nunfin", ("a", "unfin")),
        (b"dos\r\n", ("dos",)),
        (b" 10%\r 20%\r100%\ndone\n", ("100%", "done")),
        (b" 10%\r 20%", (" 20%",)),
        (b" 10%\r 20%\r", (" 20%",)),
        (b"\x1b[32mgreen\x1b[0m\ttab\n", ("green   tab",)),
        (b"\x1b]52;c;eA==\x07bell\x07\n", ("bell\ufffd",)),
        ("Größe ".encode()[:3] + b"\n", ("Gr\ufffd",)),
        (b"\n\n", ("", "")),
    ],
)
def test_lines_are_shown_as_on_a_terminal_and_cleaned(
    tmp_path: Path, written: bytes, shown: tuple[str, ...]
) -> None:
    (tmp_path / "output.log").write_bytes(written)
    tail = TailReader(tmp_path / "output.log")
    assert tail.poll()
    assert tail.lines() == shown
    assert not tail.poll()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.lists(st.binary(max_size=30), max_size=8))
def test_a_file_read_in_pieces_shows_the_same_as_read_at_once(tmp_path: Path, pieces: list[bytes]) -> None:
    path = tmp_path / "output.log"
    path.write_bytes(b"")
    followed = TailReader(path)
    for piece in pieces:
        with path.open("ab") as file:
            file.write(piece)
        followed.poll()
    whole = TailReader(path)
    whole.poll()
    assert followed.lines() == whole.lines()
    assert all(line.isprintable() for line in whole.lines())


def test_of_a_long_file_only_the_tail_is_read(tmp_path: Path) -> None:
    path = tmp_path / "output.log"
    path.write_bytes(b"".join(b"line %d\n" % line for line in range(10_000)))
    tail = TailReader(path, max_lines=3)
    tail.poll()
    assert tail.lines() == ("line 9997", "line 9998", "line 9999")
    tail = TailReader(path, max_bytes=30)
    tail.poll()
    assert tail.lines()[-1] == "line 9999"
    assert len(tail.lines()) <= 4


def test_after_a_trim_the_tail_goes_on(output: OutputLog, tmp_path: Path) -> None:
    tail = TailReader(tmp_path / "output.log", max_lines=2)
    os.write(output.fd, b"old\n" * 2000)
    tail.poll()
    output.trim()
    os.write(output.fd, b"new\n")
    tail.poll()
    assert tail.lines() == ("old", "new")


def test_no_file_and_links_show_nothing(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("/etc/hostname")
    for name in ("nowhere", "link"):
        tail = TailReader(tmp_path / name)
        assert not tail.poll()
        assert tail.lines() == ()
