"""A run from Python, without a second process: a training in a thread, under control, recorded."""

import decimal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from sgdb_engine import torch_state
from sgdb_engine.checkpoint import load_checkpoint
from sgdb_engine.config import parse_config
from sgdb_engine.control import Ping
from sgdb_engine.ending import End
from sgdb_engine.errors import DataError, RunFolderError
from sgdb_engine.events import (
    AnyEvent,
    CheckpointSaved,
    CheckStage,
    CommandApplied,
    EpochEnded,
    Finding,
    FindingChanged,
    RunDescribed,
    StateChanged,
    TrainingFailed,
    Validated,
)
from sgdb_engine.recording.reader import RunReader
from sgdb_engine.session import Engine
from sgdb_engine.training import training_of

TIMEOUT_S = 20.0

CONFIG = """
[run]
device = "cpu"
[data]
name = "spirals"
points = 40
[model]
name = "mlp"
width = 4
[[loss]]
name = "cross_entropy"
[optimizer]
name = "adamw"
lr = 1e-3
[train]
{length}
batch_size = 16
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "run"
    made.mkdir()
    return made


Start = Callable[..., Engine]


@pytest.fixture
def start(folder: Path) -> Iterator[Start]:
    """Starts engines, and makes sure that they have ended."""
    started: list[Engine] = []

    def start_one(training: Callable[[Engine], None], **options: Any) -> Engine:
        engine = Engine(folder, training, **options)
        started.append(engine)
        engine.start()
        return engine

    yield start_one
    for engine in started:
        engine.stop(checkpoint=False)
        assert engine.wait(TIMEOUT_S) is not None


def configured(length: str = "epochs = 2") -> Callable[[Engine], None]:
    return training_of(parse_config(CONFIG.format(length=length), origin="run.toml"), Path())


def endless(engine: Engine) -> None:
    """A training as a stranger would write it, that does not end by itself."""
    model = nn.Linear(2, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3)
    with engine.observing():
        while True:
            optimizer.zero_grad()
            model(torch.randn(4, 2)).square().mean().backward()
            optimizer.step()


def events_of(engine: Engine) -> list[AnyEvent]:
    events: list[AnyEvent] = []
    reader = RunReader(engine.folder)
    while True:
        batch = reader.poll()
        events += batch.events
        if batch.caught_up:
            return events


def states_of(engine: Engine) -> list[str]:
    return [event.state for event in events_of(engine) if isinstance(event, StateChanged)]


def reach(engine: Engine, step: int) -> None:
    while engine.submit(Ping()).result(TIMEOUT_S).step < step:
        assert engine.wait(0) is None


def test_a_run_goes_to_its_planned_end_and_all_of_it_is_recorded(start: Start) -> None:
    engine = start(configured())
    end = engine.wait(TIMEOUT_S)
    assert end == End("finished", 0)
    assert (engine.state, engine.step, engine.epoch) == ("finished", 4, 2)
    events = events_of(engine)
    described = next(event for event in events if isinstance(event, RunDescribed))
    assert (described.steps_planned, described.epochs_planned, described.device) == (4, 2, "cpu")
    assert [event.epoch for event in events if isinstance(event, EpochEnded)] == [1, 2]
    assert len([event for event in events if isinstance(event, Validated)]) == 2
    assert states_of(engine) == ["running", "finished"]
    assert {"train/loss", "val/loss", "lr"} <= set(engine.latest())
    assert engine.own_share is not None


@pytest.mark.parametrize(("warmup", "told"), [(3, False), (4, True), (200, True)])
def test_a_warm_up_as_long_as_the_run_is_told(start: Start, warmup: int, told: bool) -> None:
    config = parse_config(
        CONFIG.format(length="epochs = 2"), origin="run.toml", overrides=[f"schedule.warmup_steps={warmup}"]
    )
    engine = start(training_of(config, Path()))
    engine.wait(TIMEOUT_S)
    assert engine.described is not None
    notes = [note for note in engine.described.notes if "still rising when it ends" in note]
    assert len(notes) == told


def test_pause_step_resume_and_stop_with_a_checkpoint_from_python(start: Start) -> None:
    engine = start(configured("steps = 1000000"))
    paused = engine.pause().result(TIMEOUT_S)
    assert (paused.ok, paused.state, engine.state) == (True, "paused", "paused")
    assert engine.do_step(3).result(TIMEOUT_S).ok
    while engine.submit(Ping()).result(TIMEOUT_S).state != "paused":
        pass
    assert engine.step == paused.step + 3
    assert engine.resume().result(TIMEOUT_S).state == "running"
    reach(engine, paused.step + 10)
    stopped = engine.stop().result(TIMEOUT_S)
    end = engine.wait(TIMEOUT_S)
    assert end is not None
    assert (end.state, end.exit_code) == ("stopped", 0)
    assert "checkpoint step-" in end.message
    assert states_of(engine) == ["running", "paused", "running", "paused", "running", "stopping", "stopped"]
    commands = [event for event in events_of(engine) if isinstance(event, CommandApplied)]
    assert [(event.command, event.by) for event in commands] == [
        (command, "python") for command in ("pause", "step", "resume", "stop")
    ]
    checkpoint = load_checkpoint(engine.folder / "checkpoints")
    assert checkpoint.step == stopped.step == engine.step
    assert set(checkpoint.state) >= {"model", "optimizer", "schedule", "random", "step", "epoch"}


def test_a_checkpoint_on_command_is_whole_and_told(start: Start) -> None:
    engine = start(configured("steps = 1000000"))
    reach(engine, 2)
    outcome = engine.checkpoint().result(TIMEOUT_S)
    assert outcome.ok
    engine.stop(checkpoint=False)
    engine.wait(TIMEOUT_S)
    (saved,) = (event for event in events_of(engine) if isinstance(event, CheckpointSaved))
    assert saved.path == outcome.message
    assert saved.size_bytes > 0
    assert load_checkpoint(engine.folder / "checkpoints").step == saved.step == outcome.step


@pytest.mark.parametrize("asked", ["checkpoint", "stop"])
def test_a_checkpoint_that_fails_is_told_and_ends_no_training(asked: str, start: Start) -> None:
    def training(engine: Engine) -> None:
        engine.checkpoint_with(lambda: {"odd": object()})
        endless(engine)

    engine = start(training)
    if asked == "checkpoint":
        outcome = engine.checkpoint().result(TIMEOUT_S)
        assert not outcome.ok
        assert "odd" in outcome.message
        reach(engine, outcome.step + 3)
    engine.stop(checkpoint=True)
    end = engine.wait(TIMEOUT_S)
    assert end is not None
    assert (end.state, end.exit_code) == ("stopped", 0)
    assert "no checkpoint: " in end.message


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), RuntimeError("CUDA error")])
def test_a_full_disk_at_the_stop_ends_the_run_in_good_order(error: Exception, start: Start) -> None:
    def state() -> dict[str, Any]:
        raise error

    def training(engine: Engine) -> None:
        engine.checkpoint_with(state)
        endless(engine)

    engine = start(training)
    engine.stop(checkpoint=True)
    end = engine.wait(TIMEOUT_S)
    assert end == End("stopped", 0, f"asked; no checkpoint: {error}")


def test_max_steps_stops_in_good_order(start: Start) -> None:
    engine = start(endless, max_steps=7)
    end = engine.wait(TIMEOUT_S)
    assert end == End("stopped", 0, "max-steps 7 reached")
    assert engine.step == 7


class MineError(Exception):
    """The user's own."""


@pytest.mark.parametrize(
    "error", [MineError("line one\nline two"), SystemExit(3), KeyboardInterrupt(), MemoryError()]
)
def test_an_exception_of_the_training_is_recorded_with_its_whole_traceback(
    error: BaseException, start: Start, capsys: pytest.CaptureFixture[str]
) -> None:
    def a_function_of_the_users() -> None:
        raise error

    def training(engine: Engine) -> None:
        with engine.observing():
            a_function_of_the_users()

    engine = start(training)
    end = engine.wait(TIMEOUT_S)
    assert end is not None
    assert (end.state, end.exit_code) == ("failed", 1)
    assert type(error).__name__ in end.message
    (failed,) = (event for event in events_of(engine) if isinstance(event, TrainingFailed))
    assert "a_function_of_the_users()" in failed.traceback
    assert type(error).__name__ in failed.error
    assert "a_function_of_the_users()" in capsys.readouterr().err
    assert states_of(engine) == ["running", "failed"]


def test_an_exception_in_the_midst_of_a_step_keeps_the_steps_before_it(start: Start) -> None:
    class Broken(torch.optim.SGD):
        def step(self, closure: Any = None) -> Any:
            raise MineError("here")

    def training(engine: Engine) -> None:
        model = nn.Linear(2, 1)
        optimizers = [torch.optim.SGD(model.parameters(), lr=0.1), Broken(model.parameters(), lr=0.1)]
        with engine.observing():
            for i in range(5):
                model(torch.randn(4, 2)).sum().backward()
                optimizers[i // 3].step()

    engine = start(training)
    end = engine.wait(TIMEOUT_S)
    assert end is not None
    assert end.state == "failed"
    assert engine.step == 3
    assert sum(len(rows.steps) for rows in RunReader(engine.folder).poll().scalars) == 3


def test_a_mistake_of_the_users_is_told_in_words_with_exit_code_2(
    start: Start, capsys: pytest.CaptureFixture[str]
) -> None:
    def training(engine: Engine) -> None:
        raise DataError("data.path: there is nothing there")

    engine = start(training)
    assert engine.wait(TIMEOUT_S) == End("failed", 2, "data.path: there is nothing there", refused=True)
    assert "Traceback" not in capsys.readouterr().err
    assert [e for e in events_of(engine) if isinstance(e, TrainingFailed)] == []


def test_a_closed_stderr_does_not_keep_a_failed_run_from_ending(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Closed:
        def write(self, text: str) -> int:
            raise OSError(5, "Input/output error")

        def flush(self) -> None: ...

    def training(engine: Engine) -> None:
        monkeypatch.setattr("sys.stderr", Closed())
        raise MineError

    engine = start(training)
    end = engine.wait(TIMEOUT_S)
    monkeypatch.undo()
    assert end is not None
    assert (end.state, end.exit_code) == ("failed", 1)


@pytest.mark.parametrize(("status", "code"), [("pass", 0), ("warn", 0), ("inconclusive", 0), ("fail", 1)])
def test_a_check_that_failed_is_the_exit_code(status: Any, code: int, start: Start) -> None:
    engine = start(lambda engine: engine.checked(CheckStage(name="overfit-one-batch", status=status)))
    assert engine.wait(TIMEOUT_S) == End("finished", code)
    assert [check.status for check in engine.checks] == [status]


def test_commands_after_the_end_are_refused_with_its_state(start: Start) -> None:
    engine = start(lambda engine: None)
    engine.wait(TIMEOUT_S)
    for future in (engine.pause(), engine.resume(), engine.do_step(), engine.stop(), engine.checkpoint()):
        outcome = future.result(TIMEOUT_S)
        assert (outcome.ok, outcome.state) == (False, "finished")


def test_commands_before_the_first_step_wait_for_it(start: Start) -> None:
    go = threading.Event()

    def training(engine: Engine) -> None:
        assert go.wait(TIMEOUT_S)
        endless(engine)

    engine = start(training)
    paused = engine.pause()
    assert engine.state == "starting"
    go.set()
    assert paused.result(TIMEOUT_S).step == 0


def test_waiting_for_a_run_that_goes_on_says_so(start: Start) -> None:
    engine = start(endless)
    assert engine.wait(0.01) is None
    assert engine.end is None


def test_a_finding_is_kept_and_recorded(start: Start) -> None:
    finding = Finding(code="nonfinite", severity="error", step=3, message="train/loss is NaN.")
    engine = start(lambda engine: engine.found(finding))
    engine.wait(TIMEOUT_S)
    assert engine.findings == [finding]
    assert [e.finding for e in events_of(engine) if isinstance(e, FindingChanged)] == [finding]


def test_the_training_computes_under_the_settings_of_the_thread_that_started_it(start: Start) -> None:
    seen: dict[str, Any] = {}

    def training(engine: Engine) -> None:
        seen["device"] = torch.empty(1).device
        seen["grad"] = torch.is_grad_enabled()
        seen["autocast"] = torch.is_autocast_enabled("cpu"), torch.get_autocast_dtype("cpu")
        seen["numpy"] = np.geterr()["divide"]
        seen["decimal"] = decimal.getcontext().prec

    state = torch_state.capture()
    try:
        torch.set_default_device("meta")
        torch.set_grad_enabled(False)
        torch.set_autocast_enabled("cpu", True)
        torch.set_autocast_dtype("cpu", torch.float16)
        np.seterr(divide="raise")
        decimal.getcontext().prec = 9
        engine = start(training)
        assert engine.wait(TIMEOUT_S) == End("finished", 0)
    finally:
        torch_state.apply(state)
    assert seen == {
        "device": torch.device("meta"),
        "grad": False,
        "autocast": (True, torch.float16),
        "numpy": "raise",
        "decimal": 9,
    }


def test_settings_that_cannot_be_carried_over_fail_the_run_and_do_not_hang_it(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(state: object) -> None:
        raise RuntimeError("no such device")

    monkeypatch.setattr(torch_state, "apply", broken)
    engine = start(configured())
    end = engine.wait(TIMEOUT_S)
    assert end is not None
    assert (end.state, end.exit_code) == ("failed", 1)


def test_two_engines_train_side_by_side_and_see_only_their_own(tmp_path: Path) -> None:
    engines = []
    for name in ("a", "b"):
        folder = tmp_path / name
        folder.mkdir()
        engines.append(Engine(folder, configured("steps = 40")))
    for engine in engines:
        engine.start()
    assert [engine.wait(TIMEOUT_S) for engine in engines] == [End("finished", 0)] * 2
    assert [engine.step for engine in engines] == [40, 40]
    assert "__call__" not in vars(nn.Sequential)
    assert nn.Module.__call__.__name__ == "_wrapped_call_impl"


def test_a_run_has_one_engine_until_that_has_ended(tmp_path: Path) -> None:
    first = Engine(tmp_path, lambda engine: None)
    with pytest.raises(RunFolderError, match="is training this run"):
        Engine(tmp_path, lambda engine: None)
    first.start()
    first.wait(30)
    Engine(tmp_path, lambda engine: None)
