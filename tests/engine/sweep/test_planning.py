"""Every point is checked before anything is started, and each mistake is told once."""

from pathlib import Path

import msgspec
import pytest

from sgdb_engine.errors import ConfigError, RunFolderError, SgdbError, TargetError
from sgdb_engine.sweep.grid import parse_grid
from sgdb_engine.sweep.plan import SweepPlan, run_name, target_of, value_of
from sgdb_engine.sweep.plan_file import find_sweep, read_plan, write_plan
from sgdb_engine.sweep.planning import plan_of
from tests.engine.sweep.conftest import CONFIG


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with a config and a script in it."""
    place = tmp_path / "here"
    place.mkdir()
    monkeypatch.chdir(place)
    Path("run.toml").write_text(CONFIG)
    Path("train.py").write_text("print('training')\n")
    return place


def planned(
    *grid: str, target: str = "run.toml", arguments: tuple[str, ...] = (), overrides: tuple[str, ...] = ()
) -> SweepPlan:
    return plan_of(target, arguments, overrides, parse_grid(grid))


def problems(*grid: str, overrides: tuple[str, ...] = ()) -> tuple[str, ...]:
    with pytest.raises(ConfigError) as caught:
        planned(*grid, overrides=overrides)
    return caught.value.problems


def test_each_point_is_the_config_with_its_values_laid_over() -> None:
    plan = planned("optimizer.lr=1e-4,1e-3", "train.batch_size=32,full", overrides=("train.epochs=7",))
    configs = [target_of(plan, point).config for point in plan.points()]
    found = [(c.optimizer.lr, c.train.batch_size, c.train.epochs) for c in configs if c]
    assert found == [(1e-4, 32, 7), (1e-4, "full", 7), (1e-3, 32, 7), (1e-3, "full", 7)]
    assert [run_name(plan, point) for point in plan.points()][1] == "2-lr-1e-4-batch_size-full"


def test_each_point_is_the_script_with_its_arguments_behind_its_own() -> None:
    plan = planned("--lr=1e-4,1e-3", '--name="a,b"', target="train.py", arguments=("--epochs", "3"))
    arguments = [target_of(plan, point).arguments for point in plan.points()]
    assert arguments == [
        ("--epochs", "3", "--lr", "1e-4", "--name", "a,b"),
        ("--epochs", "3", "--lr", "1e-3", "--name", "a,b"),
    ]
    assert value_of(plan, "1e-4") == "1e-4"


def test_what_is_wrong_is_told_once_and_not_once_a_point() -> None:
    said = problems("optimizer.lr=a,0.1,b", "train.batch_size=16,32,64", "model.widht=8,16")
    assert len(said) == 2
    assert "--grid optimizer.lr=a,b: must be a number" in said[0] + said[1]
    assert "--grid model.widht=8,16: unknown key" in said[0] + said[1]
    assert "Did you mean 'width'?" in said[0] + said[1]


def test_what_is_wrong_with_one_point_only_is_found() -> None:
    (said,) = problems("train.batch_size=32,full", "train.accumulate=1,2")
    assert said.startswith("--grid train.accumulate=2")
    assert "leaves nothing to accumulate" in said


def test_a_mistake_of_the_config_itself_is_told_as_such(here: Path) -> None:
    Path("run.toml").write_text(CONFIG.replace("epochs = 2", "epochs = 0"))
    (said,) = problems("optimizer.lr=1e-4,1e-3")
    assert said.startswith("run.toml: train.epochs = 0: must be")


def test_a_key_that_only_the_grid_gives_may_be_missing_in_the_config(here: Path) -> None:
    Path("run.toml").write_text(CONFIG.replace("lr = 0.01", ""))
    assert len(planned("optimizer.lr=1e-4,1e-3").order) == 2


def test_a_key_is_given_by_set_or_by_the_grid() -> None:
    (said,) = problems("optimizer.lr=1e-4,1e-3", overrides=("optimizer.lr=1",))
    assert "keep one of the two" in said


def test_a_config_takes_no_arguments_of_scripts_and_a_script_no_keys() -> None:
    assert "--grid --lr: run.toml is a config" in problems("--lr=1,2")[0]
    with pytest.raises(TargetError, match=r"--grid --lr=1,2"):
        planned("optimizer.lr=1,2", target="train.py")


def test_what_is_no_target_is_said() -> None:
    for target in ("there-is-none.py", "there-is-none.toml"):
        with pytest.raises(SgdbError, match="there is no such file"):
            planned("optimizer.lr=1,2" if target.endswith("toml") else "--lr=1,2", target=target)


def test_the_file_gives_back_the_plan_and_is_written_once(folder: Path) -> None:
    plan = planned("optimizer.lr=1e-4,1e-3", "optimizer.betas=[0.9, 0.99],[0.5, 0.9]")
    assert write_plan(folder, plan)
    assert read_plan(folder) == plan
    assert not write_plan(folder, msgspec.structs.replace(plan, id="other"))
    assert read_plan(folder) == plan
    assert [path.name for path in folder.iterdir()] == ["sweep.json"]


def test_a_resumed_sweep_runs_the_config_as_it_was(folder: Path) -> None:
    write_plan(folder, planned("optimizer.lr=1e-4,1e-3"))
    Path("run.toml").write_text("this is no config any more")
    plan = read_plan(folder)
    config = target_of(plan, plan.points()[1]).config
    assert config is not None
    assert config.optimizer.lr == 1e-3


@pytest.mark.parametrize("content", [b"", b"{}", b"[1]", b"\xff", b'{"schema": 1'])
def test_a_damaged_file_is_said_to_be(folder: Path, content: bytes) -> None:
    (folder / "sweep.json").write_bytes(content)
    with pytest.raises(RunFolderError, match="damaged"):
        read_plan(folder)


def test_a_file_whose_points_do_not_fit_its_grid_is_damaged(folder: Path, plan: SweepPlan) -> None:
    write_plan(folder, msgspec.structs.replace(plan, order=(("1", "2"),)))
    with pytest.raises(RunFolderError, match="points do not fit"):
        read_plan(folder)


def test_a_sweep_is_found_by_path_by_folder_and_by_name(tmp_path: Path, plan: SweepPlan) -> None:
    sweep = tmp_path / "runs" / "mine-20260101-000000"
    sweep.mkdir(parents=True)
    write_plan(sweep, plan)
    assert find_sweep(tmp_path / "nowhere", str(sweep)) == sweep
    assert find_sweep(tmp_path / "runs", sweep.name) == sweep
    assert find_sweep(tmp_path / "runs", "mine") == sweep
    with pytest.raises(RunFolderError, match="Did you mean 'mine-20260101-000000'"):
        find_sweep(tmp_path / "runs", "mine-20260101")
    with pytest.raises(RunFolderError, match="no sweep"):
        find_sweep(tmp_path / "nowhere", "mine")
