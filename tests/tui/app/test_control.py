"""Commands go to the engine without holding up the screen, and what it answers is told."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from pathlib import Path

import pytest

from sgdb_engine.control import Command, ControlServer, Outcome, Pause, Resume, Step, Stop
from sgdb_engine.events import State
from sgdb_tui.screens.confirm import ConfirmStop
from tests.tui.app.driving import dashboard, first_line, seen, settle
from tests.tui.app.recorded import write_state


class Engine:
    """Answers commands, or refuses them, or lets them wait."""

    def __init__(self, path: Path) -> None:
        self.asked: list[Command] = []
        self.arrived = threading.Event()
        self.refuse = ""
        self.wait = False
        self.server = ControlServer(path, self.submit)

    def submit(self, command: Command, by: str) -> "Future[Outcome]":
        self.asked.append(command)
        self.arrived.set()
        future: Future[Outcome] = Future()
        if not self.wait:
            future.set_result(Outcome(ok=not self.refuse, step=60, state="paused", message=self.refuse))
        return future


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    folder = tmp_path / "s"
    folder.mkdir(mode=0o700)
    made = Engine(folder / "socket")
    yield made
    made.server.close()


@pytest.mark.parametrize(
    ("state", "key", "command"),
    [("running", "space", Pause()), ("paused", "space", Resume()), ("running", "s", Step())],
)
async def test_a_key_becomes_a_command(
    engine: Engine, small_run: Callable[..., Path], state: State, key: str, command: Command
) -> None:
    folder = small_run(state, socket=str(engine.server.path))
    write_state(folder, state, step=60, socket=str(engine.server.path))
    async with dashboard(folder) as (_, pilot):
        await pilot.press(key)
        assert engine.arrived.wait(5)
    assert engine.asked == [command]


async def test_what_was_asked_is_seen_until_it_is_answered(
    engine: Engine, small_run: Callable[..., Path]
) -> None:
    engine.wait = True
    async with dashboard(small_run(socket=str(engine.server.path)), (80, 24)) as (app, pilot):
        await pilot.press("space")
        assert "pausing…" in first_line(app)
        assert app.is_running


async def test_a_refusal_is_told_in_the_log(engine: Engine, small_run: Callable[..., Path]) -> None:
    engine.refuse = "This loop cannot be paused here."
    async with dashboard(small_run(socket=str(engine.server.path))) as (app, pilot):
        await pilot.press("space")
        for _ in range(100):
            if not app.view.asked:
                break
            app.view.poll()
            await pilot.pause(0.02)
        await settle(app, pilot)
        assert "This loop cannot be paused here." in seen(app)


async def test_an_engine_without_a_socket_is_told_in_the_log(small_run: Callable[..., Path]) -> None:
    async with dashboard(small_run()) as (app, pilot):
        await pilot.press("space")
        await settle(app, pilot)
        assert "cannot be reached" in seen(app)


@pytest.mark.parametrize(("key", "command"), [("c", Stop(checkpoint=True)), ("n", Stop(checkpoint=False))])
async def test_stopping_asks_first(
    engine: Engine, small_run: Callable[..., Path], key: str, command: Command
) -> None:
    async with dashboard(small_run(socket=str(engine.server.path))) as (app, pilot):
        await pilot.press("Q")
        assert isinstance(app.screen, ConfirmStop)
        assert engine.asked == []
        await pilot.press(key)
        assert engine.arrived.wait(5)
    assert engine.asked == [command]


async def test_of_a_script_no_checkpoint_is_offered(engine: Engine, small_run: Callable[..., Path]) -> None:
    async with dashboard(small_run(socket=str(engine.server.path), can_save=False)) as (app, pilot):
        await pilot.press("Q")
        await pilot.pause()
        screen = seen(app)
        assert "checkpoint" not in screen
        assert "Only what the script has saved itself is saved." in screen
        await pilot.press("enter")
        assert engine.arrived.wait(5)
    assert engine.asked == [Stop(checkpoint=False)]


async def test_escape_and_go_on_do_not_stop(engine: Engine, small_run: Callable[..., Path]) -> None:
    async with dashboard(small_run(socket=str(engine.server.path))) as (app, pilot):
        await pilot.press("Q", "escape")
        await pilot.press("Q", "down", "down", "enter")
        await pilot.pause()
        assert not isinstance(app.screen, ConfirmStop)
    assert engine.asked == []


async def test_q_leaves_and_the_run_goes_on(engine: Engine, small_run: Callable[..., Path]) -> None:
    async with dashboard(small_run(socket=str(engine.server.path))) as (app, pilot):
        await pilot.press("q")
        await pilot.pause()
        assert not app.is_running
    assert engine.asked == []
