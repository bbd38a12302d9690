"""`sgdb check` of scripts that have never heard of it: what is held still, what is found, and that nothing stays."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from sgdb_engine.checks.preflight import STAGES
from tests.cli.conftest import Ended, Forked, files

PATIENCE_S = 60

HEAD = """
import sys
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

F = nn.functional
torch.manual_seed(0)
torch.set_num_threads(1)
ROWS = 512
x = torch.randn(ROWS, 6)
y = (x @ torch.randn(6) > 0).long()
data = TensorDataset(x, y)
model = nn.Sequential(nn.Linear(6, 32), nn.ReLU(), nn.Linear(32, 2))
optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
"""
"""A classifier of two classes that can be told apart."""
LOOP = """
for epoch in range(8):
    for a, b in DataLoader(data, batch_size=32, shuffle=True):
        optimizer.zero_grad()
        loss = F.cross_entropy(model(a), b)
        loss.backward()
        optimizer.step()
"""
TRAINS = HEAD + LOOP

Checked = Callable[..., "Check"]


class Check:
    """A check that is over, and its summary."""

    def __init__(self, ended: Ended, summary: dict[str, Any]) -> None:
        self.ended, self.summary = ended, summary
        self.stages: dict[str, dict[str, Any]] = {stage["name"]: stage for stage in summary["checks"]}
        self.codes = [f["code"] for f in summary["findings"] if f["severity"] != "info"]

    def status(self, stage: str) -> str:
        return str(self.stages[stage]["status"])

    def reason(self, stage: str) -> str:
        return str(self.stages[stage]["reason"])

    def assert_sound(self) -> None:
        """It was looked at from end to end, and nothing is wrong."""
        assert self.codes == [], self.summary["findings"]
        assert self.ended.exit_code == 0, self.ended.stderr
        assert list(self.stages) == list(STAGES)
        assert {n: s["reason"] for n, s in self.stages.items() if s["status"] in ("fail", "warn")} == {}
        assert "Traceback" not in self.ended.stderr
        assert not [note for note in self.summary["notes"] if "the check itself failed" in note]

    def assert_one_batch_learnt(self) -> None:
        self.assert_sound()
        assert self.status("overfit-one-batch") == "pass", self.reason("overfit-one-batch")
        assert self.status("rescue") == "pass", self.reason("rescue")


@pytest.fixture
def checked(forked: Forked, folder: Path) -> Checked:
    """Checks a script."""

    def check(text: str, *arguments: str, options: tuple[str, ...] = ()) -> Check:
        (folder / "train.py").write_text(text)
        ended = forked("check", "--headless", "--json", "out.json", *options, "train.py", *arguments)
        return Check(ended, json.loads((folder / "out.json").read_text()))

    return check


# -- sound scripts ----------------------------------------------------------------------------------------


def test_a_sound_script_passes_stage_by_stage(checked: Checked, folder: Path, tmp_path: Path) -> None:
    check = checked(TRAINS)
    check.assert_one_batch_learnt()
    assert (check.summary["mode"], check.summary["target"]) == ("check", "train.py")
    assert (check.summary["status"], check.summary["verdict"]) == ("finished", "pass")
    assert check.summary["steps"] == 0, "the script itself goes no further than its first update"
    assert check.ended.stdout == ""
    said = [line for line in check.ended.stderr.splitlines() if line.startswith("sgdb: pass: ")]
    assert len(said) >= 11
    assert files(folder) == {"run.toml", "train.py", "out.json"}
    assert files(tmp_path / "temporary") == set()


INDEX_BATCHES = """
for epoch in range(8):
    for chosen in torch.randperm(ROWS).split(32):
        optimizer.zero_grad()
        F.cross_entropy(model(x[chosen]), y[chosen]).backward()
        optimizer.step()
"""
LOSS_IN_FORWARD = """
class Whole(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = model
    def forward(self, a, b):
        return F.cross_entropy(self.body(a), b)
model = Whole()
for epoch in range(8):
    for a, b in DataLoader(data, batch_size=32, shuffle=True):
        optimizer.zero_grad()
        model(a, b).backward()
        optimizer.step()
"""
DICTIONARIES = """
class Named(torch.utils.data.Dataset):
    def __len__(self): return ROWS
    def __getitem__(self, i): return {"inputs": x[i], "labels": y[i]}
class Whole(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = model
    def forward(self, inputs, labels=None):
        logits = self.body(inputs)
        return {"loss": F.cross_entropy(logits, labels), "logits": logits}
model = Whole()
for epoch in range(8):
    for batch in DataLoader(Named(), batch_size=32, shuffle=True):
        optimizer.zero_grad()
        model(**batch)["loss"].backward()
        optimizer.step()
"""
ACCUMULATION = """
for epoch in range(16):
    for i, (a, b) in enumerate(DataLoader(data, batch_size=16, shuffle=True)):
        (F.cross_entropy(model(a), b) / 2).backward()
        if i % 2 == 1:
            optimizer.step()
            optimizer.zero_grad()
"""
SCHEDULE = """
schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=1e-2, total_steps=16 * 8)
for epoch in range(8):
    for a, b in DataLoader(data, batch_size=32, shuffle=True):
        optimizer.zero_grad()
        F.cross_entropy(model(a), b).backward()
        optimizer.step()
        schedule.step()
"""
EVALUATES = """
held_out = TensorDataset(torch.randn(128, 6), torch.zeros(128, dtype=torch.long))
held_out = TensorDataset(*[t[384:] for t in data.tensors])
data = TensorDataset(*[t[:384] for t in data.tensors])
for epoch in range(8):
    model.train()
    for a, b in DataLoader(data, batch_size=32, shuffle=True):
        optimizer.zero_grad()
        F.cross_entropy(model(a), b).backward()
        optimizer.step()
    model.eval()
    with torch.no_grad():
        sum(F.cross_entropy(model(a), b).item() for a, b in DataLoader(held_out, batch_size=32))
"""
WORKERS = LOOP.replace("shuffle=True", "shuffle=True, num_workers=2")
TUPLES = """
class Two(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = model
    def forward(self, a):
        return self.body(a), a.mean()
model = Two()
""" + LOOP.replace("model(a)", "model(a)[0]")
DATACLASSES = """
from dataclasses import dataclass
@dataclass
class Output:
    logits: torch.Tensor
    hidden: torch.Tensor
class Two(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = model
    def forward(self, a):
        return Output(self.body(a), a)
model = Two()
""" + LOOP.replace("model(a)", "model(a).logits")
INTEGERS = (
    """
tokens = torch.randint(0, 20, (ROWS, 5))
data = TensorDataset(tokens, (tokens[:, 0] > 9).long())
model = nn.Sequential(nn.Embedding(20, 16), nn.Flatten(), nn.Linear(80, 2))
optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
"""
    + LOOP
)
LEARNT = {
    "index batches": INDEX_BATCHES,
    "loss in forward": LOSS_IN_FORWARD,
    "dict batches": DICTIONARIES,
    "gradient accumulation": ACCUMULATION,
    "a schedule stepped each step": SCHEDULE,
    "a validation set": EVALUATES,
    "two workers": WORKERS,
    "tuple outputs": TUPLES,
    "dataclass outputs": DATACLASSES,
    "integer inputs": INTEGERS,
}


@pytest.mark.slow
@pytest.mark.parametrize("name", LEARNT)
def test_its_batch_is_held_still_and_learnt(name: str, checked: Checked) -> None:
    checked(HEAD + LEARNT[name]).assert_one_batch_learnt()


HAND_WRITTEN = """
for epoch in range(8):
    for i in range(0, ROWS, 32):
        optimizer.zero_grad()
        scores = model(x[i : i + 32]).log_softmax(1)
        loss = -scores[torch.arange(len(scores)), y[i : i + 32]].mean()
        loss.backward()
        optimizer.step()
"""


@pytest.mark.slow
def test_a_batch_that_cannot_be_held_still_is_inconclusive_and_told_why(checked: Checked) -> None:
    check = checked(HEAD + HAND_WRITTEN)
    check.assert_sound()
    assert check.status("overfit-one-batch") == "inconclusive"
    assert "could not be held still" in check.reason("overfit-one-batch")
    assert check.status("rescue") == "skipped"


GAN = """
G = nn.Sequential(nn.Linear(4, 32), nn.ReLU(), nn.Linear(32, 6))
D = nn.Sequential(nn.Linear(6, 32), nn.LeakyReLU(0.2), nn.Linear(32, 1))
for_G = torch.optim.Adam(G.parameters(), lr=2e-4)
for_D = torch.optim.Adam(D.parameters(), lr=2e-4)
bce = nn.BCEWithLogitsLoss()
for epoch in range(4):
    for real, _ in DataLoader(data, batch_size=32, shuffle=True):
        fake = G(torch.randn(len(real), 4))
        for_D.zero_grad()
        ones, zeros = torch.ones(len(real), 1), torch.zeros(len(real), 1)
        (bce(D(real), ones) + bce(D(fake.detach()), zeros)).backward()
        for_D.step()
        for_G.zero_grad()
        bce(D(fake), ones).backward()
        for_G.step()
"""
LBFGS = """
optimizer = torch.optim.LBFGS(model.parameters(), lr=0.5, max_iter=4)
for epoch in range(4):
    for a, b in DataLoader(data, batch_size=128, shuffle=True):
        def closure():
            optimizer.zero_grad()
            loss = F.cross_entropy(model(a), b)
            loss.backward()
            return loss
        optimizer.step(closure)
"""
BATCH_OF_ONE = LOOP.replace("batch_size=32", "batch_size=1").replace("range(8)", "range(1)")


@pytest.mark.slow
@pytest.mark.parametrize(
    "loop",
    [
        pytest.param(GAN, id="a GAN"),
        pytest.param(LBFGS, id="LBFGS"),
        pytest.param(BATCH_OF_ONE, id="a batch of one"),
    ],
)
def test_an_unusual_training_is_accused_of_nothing(loop: str, checked: Checked) -> None:
    checked(HEAD + loop).assert_sound()


@pytest.mark.slow
def test_what_needs_several_rows_is_not_tested_on_one(checked: Checked) -> None:
    check = checked(HEAD + BATCH_OF_ONE)
    assert check.status("dependencies") == "skipped"
    assert "not tested" in check.reason("dependencies")


# -- scripts that do not train ------------------------------------------------------------------------------


def test_what_is_raised_after_the_first_step_is_told(checked: Checked) -> None:
    text = TRAINS.replace("optimizer.step()", "optimizer.step()\n        raise ValueError('after one step')")
    check = checked(text)
    assert check.summary["verdict"] != "pass"
    assert any("ValueError: after one step" in stage["reason"] for stage in check.stages.values())
    assert "the check itself failed" not in str(check.summary["notes"])


def test_what_is_raised_before_the_first_step_is_the_scripts_own_failure(checked: Checked) -> None:
    check = checked(HEAD + "raise ValueError('no data here')\n")
    assert check.ended.exit_code == 1
    assert (check.summary["status"], check.summary["verdict"]) == ("failed", "fail")
    assert "no data here" in check.summary["message"]
    assert "ValueError: no data here" in check.ended.stderr


def test_a_script_that_never_updates_fails_and_does_not_go_on_for_ever(checked: Checked) -> None:
    check = checked(TRAINS.replace("        optimizer.step()\n", "").replace("range(8)", "range(10**9)"))
    assert check.ended.exit_code == 1
    assert check.codes == ["no-step"]
    assert check.status("wiring") == "fail"


def test_a_script_without_backward_is_no_training_that_was_seen(checked: Checked) -> None:
    text = TRAINS.replace("        loss.backward()\n", "").replace("        optimizer.step()\n", "")
    check = checked(text)
    assert check.ended.exit_code == 0
    assert check.codes == []
    assert "no update of weights was seen" in check.reason("wiring")
    assert check.summary["verdict"] == "warn", "nothing is proven"


@pytest.mark.slow
def test_stepping_without_backward_is_no_pass(checked: Checked) -> None:
    check = checked(TRAINS.replace("        loss.backward()\n", ""))
    assert check.summary["verdict"] != "pass"


@pytest.mark.slow
@pytest.mark.parametrize("code", ["0", "3"])
def test_a_script_that_leaves_before_it_trains_ends_as_it_wants(checked: Checked, code: str) -> None:
    check = checked(HEAD + f"sys.exit({code})\n")
    assert check.ended.exit_code == int(code)
    assert check.summary["verdict"] != "pass"


# -- broken scripts ---------------------------------------------------------------------------------------


def test_a_fault_is_told_with_its_place_and_fails(checked: Checked) -> None:
    text = TRAINS.replace("model(a), b", "model(a).softmax(1), b")
    check = checked(text)
    assert check.ended.exit_code == 1
    assert check.codes == ["softmax-before-ce"]
    line = 1 + text.splitlines().index("        loss = F.cross_entropy(model(a).softmax(1), b)")
    assert check.summary["findings"][0]["location"] == f"train.py:{line}"
    assert check.summary["verdict"] == "fail"


DROPS = TRAINS.replace("nn.ReLU()", "nn.ReLU(), nn.Dropout(0.9)")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("options", "code"),
    [
        ((), 0),
        (("--fail-on", "error"), 0),
        (("--fail-on", "warning"), 1),
        (("--fail-on", "warning", "--mute", "dropout-high"), 0),
    ],
)
def test_fail_on_says_what_a_warning_does_to_the_exit_code(
    checked: Checked, options: tuple[str, ...], code: int
) -> None:
    check = checked(DROPS, options=options)
    assert check.codes == ([] if "--mute" in options else ["dropout-high"])
    assert check.status("wiring") == ("pass" if "--mute" in options else "warn")
    assert check.ended.exit_code == code


@pytest.mark.slow
@pytest.mark.parametrize(
    ("option", "code"), [(("--fail-on", "never"), 0), (("--mute", "softmax-before-ce"), 0)]
)
def test_an_error_can_be_let_through(checked: Checked, option: tuple[str, ...], code: int) -> None:
    check = checked(TRAINS.replace("model(a), b", "model(a).softmax(1), b"), options=option)
    assert check.ended.exit_code == code
    assert check.codes == ([] if "--mute" in option else ["softmax-before-ce"])


def test_a_code_that_there_is_not_is_refused(forked: Forked, folder: Path) -> None:
    (folder / "train.py").write_text(TRAINS)
    ended = forked("check", "--headless", "--mute", "softmax-before", "train.py")
    assert ended.exit_code == 2
    assert "did you mean softmax-before-ce" in ended.stderr
    assert files(folder) == {"run.toml", "train.py"}


# -- as it was called -------------------------------------------------------------------------------------


def test_arguments_are_the_scripts_own(checked: Checked) -> None:
    check = checked(HEAD + "print(sys.argv)\nsys.exit(5)\n", "--lr", "1e-3", "--json")
    assert check.ended.exit_code == 5
    assert check.ended.stdout == "['train.py', '--lr', '1e-3', '--json']\n"


@pytest.mark.slow
def test_a_module_is_checked_too(forked: Forked, folder: Path) -> None:
    (folder / "package").mkdir()
    (folder / "package/__init__.py").write_text("")
    (folder / "package/model.py").write_text(HEAD)
    (folder / "package/train.py").write_text(f"from package.model import *\n{LOOP}")
    ended = forked("check", "--headless", "--json", "out.json", "-m", "package.train")
    Check(ended, json.loads((folder / "out.json").read_text())).assert_one_batch_learnt()
    assert not list(folder.rglob("__pycache__"))


# -- nothing stays ----------------------------------------------------------------------------------------

WRITES = (
    HEAD
    + """
import os, pathlib, shutil
open("best.pt", "wb")  # as at the start of a run: what was in it is lost, by the script itself
checkpoint = open("last.pt", "r+b")
log = open("train.log", "a")
pathlib.Path("made").mkdir(exist_ok=True)
for epoch in range(8):
    for i, (a, b) in enumerate(DataLoader(data, batch_size=32, shuffle=True)):
        optimizer.zero_grad()
        loss = F.cross_entropy(model(a), b)
        loss.backward()
        optimizer.step()
        torch.save(model.state_dict(), "model.pt")
        torch.save(model.state_dict(), f"made/step-{epoch}-{i}.pt")
        checkpoint.seek(0)
        checkpoint.write(b"overwritten")
        checkpoint.flush()
        log.write(f"{epoch} {i} {loss.item()}\\n")
        log.flush()
        with open("best.pt", "wb") as best:
            best.write(b"new")
        pathlib.Path("old.txt").unlink(missing_ok=True)
        shutil.rmtree("old", ignore_errors=True)
        os.replace("model.pt", "moved.pt")
"""
)


@pytest.mark.slow
def test_the_files_of_a_script_are_byte_for_byte_as_before_its_first_update(
    checked: Checked, folder: Path
) -> None:
    (folder / "old").mkdir()
    kept = {
        "last.pt": b"an older checkpoint",
        "train.log": b"before\n",
        "model.pt": b"old",
        "old.txt": b"text",
    }
    for name, content in {**kept, "old/file": b"in a folder"}.items():
        (folder / name).write_bytes(content)
    check = checked(WRITES)
    check.assert_one_batch_learnt()
    assert {name: (folder / name).read_bytes() for name in kept} == kept
    assert files(folder) == {
        *("run.toml", "train.py", "out.json", "made", "old", "old/file", "best.pt"),
        *kept,
    }


Begin = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def begin(folder: Path, tmp_path: Path) -> Iterator[Begin]:
    """Starts a check of the script in a process of its own, and waits until it stands in the midst of a stage."""
    begun: list[subprocess.Popen[str]] = []

    def start(text: str, stage: str) -> "subprocess.Popen[str]":
        (folder / "train.py").write_text(text)
        env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"}
        process = subprocess.Popen(
            [sys.executable, "-m", "sgdb", "check", "--headless", "train.py"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=env,
        )
        begun.append(process)
        deadline = time.monotonic() + PATIENCE_S
        while not _is_in(stage, tmp_path / "temporary") and time.monotonic() < deadline:
            assert process.poll() is None, process.communicate()
            time.sleep(0.02)
        return process

    yield start
    for process in begun:
        if process.poll() is None:
            process.kill()
        process.communicate()


def _is_in(stage: str, temporary: Path) -> bool:
    for log in temporary.glob("*/events*.jsonl"):
        if f'"name":"{stage}","status":"running"' in log.read_text(errors="replace"):
            return True
    return False


ENDLESS = TRAINS.replace("range(8)", "range(10**9)").replace("lr=1e-2", "lr=1e-9")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)], ids=["ctrl-c", "terminated"]
)
def test_a_check_that_is_ended_in_the_midst_leaves_no_process_and_no_file(
    begin: Begin, folder: Path, tmp_path: Path, number: int, code: int
) -> None:
    process = begin(ENDLESS, "overfit-one-batch")
    children = _children(process)
    assert children
    process.send_signal(number)
    _, err = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == code
    assert "Traceback" not in err or number == signal.SIGINT, "the script sees Ctrl-C as without us"
    assert_gone(children)
    assert files(folder) == {"run.toml", "train.py"}
    assert files(tmp_path / "temporary") == set()


@pytest.mark.slow
def test_a_check_that_is_killed_leaves_no_process(begin: Begin) -> None:
    process = begin(ENDLESS, "overfit-one-batch")
    children = _children(process)
    assert children
    process.kill()
    process.wait()
    assert_gone(children)


def _children(process: "subprocess.Popen[str]") -> list[psutil.Process]:
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        if children := psutil.Process(process.pid).children(recursive=True):
            return children
        time.sleep(0.01)
    return []


def assert_gone(children: list[psutil.Process]) -> None:
    _, alive = psutil.wait_procs(children, timeout=5)
    assert not [child for child in alive if child.status() != psutil.STATUS_ZOMBIE]


WRONG_BACKWARD = """
class Swish(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x * torch.sigmoid(x)
    @staticmethod
    def backward(ctx, gradient):
        return gradient * torch.sigmoid(ctx.saved_tensors[0])
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.before, self.behind = nn.Linear(6, 32), nn.Linear(32, 2)
    def forward(self, x):
        return self.behind(Swish.apply(self.before(x)))
model = Net()
optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
"""


def test_a_wrong_backward_is_told_with_the_layers_in_which_the_gradient_is_off(checked: Checked) -> None:
    check = checked(HEAD + WRONG_BACKWARD + LOOP)
    assert check.status("gradient-check") == "fail"
    assert "It is off in before (" in check.reason("gradient-check")
    assert "right in 1 of 2 layers" in check.reason("gradient-check")
