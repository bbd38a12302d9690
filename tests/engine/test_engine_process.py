"""The engine as a process of its own: what it lets go of, what it survives, what it leaves."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from sgdb_engine.control import ControlClient, Stop
from sgdb_engine.launch import start_engine
from sgdb_engine.recording.folder import RunStatus, create_run_folder, is_alive, read_status
from sgdb_engine.recording.reader import RunReader, read_scalars
from sgdb_engine.target import resolve

PATIENCE_S = 60
CONFIG = """
[run]
device = "cpu"
[data]
name = "five_points"
validation = 0
[model]
{model}
[[loss]]
name = "cross_entropy"
[optimizer]
name = "adam"
lr = 0.001
[train]
steps = {steps}
batch_size = 5
"""
ENDLESS = 10**9
MLP = 'name = "mlp"'
NET = """
import sys, time
from torch import nn
class Net(nn.Linear):
    def __init__(self): super().__init__(2, 3); self.calls = 0
    def forward(self, x):
        self.calls += 1
        {line}
        return super().forward(x)
"""

Started = tuple[Path, "subprocess.Popen[bytes]"]


def start(folder: Path, *, mode: str = "run", steps: int = ENDLESS, model: str = MLP) -> Started:
    (folder / "run.toml").write_text(CONFIG.format(model=model, steps=steps))
    target = resolve(str(folder / "run.toml"), (), ())
    run = create_run_folder(folder / "runs", "run")
    target.describe_in(run, mode)  # type: ignore[arg-type]
    order = target.order(run, mode, max_steps=None, summary_path=None)  # type: ignore[arg-type]
    return run, start_engine(order)


def wait_until(condition: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.05)


def steps_of(run: Path) -> int:
    return read_status(run).step


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Callable[..., Started]]:
    """Starts engines in tmp_path, and ends what is left of them."""
    processes: list[subprocess.Popen[bytes]] = []

    def begin(**options: object) -> Started:
        run, process = start(tmp_path, **options)  # type: ignore[arg-type]
        processes.append(process)
        return run, process

    yield begin
    for process in processes:
        process.kill()
        process.wait()


@pytest.fixture(scope="module")
def training(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Started]:
    """An engine that trains without end."""
    run, process = start(tmp_path_factory.mktemp("training"))
    wait_until(lambda: steps_of(run) > 0, "no step was made")
    yield run, process
    process.kill()
    process.wait()


def test_it_is_a_session_of_its_own(training: Started) -> None:
    pid = training[1].pid
    assert os.getsid(pid) == pid != os.getsid(0)


def test_a_hang_up_is_ignored_not_handled(training: Started) -> None:
    lines = Path(f"/proc/{training[1].pid}/status").read_text().splitlines()
    ignored = int(next(line.split()[1] for line in lines if line.startswith("SigIgn")), 16)
    assert ignored >> (signal.SIGHUP - 1) & 1
    os.kill(training[1].pid, signal.SIGHUP)
    before = steps_of(training[0])
    wait_until(lambda: steps_of(training[0]) > before, "the training stands still")


def test_none_of_its_first_descriptors_is_a_terminal(training: Started) -> None:
    run, process = training
    places = [os.readlink(f"/proc/{process.pid}/fd/{number}") for number in (0, 1, 2)]
    assert places == ["/dev/null", str(run / "output.log"), str(run / "output.log")]


def test_it_keeps_the_environment_it_was_started_from(training: Started) -> None:
    assert psutil.Process(training[1].pid).environ()["PATH"] == os.environ["PATH"]


def test_it_is_seen_to_live_from_the_first_moment_on(engine: Callable[..., Started]) -> None:
    run, process = engine()
    status = read_status(run)
    assert (status.pid, status.state, status.exit_code) == (process.pid, "starting", None)
    assert is_alive(status)


def test_stopped_through_its_socket_it_ends_in_good_order(engine: Callable[..., Started]) -> None:
    run, process = engine()
    wait_until(lambda: steps_of(run) > 0, "no step was made")
    socket = Path(read_status(run).socket)
    assert socket.is_socket()
    reply = ControlClient(socket).send(Stop(checkpoint=True), 20)
    assert reply.ok
    assert process.wait(PATIENCE_S) == 0
    status = read_status(run)
    assert (status.state, status.exit_code) == ("stopped", 0)
    assert status.step == reply.step
    assert "checkpoint step-" in status.message
    assert not socket.exists()
    assert (run / "summary.json").exists()


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_stops_it_in_good_order(
    engine: Callable[..., Started], number: signal.Signals, code: int
) -> None:
    run, process = engine()
    wait_until(lambda: steps_of(run) > 0, "no step was made")
    process.send_signal(number)
    assert process.wait(PATIENCE_S) == code
    status = read_status(run)
    assert (status.state, status.exit_code) == ("stopped", code)
    assert not Path(status.socket).exists()
    steps = read_scalars(run, ["train/loss"], 0, ENDLESS)["train/loss"][0]
    assert steps.tolist() == list(range(1, status.step + 1))


@pytest.mark.slow
def test_killed_it_leaves_a_readable_folder_and_is_called_lost(engine: Callable[..., Started]) -> None:
    run, process = engine()
    wait_until(lambda: steps_of(run) > 100, "no step was made")
    process.kill()
    process.wait()
    status = read_status(run)
    assert status.exit_code is None
    assert status.state == "running"
    assert not is_alive(status)
    batch = RunReader(run).poll()
    assert sum(len(rows.steps) for rows in batch.scalars) > 0
    assert batch.missing_records == 0


@pytest.mark.slow
def test_it_survives_the_death_of_the_process_that_started_it(tmp_path: Path) -> None:
    (tmp_path / "starter.py").write_text(
        "import os, sys\n"
        "from pathlib import Path\n"
        "from tests.engine.test_engine_process import start\n"
        f"print(start(Path({str(tmp_path)!r}), steps=1000)[0], flush=True)\n"
        "os._exit(9)\n"
    )
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[2]), *sys.path])}
    starter = subprocess.run(
        [sys.executable, str(tmp_path / "starter.py")], capture_output=True, text=True, env=env, timeout=60
    )
    assert starter.returncode == 9, starter.stderr
    run = Path(starter.stdout.strip())
    wait_until(lambda: read_status(run).exit_code is not None, "it did not end")
    assert (read_status(run).state, read_status(run).step) == ("finished", 1000)


@pytest.mark.slow
def test_modules_of_the_user_named_like_those_of_the_standard_library_do_not_break_it(
    engine: Callable[..., Started], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in (
        "queue",
        "select",
        "socket",
        "signal",
        "types",
        "json",
        "random",
        "torch",
        "msgspec",
        "sgdb",
    ):
        (tmp_path / f"{name}.py").write_text("raise RuntimeError('the wrong module')")
    (tmp_path / "net_beside_them.py").write_text(NET.format(line="pass"))
    monkeypatch.chdir(tmp_path)
    run, process = engine(steps=20, model='use = "net_beside_them:Net"')
    assert process.wait(PATIENCE_S) == 0, (run / "output.log").read_text()
    assert read_status(run).state == "finished"


@pytest.mark.slow
def test_what_the_training_prints_is_kept_up_to_a_cap(engine: Callable[..., Started], tmp_path: Path) -> None:
    (tmp_path / "net_that_prints.py").write_text(
        NET.format(line="print('call', self.calls, 'x' * 1_000_000); time.sleep(0.02)")
    )
    run, process = engine(steps=40, model='use = "net_that_prints:Net"')
    assert process.wait(PATIENCE_S) == 0
    text = (run / "output.log").read_text()
    assert len(text) <= 17 * 2**20
    assert text.startswith("call 1 ")
    assert "the middle of the output was left out" in text
    assert "call 40 " in text


@pytest.mark.slow
def test_a_refusal_is_told_in_the_status_with_all_its_lines(
    engine: Callable[..., Started], tmp_path: Path
) -> None:
    (tmp_path / "net_that_raises.py").write_text("def Net(): raise RuntimeError('no idea')")
    run, process = engine(model='use = "net_that_raises:Net"')
    assert process.wait(PATIENCE_S) == 2
    status = read_status(run)
    assert (status.state, status.exit_code) == ("failed", 2)
    assert status.message.count("\n") >= 2
    assert "raise RuntimeError('no idea')" in status.message
    assert not (run / "summary.json").exists()


@pytest.mark.slow
def test_the_engine_of_a_check_goes_with_the_command_that_asked_for_it_and_takes_its_folder_along(
    tmp_path: Path,
) -> None:
    (tmp_path / "net_that_waits.py").write_text(NET.format(line="time.sleep(0.2)"))
    (tmp_path / "starter.py").write_text(
        "import sys, time\n"
        "from pathlib import Path\n"
        "from tests.engine.test_engine_process import start\n"
        f"run, process = start(Path({str(tmp_path)!r}), mode='check', model='use = \"net_that_waits:Net\"')\n"
        "print(run, process.pid, flush=True)\n"
        "time.sleep(100)\n"
    )
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[2]), *sys.path])}
    starter = subprocess.Popen(
        [sys.executable, str(tmp_path / "starter.py")], stdout=subprocess.PIPE, text=True, env=env
    )
    assert starter.stdout is not None
    with starter.stdout:
        place, pid = starter.stdout.readline().split()
    run, engine = Path(place), psutil.Process(int(pid))
    status: list[RunStatus] = []
    wait_until(lambda: status.append(read_status(run)) or status[-1].socket, "no socket")  # type: ignore[func-returns-value]
    starter.kill()
    starter.wait()
    wait_until(lambda: not engine.is_running() or engine.status() == psutil.STATUS_ZOMBIE, "it lives on")
    assert not run.exists()
    assert not Path(status[-1].socket).exists()
