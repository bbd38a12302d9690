"""A run from Python: in this process, and still a run like any other."""

from pathlib import Path

import pytest

import sgdb
from sgdb_engine.control import ControlClient, Ping
from sgdb_engine.errors import ConfigError
from sgdb_engine.recording.folder import read_status

CONFIG = Path(__file__).parents[2] / "sample_configs" / "wine_mlp.toml"


def test_a_run_from_python_can_be_held_watched_and_controlled_from_elsewhere(tmp_path: Path) -> None:
    engine = sgdb.open_config(CONFIG, runs_dir=tmp_path, overrides=["train.epochs=3"])
    paused = engine.pause()
    engine.start()
    assert paused.result(60).state == "paused"
    while not (engine.folder / "status.json").exists() or not read_status(engine.folder).socket:
        assert engine.wait(0.05) is None
    reply = ControlClient(Path(read_status(engine.folder).socket)).send(Ping())
    assert (reply.ok, reply.state) == (True, "paused")
    engine.resume().result(60)
    end = engine.wait(60)

    assert end is not None
    assert (end.state, end.exit_code) == ("finished", 0)
    status = read_status(engine.folder)
    assert (status.state, status.exit_code, status.step) == ("finished", 0, engine.step)
    assert (engine.folder / "summary.json").stat().st_mode & 0o777 == 0o600


def test_a_config_with_mistakes_makes_no_run(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"optimizer\.lr"):
        sgdb.open_config(CONFIG, runs_dir=tmp_path / "runs", overrides=["optimizer.lr=-1"])
    assert not (tmp_path / "runs").exists()


def test_the_public_names_are_what_they_say() -> None:
    for name in sgdb.__all__:
        assert getattr(sgdb, name) is not None
