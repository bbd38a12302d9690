"""What the documents show works: each command and each piece of Python in them is run, in their order."""

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.terminal.pseudo_terminal import Terminal

ROOT = Path(__file__).parents[1]
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
SET_UP = ("make", "pip")
"""Commands that set up an environment: `.ci/run` runs the former, the Makefile does what the latter does."""
PROGRAMS = {"sgdb": "sgdb", "torchrun": "torch.distributed.run"}
"""Commands that the documents show, and the modules behind them."""
TRAIN = """
import argparse
import torch
options = argparse.ArgumentParser()
options.add_argument("--epochs", type=int, required=True)
options.add_argument("--lr", type=float, default=1e-2)
given = options.parse_args()
torch.manual_seed(0)
model = torch.nn.Linear(4, 1)
optimizer = torch.optim.SGD(model.parameters(), lr=given.lr)
data = torch.utils.data.DataLoader(torch.randn(256, 4), batch_size=16)
for epoch in range(given.epochs):
    for x in data:
        optimizer.zero_grad()
        (model(x) - x.sum(1, keepdim=True)).square().mean().backward()
        optimizer.step()
"""


def blocks(document: Path, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", document.read_text(encoding="utf-8"), re.DOTALL)


def commands(document: Path) -> Iterator[list[str]]:
    for block in blocks(document, "console"):
        for line in block.splitlines():
            if line.startswith("$ "):
                yield shlex.split(line[2:], comments=True)


def in_a_terminal(command: list[str], cwd: Path) -> int:
    """Runs what needs a terminal, and leaves it by its key."""
    terminal = Terminal(command, cwd)
    terminal.wait_for("FINISHED")
    terminal.press("q")
    return terminal.wait_for_exit()


def without_terminal(command: list[str], cwd: Path) -> int:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"}
    return subprocess.run(command, cwd=cwd, env=environment, stdin=subprocess.DEVNULL, timeout=100).returncode


@pytest.mark.slow
@pytest.mark.timeout(400)
@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_command_in_the_documents_works(document: Path, tmp_path: Path) -> None:
    if not any(command[:2] == ["sgdb", "init"] for command in commands(document)):
        assert without_terminal([sys.executable, "-m", "sgdb", "init"], tmp_path) == 0
    (tmp_path / "my_package").mkdir()
    for place in ("train.py", "my_package/train.py"):
        (tmp_path / place).write_text(TRAIN)
    earlier = DOCUMENTS[: DOCUMENTS.index(document)]
    done = [command for other in earlier for command in commands(other) if command[1] in ("run", "check")]
    for command in commands(document):
        if command[0] in SET_UP or command in done:
            continue
        run = in_a_terminal if command[1:] == ["attach"] else without_terminal
        program = [sys.executable, "-m", PROGRAMS[command[0]], *command[1:]]
        assert run(program, tmp_path) == 0, shlex.join(command)


@pytest.mark.slow
@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_piece_of_python_in_the_documents_works(document: Path, tmp_path: Path) -> None:
    assert without_terminal([sys.executable, "-m", "sgdb", "init"], tmp_path) == 0
    for code in blocks(document, "python"):
        assert without_terminal([sys.executable, "-c", code], tmp_path) == 0


def test_the_set_up_commands_of_the_readme_are_what_ci_runs() -> None:
    targets = {command[1] for command in commands(ROOT / "README.md") if command[0] == "make"}
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert targets
    assert all(re.search(rf"^{target}:", makefile, re.MULTILINE) for target in targets)
    assert "make test\nmake test-slow" in (ROOT / ".ci" / "run").read_text(encoding="utf-8")


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_of_the_documents_lead_somewhere(document: Path) -> None:
    links = re.findall(r"\]\(([^)#]+)\)", document.read_text(encoding="utf-8"))
    missing = [link for link in links if "://" not in link and not (document.parent / link).exists()]
    assert missing == []


def test_the_course_names_tests_and_samples_that_are_there() -> None:
    text = (ROOT / "docs" / "course.md").read_text(encoding="utf-8")
    tests = {path.name for path in (ROOT / "tests").rglob("test_*.py")}
    samples = {path.name for path in (ROOT / "sample_configs").glob("*.toml")}
    assert set(re.findall(r"test_\w+\.py", text)) <= tests
    assert set(re.findall(r"(\w+\.toml)", text)) <= samples
    assert all((ROOT / path).exists() for path in re.findall(r"(?:tests|sample_configs)/[\w/]+\.\w+", text))
