"""`sgdb run --headless`: progress on stderr, the summary, the run folder."""

import json
from pathlib import Path

import pytest

from sgdb_engine.events import TrainingFailed
from sgdb_engine.recording.folder import find_runs, read_info, read_status
from sgdb_engine.recording.reader import RunReader
from tests.cli.conftest import Sgdb

RAISING = """
from torch import nn
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer, self.calls = nn.Linear(13, 3), 0
        print("made by the user")
    def forward(self, x):
        self.calls += 1
        if self.calls > {calls}:
            raise ValueError("too many calls")
        return self.layer(x)
"""


def with_model(folder: Path, module: str, source: str) -> None:
    (folder / f"{module}.py").write_text(source)
    text = (folder / "run.toml").read_text().replace('name = "mlp"', f'use = "{module}:Net"')
    (folder / "run.toml").write_text(text)


def summary() -> dict[str, object]:
    found: dict[str, object] = json.loads(Path("out.json").read_text())
    return found


def test_progress_goes_to_stderr_only_and_says_how_to_look_again(sgdb: Sgdb) -> None:
    result = sgdb("run", "run.toml", "--headless", "--json", "out.json")
    assert result.exit_code == 0, result.output
    assert result.stdout == ""
    (run,) = find_runs(Path("runs"))
    assert all(line.startswith("sgdb: ") for line in result.stderr.splitlines())
    assert "step 10/10" in result.stderr
    assert "val accuracy" in result.stderr
    assert result.stderr.count("finished") == 1
    assert f"sgdb attach {run.name}" in result.stderr
    status = read_status(run)
    assert (status.state, status.step, status.exit_code) == ("finished", 10, 0)
    assert summary()["mode"] == "run"
    assert (summary()["status"], summary()["verdict"], summary()["steps"]) == ("finished", "pass", 10)
    assert {"train/loss", "val/loss", "val/accuracy"} <= set(summary()["metrics"])  # type: ignore[call-overload]
    assert summary()["checks"] == []
    assert json.loads((run / "summary.json").read_text()) == summary()


def test_what_the_users_code_prints_is_all_that_is_on_stdout(sgdb: Sgdb, folder: Path) -> None:
    with_model(folder, "printing_model", RAISING.format(calls=1000))
    result = sgdb("run", "run.toml", "--headless")
    assert result.exit_code == 0
    assert result.stdout == "made by the user\n"
    (run,) = find_runs(Path("runs"))
    assert (run / "output.log").read_text() == "made by the user\n"


def test_max_steps_stops_in_good_order(sgdb: Sgdb) -> None:
    result = sgdb("run", "run.toml", "--headless", "--max-steps", "3", "--json", "out.json")
    assert result.exit_code == 0
    assert (summary()["status"], summary()["steps"]) == ("stopped", 3)
    assert "max-steps 3 reached" in result.stderr


def test_set_name_and_runs_dir_are_heard(sgdb: Sgdb) -> None:
    result = sgdb(
        *("run", "--set", "train.epochs=1", "--name", "mine", "run.toml", "--headless"),
        *("--runs-dir", "elsewhere", "--set", "optimizer.lr=0.5"),
    )
    assert result.exit_code == 0
    (run,) = find_runs(Path("elsewhere"))
    assert run.name.startswith("mine-")
    assert "sgdb attach elsewhere/mine-" in result.stderr
    info = read_info(run)
    assert info.config["optimizer"]["lr"] == 0.5
    assert read_status(run).step == 5
    assert not Path("runs").exists()


def test_an_exception_of_the_users_model_is_shown_whole_and_recorded(sgdb: Sgdb, folder: Path) -> None:
    with_model(folder, "raising_model", RAISING.format(calls=4))
    result = sgdb("run", "run.toml", "--headless", "--json", "out.json")
    assert result.exit_code == 1
    assert "Traceback (most recent call last)" in result.stderr
    assert 'raise ValueError("too many calls")' in result.stderr
    assert "failed: ValueError: too many calls" in result.stderr
    assert (summary()["status"], summary()["verdict"]) == ("failed", "fail")
    (run,) = find_runs(Path("runs"))
    status = read_status(run)
    assert (status.state, status.exit_code) == ("failed", 1)
    assert 'raise ValueError("too many calls")' in (run / "output.log").read_text()
    (failure,) = [event for event in RunReader(run).poll().events if isinstance(event, TrainingFailed)]
    assert 'raise ValueError("too many calls")' in failure.traceback


@pytest.mark.parametrize(
    "ending", ["raise SystemExit(0)", "raise KeyboardInterrupt", "import sys; sys.exit('bye')"]
)
def test_code_that_tries_to_leave_has_failed(sgdb: Sgdb, folder: Path, ending: str) -> None:
    module = f"leaving_model_{abs(hash(ending))}"
    with_model(folder, module, RAISING.format(calls=4).replace('raise ValueError("too many calls")', ending))
    assert sgdb("run", "run.toml", "--headless").exit_code == 1
    assert read_status(find_runs(Path("runs"))[0]).state == "failed"


def test_data_with_nan_train_on_and_are_found(sgdb: Sgdb, folder: Path) -> None:
    (folder / "data_with_gaps.py").write_text(
        "import torch\n"
        "class Gaps(torch.utils.data.Dataset):\n"
        "    classes = list('abc')\n"
        "    def __len__(self): return 160\n"
        "    def __getitem__(self, index):\n"
        "        return torch.full((13,), float('nan') if index == 77 else float(index)), index % 3\n"
        "def make(): return Gaps(), None\n"
    )
    text = (folder / "run.toml").read_text().replace('name = "wine"', 'use = "data_with_gaps:make"')
    (folder / "run.toml").write_text(text)
    result = sgdb("run", "run.toml", "--headless", "--json", "out.json")
    assert result.exit_code == 0, result.output
    codes = [finding["code"] for finding in summary()["findings"]]  # type: ignore[attr-defined]
    assert codes[0] == "input-nonfinite"
    assert summary()["verdict"] == "fail"
    assert summary()["metrics"]["train/loss"] == "NaN"  # type: ignore[index]
    assert read_status(find_runs(Path("runs"))[0]).state == "finished"


def test_a_summary_that_cannot_be_written_in_the_end_is_told_and_the_run_is_kept(
    sgdb: Sgdb, folder: Path
) -> None:
    (folder / "out").mkdir()
    removing = RAISING.format(calls=3).replace(
        'raise ValueError("too many calls")', "import shutil; shutil.rmtree('out', ignore_errors=True)"
    )
    with_model(folder, "removing_model", removing)
    result = sgdb("run", "run.toml", "--headless", "--json", "out/out.json")
    assert result.exit_code == 1
    assert "sgdb: --json" in result.stderr
    assert "No such file or directory" in result.stderr
    (run,) = find_runs(Path("runs"))
    assert (read_status(run).state, read_status(run).exit_code) == ("finished", 1)
    assert (run / "summary.json").exists()


def test_a_summary_may_go_to_a_device(sgdb: Sgdb) -> None:
    assert sgdb("run", "run.toml", "--headless", "--json", "/dev/null").exit_code == 0
    assert not Path("/dev/null").is_file()
