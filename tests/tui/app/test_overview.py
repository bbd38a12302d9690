"""The overview: what it says, in every size."""

from pathlib import Path

import numpy as np
import pytest

from sgdb_engine.recording.payloads import HISTOGRAM_BINS, HistogramKind, histogram_stats
from sgdb_engine.recording.writer import Recorder
from sgdb_tui.widgets.heat_map import HeatMap
from sgdb_tui.widgets.panel import Panel
from sgdb_tui.widgets.range_bars import RangeBars
from tests.tui.app.driving import dashboard, first_line, last_line, seen
from tests.tui.app.recorded import LAYERS, make_folder, record, write_state

SIZES = [(80, 24), (120, 40), (200, 60), (80, 40), (120, 24), (50, 30)]


async def test_a_stranger_sees_what_is_wrong_at_80_by_24(gpt_run: Path) -> None:
    async with dashboard(gpt_run, (80, 24)) as (app, _):
        screen = seen(app)
    assert "RUNNING" in screen
    assert "step 2000/5000" in screen
    assert "NaN in the gradient of h.3.mlp.up.weight" in screen
    lines = screen.splitlines()
    gradients = next(y for y, line in enumerate(lines) if "3 Gradients" in line)
    assert "h.3.mlp.up" in lines[gradients + 1], "the broken layer is the first row"
    assert "h.0.mlp.down" in lines[gradients + 2], "then the vanishing one"


async def test_at_120_by_40_every_numbered_panel_is_seen(gpt_run: Path) -> None:
    async with dashboard(gpt_run, (120, 40)) as (app, _):
        screen = seen(app)
    titles = ["1 Loss", "2 Now", "3 Gradients", "4 Parameters", "5 Inputs", "6 Outputs"]
    for title in [*titles, "7 Learning rate", "8 Findings", "9 Log"]:
        assert title in screen


async def test_at_200_by_60_there_is_room_for_the_gradient_norm(gpt_run: Path) -> None:
    async with dashboard(gpt_run, (200, 60)) as (app, _):
        assert "Gradient norm" in seen(app)


@pytest.mark.parametrize("size", SIZES)
async def test_no_word_of_the_key_line_is_cut(gpt_run: Path, size: tuple[int, int]) -> None:
    async with dashboard(gpt_run, size) as (app, _):
        line = last_line(app)
    known = "space pause s step q detach Q stop ? help ←→ cursor +− zoom g log x axis m smoothing 1–9 panels z maximise"
    assert line.strip()
    assert set(line.split()) <= set(known.split())


@pytest.mark.parametrize("size", SIZES)
async def test_shown_panels_fill_the_screen_without_overlap(gpt_run: Path, size: tuple[int, int]) -> None:
    async with dashboard(gpt_run, size) as (app, _):
        shown = [panel.region for panel in app.screen.query(Panel) if panel.display and panel.region]
    assert shown
    for index, region in enumerate(shown):
        assert region.height >= 3
        assert all(not region.overlaps(other) for other in shown[:index])


async def test_the_now_table_tells_value_trend_and_course(gpt_run: Path) -> None:
    async with dashboard(gpt_run) as (app, _):
        lines = {line[81:95].strip(): line[81:] for line in seen(app).splitlines()}
    assert "↗" in lines["val−train gap"]
    assert "▆" in lines["train loss"]
    assert "0.4934" in lines["best val"]
    assert "3.226" in lines["it/s"]


async def test_from_the_first_minute_on_every_panel_follows_the_run(tmp_path: Path) -> None:
    folder = make_folder(tmp_path)
    async with dashboard(folder) as (app, pilot):
        assert "is starting" in seen(app)
        record(folder, num_steps=60)
        write_state(folder, "running", step=60)
        for _ in range(200):
            await pilot.pause(0.05)
            if "step 60/5000" in first_line(app) and "grad norm" in seen(app) and app.focused:
                break
        screen = seen(app)
        assert app.focused is not None
        assert app.focused.id == "loss"
    assert "no values yet" not in screen
    assert "nothing printed yet" not in screen
    for words in ("3 open", "h.0.attn.qkv", "update/weight", "NaN/Inf"):
        assert words in screen, words


async def test_filter_and_order_hold_for_both_panels_of_layers(gpt_run: Path) -> None:
    async with dashboard(gpt_run) as (app, pilot):
        await pilot.press("slash", *"attn")
        for panel in (app.screen.query_one(HeatMap), app.screen.query_one(RangeBars)):
            assert panel.filter_text == "attn"
        assert "mlp" not in "\n".join(line for line in seen(app).splitlines()[16:27])
        await pilot.press("enter", "w")
        assert not app.screen.query_one(HeatMap).worst_first
        assert not app.screen.query_one(RangeBars).worst_first
        await pilot.press("slash", "escape")
        assert app.screen.query_one(HeatMap).filter_text == ""


async def test_the_row_cursor_is_shared_between_the_panels_of_layers(gpt_run: Path) -> None:
    async with dashboard(gpt_run) as (app, pilot):
        await pilot.press("3", "down", "down")
        await pilot.pause()
        assert app.screen.query_one(HeatMap).selected == app.screen.query_one(RangeBars).selected


async def test_h_shows_histograms_of_weights_gradients_activations_and_ranges_again(tmp_path: Path) -> None:
    folder = make_folder(tmp_path)
    record(folder, num_steps=60)
    recorder = Recorder(folder)
    names: dict[HistogramKind, tuple[str, ...]] = {
        "weights": LAYERS,
        "gradients": LAYERS,
        "activations": ("h.0.attn", "h.0.gelu"),
    }
    for kind, tensors in names.items():
        columns = tuple(f"{stat}/{name}" for stat in histogram_stats(kind) for name in tensors)
        values = np.full(len(columns), 1 / HISTOGRAM_BINS, np.float32)
        recorder.tensors(columns, 60, 0.0, 0.0, values)
    recorder.close()
    write_state(folder, "finished", step=60)
    async with dashboard(folder) as (app, pilot):
        await pilot.press("4")
        for kind in names:
            await pilot.press("h")
            await pilot.pause()
            assert f"histograms of {kind}" in seen(app)
            assert "▇▇▇▇▇▇" in seen(app)
        assert "gelu" in seen(app)
        await pilot.press("h")
        await pilot.pause()
        assert "●" in seen(app)
        assert "gelu" not in seen(app)


async def test_where_a_kind_of_histograms_was_not_measured_that_is_said(gpt_run: Path) -> None:
    async with dashboard(gpt_run) as (app, pilot):
        await pilot.press("4", "h", "h", "h")
        await pilot.pause()
        assert "not measured yet" in seen(app)
