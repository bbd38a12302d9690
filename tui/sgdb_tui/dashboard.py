"""What every application of ours is: its looks, its guard, its clock, its end by SIGTERM, one frame as text."""

import signal
import sys
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence

from rich.console import Console
from textual.app import App, SystemCommand
from textual.filter import LineFilter
from textual.pilot import Pilot
from textual.screen import Screen
from textual.strip import Strip

from sgdb_engine.errors import SgdbError
from sgdb_tui.glyphs import TerminalGuard
from sgdb_tui.keys import keys_of
from sgdb_tui.screens.panel_screen import PanelScreen
from sgdb_tui.themes import SHORT_NAMES, THEMES, theme_for

POLL_S = 0.5
TABLES_S = 1.0
SLOWEST_S = 4.0
CATCHING_UP_S = 0.02
"""Between two polls while a long run is being read."""


class Dashboard(App[bool]):
    """A subclass names its screen, and looks at what it shows by `look`."""

    CSS_PATH = "app.tcss"
    TITLE = "sgdb"
    ENABLE_COMMAND_PALETTE = True

    def __init__(
        self,
        *,
        begin: Callable[[], None] = lambda: None,
        ascii_only: bool = False,
        theme: str | None = None,
    ) -> None:
        """`begin` is called once, when the first frame is on the screen."""
        super().__init__()
        self.ascii_only = ascii_only
        self.refusal: SgdbError | None = None
        """What `begin` raised; it ended the dashboard."""
        self._begin = begin
        self._guard = TerminalGuard(ascii_only=ascii_only)
        for known in THEMES:
            self.register_theme(known)
        self.theme = self._theme_named(theme)

    # What a subclass fills.

    def look(self) -> bool:
        """Look at what is shown, and show what came; whether that was all there is for now."""
        return True

    def show_everything(self) -> None:
        """Read all there is, and show it."""

    # Frame.

    def _theme_named(self, name: str | None) -> str:
        if name is None:
            return theme_for(self.console.color_system)
        full = SHORT_NAMES.get(name, name)
        return full if full in self.available_themes else theme_for(self.console.color_system)

    def get_line_filters(self) -> Sequence[LineFilter]:
        """Whatever is drawn passes the guard last."""
        return [*super().get_line_filters(), self._guard]

    def on_mount(self) -> None:
        """Begin once the first frame is there, then show what happens, by the clock."""
        import asyncio  # Textual has it loaded

        if sys.platform != "win32":
            asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, self._terminated)
        self.call_after_refresh(self._first_frame_shown)

    def _first_frame_shown(self) -> None:
        shown = self.panel_screen()
        if shown is None or not shown.is_mounted:
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
        """Look again and again; the slower the frame, the later the next."""
        if self.panel_screen() is None or self._exit:  # the application is ending
            return
        began = time.monotonic()
        waiting = POLL_S if self.look() else CATCHING_UP_S
        self.set_timer(min(SLOWEST_S, max(waiting, 2 * (time.monotonic() - began))), self._tick)

    def panel_screen(self) -> PanelScreen | None:
        """The screen with the panels, also while a question stands before it."""
        return next((screen for screen in self.screen_stack if isinstance(screen, PanelScreen)), None)

    def get_system_commands(self, screen: Screen[object]) -> Iterable[SystemCommand]:
        """Every key as a command, and the themes."""
        if isinstance(screen, PanelScreen):
            for key in keys_of(screen.KEY_GROUPS):
                if not key.action.startswith("app."):
                    words = f"{key.word.capitalize()}  ({key.face})"
                    yield SystemCommand(words, key.sentence, _runner(screen, key.action))
        yield SystemCommand("Theme", "Dark, light, 16 colours", self.action_change_theme)

    def action_help_quit(self) -> None:
        """What ctrl+c does: say how to leave."""
        shown = self.panel_screen()
        if shown is not None:
            self.notify(shown.LEAVING, markup=False)

    def frame(self, width: int, height: int, color: bool) -> str:
        """Everything that is known, on one frame, as text: with ANSI colours, or plain. Needs no terminal."""
        self.no_color = not color
        strips: list[Strip] = []

        async def photograph(pilot: Pilot[object]) -> None:
            while (shown := self.panel_screen()) is None or not shown.is_mounted:
                await pilot.pause()
            self.show_everything()
            await pilot.pause()
            # Textual gives out the screen as text nowhere else.
            strips.extend(shown._compositor.render_strips())
            self.exit()

        self.run(headless=True, size=(width, height), auto_pilot=photograph)
        if not color:
            return "\n".join(strip.text.rstrip() for strip in strips)
        console = Console(color_system="256", force_terminal=True, width=width)
        return "\n".join(strip.render(console) for strip in strips)


def _runner(screen: PanelScreen, action: str) -> Callable[[], Awaitable[None]]:
    async def run() -> None:
        await screen.run_action(action)

    return run
