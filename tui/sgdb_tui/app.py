"""The dashboard as an application: opens a run, polls it, shows it, and says how it was left."""

import signal
import sys
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from textual.app import App, SystemCommand
from textual.filter import LineFilter
from textual.pilot import Pilot
from textual.screen import Screen
from textual.strip import Strip

from sgdb_engine.errors import SgdbError
from sgdb_engine.events import ENDED
from sgdb_tui.bridge import RunView, ViewState
from sgdb_tui.glyphs import TerminalGuard
from sgdb_tui.keys import keys_of
from sgdb_tui.screens.run_screen import RunScreen
from sgdb_tui.themes import SHORT_NAMES, THEMES, theme_for

POLL_S = 0.5
TABLES_S = 1.0
SLOWEST_S = 4.0
CATCHING_UP_S = 0.02
"""Between two polls while a long run is being read."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How the dashboard was left."""

    state: ViewState
    """What the run was doing then."""
    exit_code: int
    """0, or 143 when the dashboard was told to end by SIGTERM."""
    start_run: bool = False
    """Its user asked for the run that was checked."""

    @property
    def goes_on(self) -> bool:
        """The run was left alive."""
        return self.state not in ENDED and self.state != "lost"


class SgdbApp(App[bool]):
    """Shows one run, live or ended; its result: whether the run that was checked is to be started."""

    CSS_PATH = "app.tcss"
    TITLE = "sgdb"
    ENABLE_COMMAND_PALETTE = True

    def __init__(
        self,
        folder: Path,
        *,
        begin: Callable[[], None] = lambda: None,
        ascii_only: bool = False,
        theme: str | None = None,
    ) -> None:
        """Shows the run in `folder`; `begin` is called once, when the first frame is on the screen.

        Raises RunFolderError when there is no run in that folder.
        """
        super().__init__()
        self.ascii_only = ascii_only
        self.refusal: SgdbError | None = None
        """What `begin` raised; it ended the dashboard."""
        self._begin = begin
        self.view = RunView(folder)
        self._guard = TerminalGuard(ascii_only=ascii_only)
        self._tables_at = 0.0
        self._news = False
        """Something came that the tables do not show yet."""
        for known in THEMES:
            self.register_theme(known)
        self.theme = self._theme_named(theme)

    def _theme_named(self, name: str | None) -> str:
        if name is None:
            return theme_for(self.console.color_system)
        full = SHORT_NAMES.get(name, name)
        return full if full in self.available_themes else theme_for(self.console.color_system)

    def get_default_screen(self) -> Screen[None]:
        """The screen that fits what the run is."""
        if self.view.info.mode == "check":
            from sgdb_tui.screens.check import CheckScreen  # only a check needs it

            return CheckScreen(self.view)
        from sgdb_tui.screens.overview import Overview

        return Overview(self.view)

    def get_line_filters(self) -> Sequence[LineFilter]:
        """Whatever is drawn passes the guard last."""
        return [*super().get_line_filters(), self._guard]

    def on_mount(self) -> None:
        """Begin once the first frame is there, then show what the run does, by the clock."""
        import asyncio  # Textual has it loaded

        if sys.platform != "win32":
            asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, self._terminated)
        self.call_after_refresh(self._first_frame_shown)

    def _first_frame_shown(self) -> None:
        run_screen = self.run_screen()
        if run_screen is None or not run_screen.is_mounted:
            self.set_timer(CATCHING_UP_S, self._first_frame_shown)
            return
        try:
            self._begin()
        except SgdbError as error:
            self.refusal = error
            self.exit()
        else:
            self._tick()

    def _terminated(self) -> None:
        self.exit(return_code=143)

    def _tick(self) -> None:
        """Poll and show; the slower the frame, the later the next."""
        run_screen = self.run_screen()
        if run_screen is None:  # the application is ending
            return
        began = time.monotonic()
        changed = self.view.poll()
        if self.view.status is not None and self.view.status.refused:
            self.exit()  # there is nothing to see; the command that opened the dashboard says why
            return
        self._news = self._news or changed.scalars or changed.tensors or changed.events
        tables = self._news and began - self._tables_at >= TABLES_S - POLL_S / 4
        with self.batch_update():
            run_screen.refresh_run(changed, tables=tables)
        if tables:
            self._tables_at, self._news = began, False
        waiting = POLL_S if self.view.caught_up else CATCHING_UP_S
        self.set_timer(min(SLOWEST_S, max(waiting, 2 * (time.monotonic() - began))), self._tick)

    def run_screen(self) -> RunScreen | None:
        """The screen on the run, also while a question stands before it."""
        return next((screen for screen in self.screen_stack if isinstance(screen, RunScreen)), None)

    def get_system_commands(self, screen: Screen[object]) -> Iterable[SystemCommand]:
        """Every key as a command, and the themes."""
        if isinstance(screen, RunScreen):
            for key in keys_of(screen.KEY_GROUPS):
                if not key.action.startswith("app."):
                    words = f"{key.word.capitalize()}  ({key.face})"
                    yield SystemCommand(words, key.sentence, _runner(screen, key.action))
        yield SystemCommand("Theme", "Dark, light, 16 colours", self.action_change_theme)

    def action_help_quit(self) -> None:
        """What ctrl+c does: say how to leave."""
        run_screen = self.run_screen()
        self.notify((run_screen or RunScreen).LEAVING, markup=False)


def _runner(screen: RunScreen, action: str) -> Callable[[], Awaitable[None]]:
    async def run() -> None:
        await screen.run_action(action)

    return run


def watch(
    folder: Path,
    *,
    begin: Callable[[], None] = lambda: None,
    ascii: bool = False,  # noqa: A002 - the option's name
    theme: str | None = None,
) -> Outcome:
    """Show a run in this terminal until its user leaves; `begin` is called once, behind the first frame.

    Raises:
        RunFolderError: there is no run in that folder.
        SgdbError: raised by `begin`.
    """
    app = SgdbApp(folder, begin=begin, ascii_only=ascii, theme=theme)
    app.run()
    if app.refusal is not None:
        raise app.refusal
    return Outcome(app.view.state, app.return_code or 0, bool(app.return_value))


def render_once(folder: Path, width: int, height: int, color: bool) -> str:
    """One frame of a run, live or ended, as text: with ANSI colours, or plain. Needs no terminal.

    Raises RunFolderError when there is no run in that folder.
    """
    app = SgdbApp(folder)
    app.no_color = not color
    frame: list[Strip] = []

    async def photograph(pilot: Pilot[object]) -> None:
        while not app.view.caught_up:
            app.view.poll()
        while (run_screen := app.run_screen()) is None or not run_screen.is_mounted:
            await pilot.pause()
        run_screen.refresh_everything()
        await pilot.pause()
        # Textual gives out the screen as text nowhere else.
        frame.extend(run_screen._compositor.render_strips())
        app.exit()

    app.run(headless=True, size=(width, height), auto_pilot=photograph)
    if not color:
        return "\n".join(strip.text.rstrip() for strip in frame)
    console = Console(color_system="256", force_terminal=True, width=width)
    return "\n".join(strip.render(console) for strip in frame)
