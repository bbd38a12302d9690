"""A training in several processes, and one with several optimizers, on the screen."""

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from sgdb_engine.events import Finding, FindingChanged, TrainingFailed
from sgdb_engine.ranks.standing import RankStatus, write_rank
from sgdb_engine.recording.liveness import boot_id, host_name, own_start_time
from sgdb_engine.recording.writer import Recorder
from sgdb_tui.widgets.panel import Panel
from tests.tui.app.driving import dashboard, seen, settle
from tests.tui.app.recorded import make_folder, write_state


def stand(folder: Path, rank: int, size: int = 2, **more: object) -> None:
    told = {"state": "running", "step": 60, "phase": "backward", "own_s": 0.001, "step_s": 0.02, "loss": 0.5}
    told |= {"grad_norm": 1.5, "pid": os.getpid(), "start_time": own_start_time(), "wall": time.time()}
    who = {"host": host_name(), "boot_id": boot_id()}
    write_rank(folder, RankStatus(rank=rank, size=size, **{**who, **told, **more}))  # type: ignore[arg-type]


def panel(screen: str) -> list[str]:
    lines = screen.splitlines()
    top = next(y for y, line in enumerate(lines) if line[1:].startswith("Ranks"))
    return lines[top : top + 7]


SIZES = [(80, 24), (120, 40), (200, 60), (50, 30)]


@pytest.mark.parametrize("size", SIZES)
async def test_each_rank_has_a_row_below_the_first_line(
    small_run: Callable[..., Path], size: tuple[int, int]
) -> None:
    folder = small_run()
    for rank in (0, 1):
        stand(folder, rank)
    async with dashboard(folder, size) as (app, _):
        lines = panel(seen(app))
        shown = [each.region for each in app.screen.query(Panel) if each.display and each.region]
    assert "2 in step" in lines[0]
    assert [line.split()[:4] for line in lines[1:3]] == [[str(r), "step", "60", "backward"] for r in (0, 1)]
    assert all(not a.overlaps(b) for i, a in enumerate(shown) for b in shown[:i])


async def test_the_straggler_comes_first_and_is_said_in_words(small_run: Callable[..., Path]) -> None:
    folder = small_run()
    for rank in range(4):
        stand(folder, rank, 4, own_s=0.016 if rank == 2 else 0.001)
    async with dashboard(folder) as (app, _):
        lines = panel(seen(app))
    assert "rank 2 keeps the others waiting: it works 16 ms a step, they 1 ms" in lines[0]
    assert [line.split()[0] for line in lines[1:5]] == ["2", "0", "1", "3"]
    assert "own   16 ms  loss 0.5000" in lines[1]
    assert "‖g‖ 1.500" in lines[1]


async def test_who_hangs_is_said_with_the_line(small_run: Callable[..., Path]) -> None:
    folder = small_run()
    stand(folder, 0, waits=True, still_s=42.0, where="train.py:9 in backward")
    stand(folder, 1, still_s=42.0, phase="between steps", where="train.py:7")
    async with dashboard(folder) as (app, _):
        lines = panel(seen(app))
    assert "rank 1 has stood still for 42 s in train.py:7; rank 0 waits in backward" in lines[0]


async def test_many_ranks_scroll_and_can_fill_the_screen(small_run: Callable[..., Path]) -> None:
    folder = small_run()
    for rank in range(30):
        stand(folder, rank, 30)
    async with dashboard(folder) as (app, pilot):
        assert "1-6/30" in panel(seen(app))[0]
        app.screen.query_one("#ranks").focus()
        await pilot.press("z")
        await settle(app, pilot)
        assert "29 step" in seen(app)
        assert "1 Loss" not in seen(app)
        await pilot.press("z")
        await settle(app, pilot)
        assert "1 Loss" in seen(app)


async def test_a_training_in_one_process_has_no_such_panel(small_run: Callable[..., Path]) -> None:
    async with dashboard(small_run()) as (app, _):
        assert "Ranks" not in seen(app)


async def test_what_goes_wrong_on_another_rank_is_told_with_its_number(
    small_run: Callable[..., Path],
) -> None:
    folder = small_run()
    for rank in (0, 1):
        stand(folder, rank)
    other = Recorder(folder, rank=1)
    finding = Finding(code="nonfinite-loss", severity="error", step=50, message="The loss is NaN")
    other.event(FindingChanged(step=50, finding=finding))
    other.event(TrainingFailed(step=60, error="ValueError: mine", traceback="Traceback\nValueError: mine"))
    other.close()
    async with dashboard(folder) as (app, _):
        screen = seen(app)
    assert "rank 1: The loss is NaN" in screen
    assert "[rank 1] ValueError: mine" in screen


async def test_the_norm_of_a_sharded_gradient_is_that_of_all_ranks(tmp_path: Path) -> None:
    folder = make_folder(tmp_path)
    write_state(folder, "running", step=20)
    for rank, square in ((0, 9.0), (1, 16.0)):
        stand(folder, rank)
        recorder = Recorder(folder, rank=rank)
        for step in range(1, 21):
            recorder.scalars(("train/loss", "grad_square"), step, 5.0 + step, 5.0 + step, (0.5, square))
        recorder.close()
    async with dashboard(folder) as (app, pilot):
        await settle(app, pilot)
        lines = seen(app).splitlines()
    assert next(line for line in lines if "grad norm" in line).split("grad norm")[1].split()[0] == "5.000"
    assert not any("grad_square" in line for line in lines)


@pytest.fixture
def gan(tmp_path: Path) -> Path:
    folder = make_folder(tmp_path)
    write_state(folder, "running", step=40)
    recorder = Recorder(folder)
    columns = (
        *("lr", "lr/0", "lr/1", "train/loss", "D.lr", "D.lr/0", "D.lr/1", "D.train/loss", "D.grad_norm"),
        *(
            "G.lr",
            "G.train/loss",
            "G.grad_norm",
            "G.input/min",
            "G.input/max",
            "input/min",
            "input/max",
            "my/own",
        ),
    )
    for step in range(1, 41):
        values = (
            2e-3,
            2e-3,
            1e-3,
            0.7,
            2e-3,
            2e-3,
            1e-3,
            0.7,
            3.0,
            5e-4,
            1.9,
            0.25,
            -3.0,
            3.5,
            -1.0,
            1.5,
            42.0,
        )
        recorder.scalars(columns, step, 5.0 + step, 5.0 + step, values)
    recorder.close()
    return folder


async def test_each_of_several_optimizers_has_its_loss_norm_and_rates(gan: Path) -> None:
    async with dashboard(gan, (200, 60)) as (app, _):
        screen = seen(app)
    for name, value in (
        *(("D loss", "0.7000"), ("G loss", "1.900"), ("D grad norm", "3.000"), ("G grad norm", "0.2500")),
        *(("D group 0 lr", "0.0020"), ("D group 1 lr", "0.0010"), ("G lr", "5e-4")),
    ):
        (line,) = [line for line in screen.splitlines() if f" {name} " in line]
        assert value in line.split(name)[1].split()[0]
    assert "D 0.7000  ━ G 1.900" in screen
    assert "train loss" not in screen


async def test_inputs_and_what_the_user_logged_are_where_they_belong(gan: Path) -> None:
    async with dashboard(gan, (200, 60)) as (app, _):
        screen = seen(app)
    assert (
        next(line for line in screen.splitlines() if "G max" in line).split("G max")[1].split()[0] == "3.500"
    )
    assert (
        next(line for line in screen.splitlines() if "my/own" in line).split("my/own")[1].split()[0]
        == "42.00"
    )
