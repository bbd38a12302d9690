"""The panel of the decision regions."""

import numpy as np
import pytest

from sgdb_engine.recording.pictures import Regions
from sgdb_tui.widgets.decision_regions import DecisionRegions


def stripes(wrong: int = 0, classes: int = 3) -> Regions:
    """Equal stripes from left to right, three examples in each, some of them wrong."""
    grid = np.repeat((np.arange(96) * classes // 96)[None], 64, axis=0).astype(np.uint8)
    middles = (np.arange(classes) + 0.5) / classes
    points = np.array([(x, y) for x in middles for y in (0.2, 0.5, 0.8)], np.float32)
    targets = np.repeat(np.arange(classes), 3)
    targets[:wrong] = (targets[:wrong] + 1) % classes
    return Regions(
        step=40,
        wall=0.0,
        height=64,
        width=96,
        low=(0.0, -1.5),
        high=(1.0, 1.0),
        cells=grid.tobytes(),
        points=points.astype("<f4").tobytes(),
        targets=targets.astype(np.uint8).tobytes(),
    )


@pytest.mark.parametrize("size", [(1, 1), (10, 3), (26, 10), (80, 24)])
@pytest.mark.parametrize("ascii_only", [False, True])
async def test_the_picture_at_every_size(app_with, golden, size: tuple[int, int], ascii_only: bool) -> None:
    app = app_with(DecisionRegions(), ascii_only=ascii_only)
    async with app.run_test(size=size) as pilot:
        app.panel.show(stripes(wrong=1))
        await pilot.pause()
        assert not ascii_only or app.shown().isascii()
        golden(f"regions-{'ascii-' if ascii_only else ''}{size[0]}x{size[1]}", app.shown())


async def test_the_title_tells_the_classes_what_is_wrong_and_the_step(app_with) -> None:
    app = app_with(DecisionRegions())
    async with app.run_test(size=(80, 12)) as pilot:
        app.panel.show(stripes(wrong=2))
        await pilot.pause()
        title = app.shown().splitlines()[0].split()
        assert title[2:] == ["0", "1", "2", "2", "wrong", "step", "40"]
        app.panel.show(stripes())
        await pilot.pause()
        assert "all right" in app.shown()


async def test_a_hundred_classes_can_be_shown(app_with) -> None:
    app = app_with(DecisionRegions())
    async with app.run_test(size=(60, 12)) as pilot:
        app.panel.show(stripes(classes=90))
        await pilot.pause()
        assert app.posted == []
        assert "panel error" not in app.shown()


async def test_before_there_is_one_nothing_is_drawn(app_with) -> None:
    app = app_with(DecisionRegions())
    async with app.run_test(size=(60, 12)):
        assert app.shown().replace("▌", "").split() == ["Decision", "regions"]
