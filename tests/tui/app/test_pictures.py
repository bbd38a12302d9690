"""Pictures on the overview: there when they were taken, in every size, following the run."""

from collections.abc import Callable
from pathlib import Path

import pytest

from sgdb_engine.recording.pictures import Picture
from sgdb_engine.recording.writer import Recorder
from sgdb_tui.widgets.panel import Panel
from tests.tui.app.driving import dashboard, seen, settle
from tests.tui.widgets.test_decision_regions import stripes
from tests.tui.widgets.test_inputs_and_outputs import confusion, images

SIZES = [(80, 24), (120, 40), (200, 60), (80, 40), (120, 24), (50, 30)]


def add(folder: Path, *pictures: Picture) -> None:
    recorder = Recorder(folder)
    for picture in pictures:
        recorder.picture(picture)
    recorder.close()


@pytest.mark.parametrize("size", SIZES)
async def test_panels_do_not_overlap_with_any_pictures(
    small_run: Callable[..., Path], size: tuple[int, int]
) -> None:
    folder = small_run()
    add(folder, stripes(), images(), confusion())
    async with dashboard(folder, size) as (app, _):
        shown = [panel.region for panel in app.screen.query(Panel) if panel.display and panel.region]
        height = max(region.bottom for region in shown)
    for index, region in enumerate(shown):
        assert region.height >= 3
        assert region.bottom <= size[1]
        assert all(not region.overlaps(other) for other in shown[:index])
    assert height >= size[1] - 3


@pytest.mark.parametrize("size", [(80, 24), (120, 40), (200, 60)])
async def test_decision_regions_are_shown_only_where_there_are_some(
    small_run: Callable[..., Path], size: tuple[int, int]
) -> None:
    folder = small_run()
    async with dashboard(folder, size) as (app, pilot):
        assert "Decision regions" not in seen(app)
        add(folder, stripes())
        await settle(app, pilot)
        assert "Decision regions" in seen(app)


async def test_the_newest_regions_are_shown(small_run: Callable[..., Path]) -> None:
    folder = small_run()
    add(folder, stripes())
    async with dashboard(folder) as (app, pilot):
        assert "all right" in seen(app)
        add(folder, stripes(wrong=2))
        await settle(app, pilot)
        assert "2 wrong" in seen(app)


async def test_at_120_by_40_images_what_was_said_and_who_is_mixed_up_are_seen_at_once(
    small_run: Callable[..., Path],
) -> None:
    folder = small_run()
    add(folder, images(), confusion())
    async with dashboard(folder) as (app, _):
        screen = seen(app)
    for words in ("▀▀▀▀▀▀▀▀ ▀▀▀▀▀▀▀▀ ▀▀▀▀▀▀▀▀", "said/is 0/0", "4/3×", "val accuracy 90 %", "0 taken for 1"):
        assert words in screen, words
    for title in ("5 Inputs", "6 Outputs", "7 Learning rate", "8 Findings", "9 Log"):
        assert title in screen


async def test_maximised_the_outputs_show_the_whole_matrix(small_run: Callable[..., Path]) -> None:
    folder = small_run()
    add(folder, confusion())
    async with dashboard(folder, (80, 24)) as (app, pilot):
        await pilot.press("6")
        await pilot.pause()
        assert "true 0 1 2" in " ".join(seen(app).split())


async def test_regions_can_be_reached_and_maximised_by_keys(small_run: Callable[..., Path]) -> None:
    folder = small_run()
    add(folder, stripes())
    async with dashboard(folder, (80, 24)) as (app, pilot):
        await pilot.press("tab", "z")
        await pilot.pause()
        assert app.screen.query_one("#regions").region.width == 80
        assert "1 Loss" not in seen(app)
