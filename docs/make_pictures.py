"""Makes the pictures of the documentation, from a real training and a real check.

python docs/make_pictures.py
"""

import asyncio
import os
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

os.environ |= {"TEXTUAL_COLOR_SYSTEM": "truecolor", "TEXTUAL_ANIMATIONS": "none"}
os.environ.pop("NO_COLOR", None)

from sgdb_engine.launch import start_engine
from sgdb_engine.recording.folder import create_run_folder, read_status
from sgdb_engine.target import Mode, resolve
from sgdb_tui.app import SgdbApp

ROOT = Path(__file__).parents[1]
PICTURES = ROOT / "docs" / "pictures"
CONFIG = "sample_configs/digits_mlp.toml"
POINTS = """
[run]
name = "spirals"
[data]
name = "spirals"
[model]
name = "mlp"
layers = 2
width = 16
[[loss]]
name = "cross_entropy"
[optimizer]
name = "adam"
lr = 1e-2
[train]
steps = 20000
batch_size = 32
"""


def started(mode: Mode, folder: Path, config: str = CONFIG) -> Path:
    """A run folder whose engine is at work."""
    target = resolve(config, (), ())
    run = create_run_folder(folder, target.config.run.name)
    target.describe_in(run, mode)
    start_engine(target.order(run, mode, max_steps=None, summary_path=None))
    return run


def wait_until(run: Path, condition: Callable[[], bool]) -> None:
    while not (run / "status.json").exists() or not condition():
        time.sleep(0.1)


async def picture(run: Path, name: str, columns: int, rows: int, *keys: str) -> None:
    """What the dashboard shows of a run after some keys, as docs/pictures/<name>.svg."""
    app = SgdbApp(run)
    async with app.run_test(size=(columns, rows)) as pilot:
        while not app.view.caught_up:
            await pilot.pause(0.05)
        await pilot.pause(1.5)
        await pilot.press(*keys)
        await pilot.pause(0.5)
        (PICTURES / f"{name}.svg").write_text(app.export_screenshot(title="sgdb"))


def main() -> None:
    PICTURES.mkdir(exist_ok=True)
    os.chdir(ROOT)
    folder = Path(tempfile.mkdtemp())
    run = started("run", folder)
    wait_until(run, lambda: read_status(run).step > 1500)
    asyncio.run(picture(run, "run-120x40", 120, 40))
    asyncio.run(picture(run, "run-80x24", 80, 24))
    wait_until(run, lambda: read_status(run).exit_code is not None)
    (folder / "spirals.toml").write_text(POINTS)
    points = started("run", folder, str(folder / "spirals.toml"))
    wait_until(points, lambda: read_status(points).step > 4000)
    asyncio.run(picture(points, "regions-120x40", 120, 40))
    wait_until(points, lambda: read_status(points).exit_code is not None)
    check = started("check", folder)
    wait_until(check, lambda: read_status(check).exit_code is not None)
    asyncio.run(picture(check, "check-120x40", 120, 40))
    shutil.rmtree(folder)


if __name__ == "__main__":
    main()
