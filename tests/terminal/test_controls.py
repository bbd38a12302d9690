"""The keys, on a real terminal, against a real training."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from sgdb_engine.recording.folder import find_runs, read_status
from tests.terminal.pseudo_terminal import ROOT, SGDB, Terminal

CONFIG = str(ROOT / "sample_configs" / "digits_mlp.toml")
LONG = ["--set", "train.epochs=100000"]


def step_on(text: str) -> int:
    found = re.search(r"step (\d+)/", text)
    assert found, text
    return int(found.group(1))


@pytest.mark.slow
@pytest.mark.parametrize(("rows", "columns"), [(24, 80), (40, 120)])
def test_pause_step_resume_detach_attach_and_stop(
    open_terminal: Callable[..., Terminal], tmp_path: Path, rows: int, columns: int
) -> None:
    terminal = open_terminal([*SGDB.split(), "run", *LONG, CONFIG], rows=rows, columns=columns)
    terminal.wait_for("RUNNING")
    terminal.press(" ")
    paused_at = step_on(terminal.wait_for("PAUSED"))
    terminal.press("s")
    terminal.wait_for(lambda text: step_on(text) == paused_at + 1 and "PAUSED" in text)
    terminal.press(" ")
    terminal.wait_for(lambda text: "RUNNING" in text and step_on(text) > paused_at + 1)
    terminal.press("q")
    assert terminal.wait_for_exit() == 0
    (folder,) = find_runs(tmp_path / "runs")
    assert f"sgdb attach {folder.name}" in terminal.text().replace("\n", "")
    assert read_status(folder).exit_code is None

    again = open_terminal([*SGDB.split(), "attach"], rows=rows, columns=columns)
    again.wait_for("RUNNING")
    again.press("Q")
    again.wait_for("checkpoint")
    again.press("\r")
    again.wait_for("STOPPED")
    again.press("q")
    assert again.wait_for_exit() == 0
    assert read_status(folder).state == "stopped"
    (checkpoint,) = (folder / "checkpoints").iterdir()
    assert (checkpoint / "MANIFEST.json").exists()


@pytest.mark.slow
def test_an_exception_of_the_training_leaves_the_dashboard_alive_and_the_terminal_whole(
    open_terminal: Callable[..., Terminal], tmp_path: Path
) -> None:
    (tmp_path / "broken_model.py").write_text(
        "import torch\n"
        "class Net(torch.nn.Module):\n"
        "    def __init__(self, **sizes):\n"
        "        super().__init__()\n"
        "        self.layer = torch.nn.Linear(64, 10)\n"
        "        self.calls = 0\n"
        "    def forward(self, x):\n"
        "        self.calls += 1\n"
        "        if self.calls > 30:\n"
        "            raise ValueError('the thirty-first call')\n"
        "        return self.layer(x.flatten(1))\n"
    )
    config = Path(CONFIG).read_text()
    model = re.sub(r"(?ms)^\[model\].*?(?=^\[)", '[model]\nuse = "broken_model:Net"\n', config)
    (tmp_path / "run.toml").write_text(model)
    terminal = open_terminal(["bash", "--norc"], rows=40, columns=120)
    terminal.press(f"{SGDB} run run.toml; echo code $?\n")
    screen = terminal.wait_for("FAILED")
    assert "the thirty-first call" in screen
    terminal.press("q")
    screen = terminal.wait_for("code 1")
    (folder,) = find_runs(tmp_path / "runs")
    log = (folder / "output.log").read_text()
    assert "Traceback (most recent call last)" in log
    assert "broken_model.py" in log
    terminal.press("stty -a | tr ';' '\\n' | grep -c ' echo$\\| echo '; echo still $((40 + 2))\n")
    assert "still 42" in terminal.wait_for("still 42")
