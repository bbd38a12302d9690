"""A script that has never heard of sgdb, under `sgdb run --headless`: the same to whoever looks at it from outside."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from sgdb_engine.events import CommandApplied, Noted, TrainingFailed
from sgdb_engine.recording.folder import find_runs, read_info, read_status
from sgdb_engine.recording.reader import RunReader

PATIENCE_S = 60
ENVIRONMENT = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"}

TRAINS = """
import sys
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.Linear(4, 8)
        self.last = nn.Linear(8, 1)
    def forward(self, x):
        return self.last(torch.relu(self.first(x)))

torch.manual_seed(0)
torch.set_num_threads(1)
model = Net()
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
data = TensorDataset(torch.randn(24, 4), torch.randn(24, 1))
def epoch():
    for x, y in DataLoader(data, batch_size=8, shuffle=True):
        optimizer.zero_grad()
        loss = nn.functional.mse_loss(model(x), y)
        loss.backward()
        optimizer.step()
    return loss.item()
"""


@dataclass
class Ran:
    code: int
    out: str
    err: str
    """Without sgdb's own lines."""
    said: str
    """sgdb's own lines."""


def run(command: list[str], folder: Path, **options: Any) -> Ran:
    environment = ENVIRONMENT | options.pop("env", {})
    done = subprocess.run(
        command,
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
        **options,
    )
    lines = done.stderr.splitlines(keepends=True)
    return Ran(
        done.returncode,
        done.stdout,
        "".join(line for line in lines if not line.startswith("sgdb: ")),
        "".join(line for line in lines if line.startswith("sgdb: ")),
    )


def sgdb(folder: Path, *arguments: str, **options: Any) -> Ran:
    return run([sys.executable, "-m", "sgdb", "run", "--headless", *arguments], folder, **options)


Write = Callable[..., Path]


@pytest.fixture
def write(folder: Path) -> Write:
    """Writes a script into the current folder."""

    def write_one(text: str, name: str = "train.py") -> Path:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    return write_one


def the_run(folder: Path) -> Path:
    (found,) = find_runs(folder / "runs")
    return found


def events_of(run_folder: Path) -> list[Any]:
    return list(RunReader(run_folder).poll().events)


def notes_of(run_folder: Path) -> list[str]:
    return [event.text for event in events_of(run_folder) if isinstance(event, Noted)]


# -- what a script finds ----------------------------------------------------------------------------------

LOOKS_AROUND = """
import atexit, os, pickle, sys, threading, warnings
print(__name__, __file__ == os.path.abspath("sub/look.py"), __doc__, __spec__, __package__, sys.argv)
print(sys.path[0] == os.path.abspath("sub"), os.getcwd() == os.path.dirname(sys.path[0]))
import beside
print(beside.VALUE, sorted(globals()))
class Thing: pass
print(type(pickle.loads(pickle.dumps(Thing()))) is Thing, Thing.__module__, sys.modules["__main__"].Thing is Thing)
atexit.register(lambda: print("at the end", Thing.__name__, __name__))
warnings.warn("careful")
print("to stderr", file=sys.stderr)
os.write(1, b"past Python\\n")
thread = threading.Timer(0.3, lambda: print("a thread ends later", Thing.__name__))
thread.start()
try:
    input()
except EOFError:
    print("no input")
print([name for name in ("torch", "numpy", "textual", "rich") if name in sys.modules])
print("é" * 3, end="")
sys.stdout.flush()
print()
"""


def test_a_script_finds_everything_as_under_python(write: Write, folder: Path) -> None:
    write(LOOKS_AROUND, "sub/look.py")
    write("VALUE = 7\n", "sub/beside.py")
    arguments = ["sub/look.py", "--lr", "1e-3", "--set", "x=1", "run"]
    plain = run([sys.executable, *arguments], folder)
    observed = sgdb(folder, *arguments)
    assert plain.code == 0
    assert (observed.out, observed.err, observed.code) == (plain.out, plain.err, plain.code)
    assert "never imported torch" in observed.said
    assert read_info(the_run(folder)).target == " ".join(arguments)
    kept = (the_run(folder) / "output.log").read_text()
    assert "no input" in kept
    assert "a thread ends later" in kept


MODULE = """
import os, sys
print(__name__, __package__, __spec__.name, os.path.relpath(__file__), sys.argv[1:], os.path.basename(sys.argv[0]))
print(sys.path[0] == os.getcwd())
from . import sibling
sys.exit(4)
"""


@pytest.mark.parametrize("target", ["package.part", "package"])
def test_a_module_is_run_as_by_python_m(write: Write, folder: Path, target: str) -> None:
    write("", "package/__init__.py")
    write(MODULE, "package/part.py" if target == "package.part" else "package/__main__.py")
    write("", "package/sibling.py")
    plain = run([sys.executable, "-m", target, "--epochs", "3"], folder)
    observed = sgdb(folder, "-m", target, "--epochs", "3")
    assert plain.code == 4
    assert (observed.out, observed.err, observed.code) == (plain.out, plain.err, plain.code)


@pytest.mark.parametrize(
    ("script", "state"),
    [
        ("import sys; print(1); sys.exit(3)", "failed"),
        ("import sys; sys.exit()", "finished"),
        ("import sys; sys.exit('what went wrong')", "failed"),
        ("def f():\n    return 1 / 0\n\nf()\n", "failed"),
        ("try:\n    {}['a']\nexcept KeyError as e:\n    raise ValueError('b') from e\n", "failed"),
        ("import no_such_module\n", "failed"),
        ("import sys\nsys.excepthook = lambda *a: print('mine', a[0].__name__)\n1 / 0\n", "failed"),
        ("raise KeyboardInterrupt\n", "stopped"),
        ("import os; print('x', flush=True); os._exit(5)", "failed"),
        (
            "import os, sys; sys.stdout.flush(); os.execv(sys.executable, [sys.executable, '-c', 'print(9)'])",
            "stopped",
        ),
        (
            "import os\nif os.fork() == 0:\n    print('child'); raise SystemExit(7)\nprint(os.wait()[1] >> 8)",
            "finished",
        ),
        (
            "import threading\ndef f():\n    raise ValueError('in a thread')\nthreading.Thread(target=f).start()",
            "finished",
        ),
    ],
)
def test_however_a_script_ends_it_ends_so_under_sgdb_and_the_run_folder_says_how(
    write: Write, folder: Path, script: str, state: str
) -> None:
    write(script)
    plain = run([sys.executable, "train.py"], folder)
    observed = sgdb(folder, "train.py")
    expected = 130 if plain.code == -signal.SIGINT else plain.code
    assert (observed.out, observed.err, observed.code) == (plain.out, plain.err, expected)
    status = read_status(the_run(folder))
    assert status.state == state
    assert status.exit_code == (0 if "execv" in script else expected)


def test_a_failed_script_leaves_its_whole_traceback_in_the_run(write: Write, folder: Path) -> None:
    write("def f():\n    raise ValueError('a mistake of mine')\nf()\n")
    sgdb(folder, "train.py")
    (failed,) = [event for event in events_of(the_run(folder)) if isinstance(event, TrainingFailed)]
    assert failed.error == "ValueError: a mistake of mine"
    assert "line 2, in f" in failed.traceback
    assert "sgdb_engine" not in failed.traceback


# -- what cannot be run -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["missing.py"], "there is no such file here"),
        (["."], "is a folder"),
        (["syntax.py"], "line 2: "),
        (["binary.py"], "null bytes"),
        (["--set", "optimizer.lr=1", "train.py"], "--set and --device change a config"),
        (["--device", "cpu", "train.py"], "a script has its own arguments"),
        (["-m", "no.such.module"], "-m no.such.module"),
        (["nothing:here"], "there is no module nothing"),
        (["not a target"], "A TARGET is a config"),
        (["factory.py:make"], "write factory:make"),
        (["wrong:number"], "it returned int, not a sgdb.Workload"),
        (["wrong:make", "--lr", "1"], "takes no arguments"),
    ],
)
def test_what_cannot_be_run_is_told_in_words_and_leaves_no_folder(
    write: Write, folder: Path, arguments: list[str], words: str
) -> None:
    write("print(1)\n")
    write("import os\nif True print(1)\n", "syntax.py")
    write("a = 1\0", "binary.py")
    write("def number(): return 1\ndef make(): return 1\n", "wrong.py")
    refused = sgdb(folder, *arguments)
    assert refused.code == 2
    assert words in refused.said
    assert "Traceback" not in refused.err + refused.said
    assert not list(folder.glob("runs/*"))


# -- training scripts -------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_training_is_observed_and_nothing_else_changes(write: Write, folder: Path) -> None:
    write(TRAINS + "for e in range(3):\n    print(e, epoch())\nprint(torch.get_rng_state().sum())\n")
    plain = run([sys.executable, "train.py"], folder)
    observed = sgdb(folder, "--json", "summary.json", "train.py")
    assert (observed.out, observed.err, observed.code) == (plain.out, plain.err, 0)
    summary = json.loads((folder / "summary.json").read_text())
    assert (summary["status"], summary["steps"], summary["target"]) == ("finished", 9, "train.py")
    status = read_status(the_run(folder))
    assert (status.step, status.epoch) == (9, 3)
    assert status.metrics["train/loss"] == pytest.approx(float(plain.out.split()[5]))
    (described,) = [e for e in events_of(the_run(folder)) if type(e).__name__ == "RunDescribed"]
    assert [tensor.name for tensor in described.tensors] == [
        "first.weight", "first.bias", "last.weight", "last.bias",
    ]  # fmt: skip


@pytest.mark.slow
def test_what_a_script_sets_before_it_imports_torch_counts(write: Write, folder: Path) -> None:
    write(
        "import os\nos.environ['OMP_NUM_THREADS'] = '1'\nos.environ['OPENBLAS_NUM_THREADS'] = '1'\n"
        "import numpy, torch\nprint(torch.get_num_threads())\n"
        "import threadpoolctl\npools = threadpoolctl.threadpool_info()\n"
        "print(sorted((pool['internal_api'], pool['num_threads']) for pool in pools))\n"
    )
    environment = {"OMP_NUM_THREADS": "2", "OPENBLAS_NUM_THREADS": "2"}
    plain = run([sys.executable, "train.py"], folder, env=environment)
    observed = sgdb(folder, "train.py", env=environment)
    assert plain.out.startswith("1\n")
    assert observed.out == plain.out


@pytest.mark.slow
def test_max_steps_ends_a_script_at_its_safe_point_with_its_finally_blocks(
    write: Write, folder: Path
) -> None:
    write(
        TRAINS
        + "try:\n    while True: epoch()\nexcept Exception:\n    print('mine')\nfinally:\n    print('closed')\n"
    )
    ended = sgdb(folder, "--max-steps", "5", "train.py")
    assert (ended.code, ended.out) == (0, "closed\n")
    status = read_status(the_run(folder))
    assert (status.state, status.step) == ("stopped", 5)
    assert "max-steps 5" in status.message


@pytest.mark.slow
def test_a_script_that_swallows_its_stop_is_ended_all_the_same(write: Write, folder: Path) -> None:
    write(
        TRAINS + "while True:\n    try:\n        epoch()\n    except:\n        print('caught', flush=True)\n"
    )
    ended = sgdb(folder, "--max-steps", "5", "train.py")
    assert ended.code == 0
    assert 1 <= ended.out.count("caught") <= 3
    status = read_status(the_run(folder))
    assert (status.state, status.step) == ("stopped", 5)
    assert "kept catching its stop" in status.message


@pytest.mark.slow
def test_a_script_without_a_training_says_what_was_seen_and_what_to_do(write: Write, folder: Path) -> None:
    write(TRAINS + "for _ in range(3): model(torch.randn(2, 4)).sum().backward()\n")
    ran = sgdb(folder, "train.py")
    assert ran.code == 0
    assert "No update of weights was seen" in ran.said
    assert "backward was called 3 times; models that were called: Net" in ran.said
    assert "sgdb.watch(model, optimizer)" in ran.said


@pytest.mark.slow
@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_workers_of_a_script_work_and_their_prints_come_through(
    write: Write, folder: Path, method: str
) -> None:
    write(
        TRAINS.replace("def epoch():", "class Loud(TensorDataset):\n    def __getitem__(self, i):\n"
        "        if i == 3: print('worker', __name__, flush=True)\n        return super().__getitem__(i)\ndef epoch():")
        .replace("data = TensorDataset(", "data = lambda: Loud(")
        .replace("DataLoader(data, ", f"DataLoader(data(), num_workers=2, multiprocessing_context='{method}', ")
        + "if __name__ == '__main__':\n    print(epoch())\n"
    )  # fmt: skip
    plain = run([sys.executable, "train.py"], folder)
    observed = sgdb(folder, "train.py")
    assert plain.code == 0, plain.err
    assert (sorted(observed.out.splitlines()), observed.code) == (sorted(plain.out.splitlines()), 0)
    assert read_status(the_run(folder)).step == 3


# -- signals ----------------------------------------------------------------------------------------------


def started(folder: Path, *arguments: str) -> "subprocess.Popen[str]":
    """`sgdb run --headless`, once the script has said that it is ready."""
    process = subprocess.Popen(
        [sys.executable, "-m", "sgdb", "run", "--headless", *arguments],
        cwd=folder,
        env=ENVIRONMENT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    while "ready" not in process.stdout.readline():
        assert process.poll() is None
    time.sleep(0.2)  # a signal that comes just before a sleep does not wake it, in any Python program
    return process


def test_an_interrupt_reaches_the_script_as_without_us(write: Write, folder: Path) -> None:
    write(
        "import time\n"
        "try:\n    print('ready', flush=True)\n    time.sleep(60)\nexcept KeyboardInterrupt:\n    print('mine')\n"
    )
    process = started(folder, "train.py")
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=PATIENCE_S)
    assert (process.returncode, out) == (0, "mine\n")
    assert read_status(the_run(folder)).state == "finished"


def test_a_handler_that_the_script_installs_wins_and_is_noted(write: Write, folder: Path) -> None:
    write(
        "import signal, sys, time\nsignal.signal(signal.SIGTERM, lambda *a: sys.exit(9))\n"
        "time.sleep(1.5)\nprint('ready', flush=True)\ntime.sleep(60)\n"
    )
    process = started(folder, "train.py")
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 9
    assert any("handles SIGTERM itself" in note for note in notes_of(the_run(folder)))


@pytest.mark.slow
def test_a_termination_stops_a_training_at_its_safe_point(write: Write, folder: Path) -> None:
    write(
        TRAINS
        + "epoch()\nprint('ready', flush=True)\ntry:\n    while True: epoch()\nfinally:\n    print('closed')\n"
    )
    process = started(folder, "train.py")
    process.send_signal(signal.SIGTERM)
    out, _ = process.communicate(timeout=PATIENCE_S)
    assert (process.returncode, out) == (143, "closed\n")
    assert read_status(the_run(folder)).state == "stopped"
    assert [e.command for e in events_of(the_run(folder)) if isinstance(e, CommandApplied)] == ["stop"]


@pytest.mark.slow
def test_a_termination_ends_a_script_that_reaches_no_safe_point(write: Write, folder: Path) -> None:
    write("import time\nprint('ready', flush=True)\ntime.sleep(60)\n")
    process = started(folder, "train.py")
    began = time.monotonic()
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 143
    assert time.monotonic() - began < 20
    status = read_status(the_run(folder))
    assert (status.state, status.exit_code) == ("stopped", 143)


# -- factories --------------------------------------------------------------------------------------------

FACTORY = """
import torch
from torch import nn
import sgdb

def make(seed):
    torch.manual_seed(seed)
    model = nn.Linear(3, 1)
    batches = [(torch.randn(4, 3), torch.randn(4, 1)) for _ in range(5)]
    return sgdb.Workload(model=model, optimizer=torch.optim.SGD(model.parameters(), lr=0.1),
                         loss=nn.functional.mse_loss, train=batches, val=batches[:1], epochs=2)

def endless():
    made = make(0)
    return sgdb.Workload(model=made.model, optimizer=made.optimizer, loss=made.loss, train=made.train)

def once():
    made = make(0)
    return sgdb.Workload(model=made.model, optimizer=made.optimizer, loss=made.loss, train=iter(made.train), epochs=2)
"""


@pytest.mark.slow
def test_a_function_that_returns_a_workload_is_trained(write: Write, folder: Path) -> None:
    write(FACTORY, "factory.py")
    assert sgdb(folder, "factory:make").code == 0
    status = read_status(the_run(folder))
    assert (status.step, status.epoch, status.state, status.epochs_planned) == (10, 2, "finished", 2)
    assert "val/loss" in status.metrics


@pytest.mark.slow
def test_a_workload_without_a_number_of_epochs_trains_until_it_is_stopped(write: Write, folder: Path) -> None:
    write(FACTORY, "factory.py")
    assert sgdb(folder, "--max-steps", "23", "factory:endless").code == 0
    status = read_status(the_run(folder))
    assert (status.step, status.state, status.steps_planned) == (23, "stopped", None)


@pytest.mark.slow
def test_batches_that_can_be_gone_through_only_once_are_told(write: Write, folder: Path) -> None:
    write(FACTORY, "factory.py")
    refused = sgdb(folder, "factory:once")
    assert refused.code == 2
    assert "train gave no batch in epoch 2" in refused.said
