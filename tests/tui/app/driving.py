"""How the tests open the dashboard, wait for it, and read what is on the screen."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from textual.pilot import Pilot

from sgdb_tui.app import SgdbApp


@asynccontextmanager
async def dashboard(
    folder: Path, size: tuple[int, int] = (120, 40), **options: object
) -> AsyncIterator[tuple[SgdbApp, Pilot[None]]]:
    """The dashboard on a run, with everything that is recorded on the screen."""
    app = SgdbApp(folder, **options)  # type: ignore[arg-type]
    async with app.run_test(size=size) as pilot:
        while not app.view.caught_up:
            await pilot.pause(0.01)
        await settle(app, pilot)
        yield app, pilot


async def settle(app: SgdbApp, pilot: Pilot[None]) -> None:
    """Show all that was read so far, without waiting for the clock."""
    app.view.poll()
    run_screen = app.run_screen()
    assert run_screen is not None
    run_screen.refresh_everything()
    await pilot.pause()
    await pilot.pause()


def seen(app: SgdbApp) -> str:
    """The text on the screen, a line a row."""
    return "\n".join(strip.text for strip in app.screen._compositor.render_strips())


def first_line(app: SgdbApp) -> str:
    """The status line."""
    return seen(app).splitlines()[0]


def last_line(app: SgdbApp) -> str:
    """The line of keys."""
    return seen(app).splitlines()[-1]
