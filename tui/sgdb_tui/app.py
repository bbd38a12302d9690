"""The dashboard on a run: opens it, polls it, shows it, and says how it was left."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from textual.screen import Screen

from sgdb_engine.events import ENDED
from sgdb_tui.bridge import RunView, ViewState
from sgdb_tui.dashboard import POLL_S, TABLES_S, Dashboard
from sgdb_tui.screens.run_screen import RunScreen


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


class SgdbApp(Dashboard):
    """Shows one run, live or ended; its result: whether the run that was checked is to be started."""

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
        super().__init__(begin=begin, ascii_only=ascii_only, theme=theme)
        self.view = RunView(folder)
        self._tables_at = 0.0
        self._news = False
        """Something came that the tables do not show yet."""

    def get_default_screen(self) -> Screen[None]:
        """The screen that fits what the run is."""
        if self.view.info.mode == "check":
            from sgdb_tui.screens.check import CheckScreen  # only a check needs it

            return CheckScreen(self.view)
        if self.view.info.mode == "lr-find":
            from sgdb_tui.screens.lr_find import LrFindScreen

            return LrFindScreen(self.view)
        from sgdb_tui.screens.overview import Overview

        return Overview(self.view)

    def look(self) -> bool:
        """Poll the run and show what came, the tables once a second."""
        began = time.monotonic()
        changed = self.view.poll()
        if self.view.status is not None and self.view.status.refused:
            self.exit()  # there is nothing to see; the command that opened the dashboard says why
            return True
        self._news = self._news or changed.scalars or changed.tensors or changed.events
        tables = self._news and began - self._tables_at >= TABLES_S - POLL_S / 4
        with self.batch_update():
            if run_screen := self.run_screen():
                run_screen.refresh_run(changed, tables=tables)
        if tables:
            self._tables_at, self._news = began, False
        return self.view.caught_up

    def show_everything(self) -> None:
        """Read all that is recorded, and show it."""
        while not self.view.caught_up:
            self.view.poll()
        if run_screen := self.run_screen():
            run_screen.refresh_everything()

    def run_screen(self) -> RunScreen | None:
        """The screen on the run, also while a question stands before it."""
        shown = self.panel_screen()
        return shown if isinstance(shown, RunScreen) else None


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
    return SgdbApp(folder).frame(width, height, color)
