"""`ls`, `attach`, `init`, `--version`."""

from pathlib import Path

import pytest

from sgdb_engine.recording.folder import find_runs, read_status, write_status
from tests.cli.conftest import Forked, Sgdb


def test_without_runs_ls_says_how_to_start_one(sgdb: Sgdb) -> None:
    result = sgdb("ls")
    assert result.exit_code == 0
    assert "no runs in runs; start one with: sgdb run" in result.stdout


def test_ls_tells_of_each_run_its_state_step_and_losses(sgdb: Sgdb) -> None:
    sgdb("run", "run.toml", "--headless", "--name", "whole")
    sgdb("run", "run.toml", "--headless", "--name", "short", "--max-steps", "2")
    sgdb("run", "run.toml", "--headless", "--name", "killed")
    (killed,) = Path("runs").glob("killed-*")
    status = read_status(killed)
    write_status(
        killed,
        type(status)(
            host=status.host, boot_id=status.boot_id, pid=2**22 - 1, start_time=1.0, state="running"
        ),
    )
    (Path("runs") / "damaged").mkdir()
    (Path("runs") / "damaged" / "run.json").write_text("{")
    (Path("runs") / "damaged" / "status.json").write_bytes(b"\x00" * 100)
    (Path("runs") / "no run").mkdir()
    (Path("runs") / "file").write_text("")
    result = sgdb("ls")
    assert result.exit_code == 0
    heading, *lines = result.stdout.splitlines()
    assert heading.split()[:3] == ["RUN", "STATE", "STEP"]
    rows = {line.split()[0].partition("-")[0]: line.split() for line in lines}
    assert rows.keys() == {"whole", "short", "killed", "damaged"}
    assert rows["whole"][1:3] == ["finished", "10/10"]
    assert float(rows["whole"][3]) > 0
    assert float(rows["whole"][4]) > 0
    assert rows["short"][1:3] == ["stopped", "2/10"]
    assert rows["killed"][1] == "lost"
    assert rows["damaged"][1] == "unreadable"


def test_a_name_with_escape_sequences_is_shown_harmless(sgdb: Sgdb, folder: Path) -> None:
    evil = folder / "runs" / "evil\x1b[31m"
    evil.mkdir(parents=True)
    (evil / "run.json").write_text("{}")
    assert "\x1b" not in sgdb("ls").stdout


@pytest.mark.parametrize("arguments", [[], ["nonesuch"], ["--once"], ["./here"]])
def test_attach_without_such_a_run_says_so(sgdb: Sgdb, arguments: list[str]) -> None:
    result = sgdb("attach", *arguments)
    assert result.exit_code == 2
    assert "run" in result.stderr
    assert "Traceback" not in result.stderr


def test_attach_without_a_terminal_says_what_works(sgdb: Sgdb) -> None:
    sgdb("run", "run.toml", "--headless")
    result = sgdb("attach")
    assert result.exit_code == 2
    assert "sgdb attach --once" in result.stderr


def test_init_overwrites_nothing(sgdb: Sgdb, folder: Path) -> None:
    before = (folder / "run.toml").read_text()
    result = sgdb("init")
    assert result.exit_code == 2
    assert "--force" in result.stderr
    assert (folder / "run.toml").read_text() == before


@pytest.mark.parametrize("path", [pytest.param("new.toml", marks=pytest.mark.slow), "with space.toml"])
def test_what_init_writes_parses_checks_and_trains(sgdb: Sgdb, forked: Forked, path: str) -> None:
    result = sgdb("init", path)
    assert result.exit_code == 0
    assert forked("check", path, "--headless").exit_code == 0
    assert sgdb("run", path, "--headless", "--max-steps", "5").exit_code == 0
    assert read_status(find_runs(Path("runs"))[0]).step == 5


@pytest.mark.parametrize("path", ["nowhere/new.toml", "run", "."])
def test_init_says_where_it_cannot_write(sgdb: Sgdb, path: str) -> None:
    result = sgdb("init", path)
    assert result.exit_code == 2
    assert "Traceback" not in result.stderr


def test_init_overwrites_when_forced(sgdb: Sgdb) -> None:
    assert sgdb("init", "--force").exit_code == 0
    assert sgdb("run", "run.toml", "--headless", "--max-steps", "5").exit_code == 0


def test_the_version_is_told(sgdb: Sgdb) -> None:
    result = sgdb("--version")
    assert result.exit_code == 0
    assert result.stdout.startswith("sgdb 0.")


def test_help_names_every_command(sgdb: Sgdb) -> None:
    text = sgdb("--help").stdout
    assert all(command in text for command in ("run", "check", "attach", "ls", "init"))
