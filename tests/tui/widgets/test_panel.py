"""The base of all panels: guarded, and sending only what changed."""

import pytest
from textual.geometry import Region

from sgdb_tui.plotting.cells import Ink, Paper, Run
from sgdb_tui.widgets.panel import Panel


class Lines(Panel):
    """Shows given lines; raises for a line that is an exception."""

    def __init__(self) -> None:
        super().__init__("Title")
        self.lines: list[str | Exception] = ["one", "two", "three"]
        self.sent: list[Region] = []

    def draw_body_line(self, y: int) -> list[Run]:
        line = self.lines[y] if y < len(self.lines) else ""
        if isinstance(line, Exception):
            raise line
        return [Run(line, Ink.TEXT, Paper.SURFACE)]

    def refresh(self, *regions: Region, **options: bool) -> "Lines":
        self.sent += regions
        return super().refresh(*regions, **options)


async def test_a_panel_has_a_title_row_a_focus_bar_and_a_body(app_with) -> None:
    app = app_with(Lines())
    async with app.run_test(size=(12, 4)):
        assert [line.rstrip() for line in app.shown().splitlines()] == ["▌Title", "▌one", "▌two", "▌three"]


async def test_without_focus_there_is_no_bar(app_with) -> None:
    app = app_with(Lines())
    async with app.run_test(size=(12, 4)) as pilot:
        app.panel.blur()
        await pilot.pause()
        assert "▌" not in app.shown()


async def test_only_changed_rows_are_sent(app_with) -> None:
    app = app_with(Lines())
    async with app.run_test(size=(12, 4)) as pilot:
        app.shown()
        await pilot.pause()
        app.panel.sent.clear()
        app.panel.lines[1] = "TWO"
        app.panel.redraw()
        assert app.panel.sent == [Region(0, 2, 12, 1)]


async def test_nothing_is_sent_when_nothing_changed(app_with) -> None:
    app = app_with(Lines())
    async with app.run_test(size=(12, 4)) as pilot:
        await pilot.pause()
        app.panel.sent.clear()
        app.panel.redraw()
        assert app.panel.sent == []


async def test_a_panel_that_raises_shows_its_error_and_lives_on(app_with) -> None:
    app = app_with(Lines())
    async with app.run_test(size=(60, 6)) as pilot:
        app.panel.lines[1] = ZeroDivisionError("division by \x1b[31mzero [red]")
        app.panel.redraw()
        app.panel.redraw()
        await pilot.pause()
        assert "ZeroDivisionError: division by �[31mzero [red]" in app.shown()
        assert [type(message) for message in app.posted] == [Panel.Failed]
        app.panel.lines[1] = "well again"
        app.panel.redraw()
        await pilot.pause()
        assert "well again" in app.shown()
        assert app.is_running


@pytest.mark.parametrize("size", [(1, 1), (10, 3), (3, 10)])
async def test_an_error_fits_into_any_panel(app_with, size: tuple[int, int]) -> None:
    app = app_with(Lines())
    async with app.run_test(size=size) as pilot:
        app.panel.lines[:] = [RuntimeError("broken")] * 3
        app.panel.redraw()
        await pilot.pause()
        lines = app.shown().splitlines()
        assert [len(line) for line in lines] == [size[0]] * size[1]


async def test_a_title_is_never_markup_or_an_escape_sequence(app_with) -> None:
    app = app_with(Lines())
    async with app.run_test(size=(40, 4)) as pilot:
        app.panel.panel_title = "[bold]Loss[/] \x1b[2J"
        await pilot.pause()
        assert app.shown().startswith("▌[bold]Loss[/] �[2J")


async def test_a_title_without_room_is_cut_visibly(app_with) -> None:
    app = app_with(Lines())
    async with app.run_test(size=(5, 2)):
        assert app.shown().splitlines()[0] == "▌Tit…"


async def test_in_ascii_mode_the_frame_is_ascii(app_with) -> None:
    app = app_with(Lines(), ascii_only=True)
    async with app.run_test(size=(12, 4)):
        assert app.shown().isascii()


async def test_what_changed_while_a_panel_was_hidden_is_seen_when_it_is_back(app_with) -> None:
    app = app_with(Lines())
    async with app.run_test(size=(12, 4)) as pilot:
        app.panel.display = False
        await pilot.pause()
        app.panel.lines[0] = "ONE"
        app.panel.redraw()
        app.panel.display = True
        await pilot.pause()
        assert "ONE" in app.shown()


async def test_a_new_theme_is_a_new_picture(app_with) -> None:
    app = app_with(Lines())
    async with app.run_test(size=(12, 4)) as pilot:
        before = app.panel.render_line(1)
        app.theme = "sgdb-light"
        await pilot.pause()
        assert app.panel.render_line(1) != before
