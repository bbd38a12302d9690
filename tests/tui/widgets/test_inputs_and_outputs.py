"""Inputs as images, and outputs as judgements."""

import numpy as np
import pytest

from sgdb_engine.recording.pictures import Confusion, Images
from sgdb_tui.widgets.inputs import Inputs, columns_of_image, rows_of_image
from sgdb_tui.widgets.outputs import Outputs
from sgdb_tui.widgets.readings import Reading

READINGS = [Reading(name, "1.5") for name in ("min", "max", "mean", "std", "NaN/Inf")]


def images(
    count: int = 10, height: int = 8, width: int = 8, channels: int = 1, *, classes: bool = True
) -> Images:
    """Each lighter than the one before, with a dark left edge; every fourth is taken for another class."""
    pixels = np.zeros((count, height, width, channels), np.uint8)
    pixels[:, :, 1:] = np.linspace(60, 255, count).astype(np.uint8)[:, None, None, None]
    targets = tuple(k % 10 for k in range(count)) if classes else ()
    return Images(
        step=7,
        wall=0.0,
        count=count,
        height=height,
        width=width,
        channels=channels,
        pixels=pixels.tobytes(),
        low=-1.0,
        high=1.0,
        targets=targets,
        predictions=tuple((t + 1) % 10 if t % 4 == 3 else t for t in targets),
    )


def confusion(classes: int = 3) -> Confusion:
    counts = np.diag(np.full(classes, 9))
    counts[0, 1] = 3
    return Confusion(
        step=7,
        wall=0.0,
        right=9 * classes,
        judged=9 * classes + 3,
        classes=classes,
        counts=counts.astype("<u4").tobytes(),
    )


@pytest.mark.parametrize("size", [(10, 3), (30, 12), (79, 22)])
async def test_images_in_ascii_at_every_size(app_with, golden, size: tuple[int, int]) -> None:
    app = app_with(Inputs("Inputs"), ascii_only=True)
    async with app.run_test(size=size) as pilot:
        app.panel.show_all(READINGS, images())
        await pilot.pause()
        assert app.shown().isascii()
        golden(f"inputs-ascii-{size[0]}x{size[1]}", app.shown())


async def test_below_each_image_stands_its_class(app_with) -> None:
    app = app_with(Inputs("Inputs"))
    async with app.run_test(size=(30, 12)) as pilot:
        app.panel.show_all(READINGS, images())
        await pilot.pause()
        lines = app.shown().splitlines()
        assert lines[1][1:].rstrip() == " ".join(["▀" * 8] * 3)
        assert lines[5].split() == ["▌", "0", "1", "2"]
        assert lines[6].startswith("▌min")
        app.panel.show_all(READINGS, images(classes=False))
        await pilot.pause()
        assert app.shown().splitlines()[5].startswith("▌min")


async def test_without_images_there_are_readings_alone(app_with) -> None:
    app = app_with(Inputs("Inputs"))
    async with app.run_test(size=(30, 12)) as pilot:
        app.panel.show_all(READINGS, None)
        await pilot.pause()
        assert app.shown().splitlines()[1].startswith("▌min")


@pytest.mark.parametrize(
    ("shape", "room", "rows"),
    [
        ((8, 8), 6, 4),
        ((28, 28), 6, 5),
        ((28, 28), 30, 14),
        ((8, 8), 30, 8),
        ((32, 8), 10, 9),
        ((28, 28), 1, 4),
    ],
    ids=str,
)
def test_an_image_is_as_large_as_all_of_them_fit_or_as_there_is_room_for(
    shape: tuple[int, int], room: int, rows: int
) -> None:
    shown = images(height=shape[0], width=shape[1])
    assert rows_of_image(shown, 79, room) == rows
    assert columns_of_image(shown, rows) == round(2 * rows * shape[1] / shape[0])


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", [(1, 1), (4, 30), (200, 60)])
async def test_any_size_can_be_drawn(app_with, size: tuple[int, int], channels: int) -> None:
    app = app_with(Inputs("Inputs"))
    async with app.run_test(size=size) as pilot:
        app.panel.show_all(READINGS, images(height=32, width=32, channels=channels))
        await pilot.pause()
        assert app.posted == []


@pytest.mark.parametrize("size", [(10, 3), (30, 12), (79, 22)])
async def test_outputs_in_ascii_at_every_size(app_with, golden, size: tuple[int, int]) -> None:
    app = app_with(Outputs("Outputs"), ascii_only=True)
    async with app.run_test(size=size) as pilot:
        app.panel.show_all(READINGS, images(), confusion())
        await pilot.pause()
        assert app.shown().isascii()
        golden(f"outputs-ascii-{size[0]}x{size[1]}", app.shown())


async def test_what_was_said_of_each_image_is_marked_where_it_is_wrong(app_with) -> None:
    app = app_with(Outputs("Outputs"))
    async with app.run_test(size=(79, 12)) as pilot:
        app.panel.show_all(READINGS, images(), None)
        await pilot.pause()
        words = app.shown().splitlines()[1].split()
        assert words == ["▌said/is", "0/0", "1/1", "2/2", "4/3×", "4/4", "5/5", "6/6", "8/7×", "8/8", "9/9"]


async def test_accuracy_and_the_worst_pair_stand_above_the_readings(app_with) -> None:
    app = app_with(Outputs("Outputs"))
    async with app.run_test(size=(30, 12)) as pilot:
        app.panel.show_all(READINGS, None, confusion())
        await pilot.pause()
        lines = [line.split() for line in app.shown().splitlines()]
        assert lines[1] == ["▌val", "accuracy", "90", "%", "27/30"]
        assert lines[2] == ["▌0", "taken", "for", "1", "3/12"]
        assert lines[3][0] == "▌min"
        assert "true" not in app.shown()


async def test_with_room_the_matrix_stands_beside_them_or_below(app_with) -> None:
    for size, words in (((79, 22), ["true", "0", "1", "2"]), ((30, 22), ["▌true", "0", "1", "2"])):
        app = app_with(Outputs("Outputs"))
        async with app.run_test(size=size) as pilot:
            app.panel.show_all(READINGS, None, confusion())
            await pilot.pause()
            assert any(line.split()[-4:] == words for line in app.shown().splitlines())


async def test_where_nearly_all_are_right_it_does_not_say_all(app_with) -> None:
    app = app_with(Outputs("Outputs"))
    nearly = Confusion(step=1, wall=0.0, right=99_999, judged=100_000, classes=0, counts=b"")
    async with app.run_test(size=(40, 12)) as pilot:
        app.panel.show_all(READINGS, None, nearly)
        await pilot.pause()
        assert "99.9 %" in app.shown()


async def test_a_hundred_classes_have_pairs_and_no_matrix(app_with) -> None:
    app = app_with(Outputs("Outputs"))
    async with app.run_test(size=(200, 60)) as pilot:
        app.panel.show_all(READINGS, None, confusion(100))
        await pilot.pause()
        assert "0 taken for 1" in app.shown()
        assert "true" not in app.shown()
