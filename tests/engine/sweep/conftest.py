"""A plan, and run folders as engines would leave them, without engines."""

from collections.abc import Callable
from pathlib import Path

import pytest

from sgdb_engine.events import AnyEvent, Finding, FindingChanged, Severity, State, Validated
from sgdb_engine.recording.event_log import EventWriter, encode_event
from sgdb_engine.recording.folder import RunInfo, RunStatus, create_run_folder, write_info, write_status
from sgdb_engine.recording.liveness import own_identity
from sgdb_engine.sweep.grid import Axis, Point, ordered
from sgdb_engine.sweep.plan import SweepPlan
from sgdb_engine.sweep.point_file import PointFile, write_point

CONFIG = """
[data]
name = "wine"
[model]
name = "mlp"
[[loss]]
name = "cross_entropy"
[optimizer]
name = "adam"
lr = 0.01
[train]
epochs = 2
"""
GONE = ("", "", 0, 0.0)
"""Host, boot, process and its start, of a process that is gone."""


@pytest.fixture
def plan() -> SweepPlan:
    """Three points of a config."""
    axes = (Axis("optimizer.lr", ("1e-3", "1e-2", "1")),)
    return SweepPlan(
        id="abc",
        name="mine",
        kind="config",
        target="run.toml",
        config_text=CONFIG,
        base="/somewhere",
        grid=axes,
        order=ordered(axes),
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Of the sweep."""
    place = tmp_path / "sweep"
    place.mkdir()
    return place


LeaveRun = Callable[..., Path]


@pytest.fixture
def leave_run(folder: Path, plan: SweepPlan) -> LeaveRun:
    """Makes the run folder of a point."""

    def leave(
        point: Point,
        state: State = "finished",
        *,
        exit_code: int | None = 0,
        lives: bool = False,
        val_losses: tuple[float, ...] = (),
        findings: tuple[tuple[str, Severity], ...] = (),
        interrupted: bool = False,
        refused: bool = False,
    ) -> Path:
        run = create_run_folder(folder, f"point-{point.number}")
        settings = dict(point.settings)
        write_point(
            run, PointFile(sweep=plan.id, point=point.number, settings=settings, interrupted=interrupted)
        )
        write_info(run, RunInfo(id=run.name, name=run.name, mode="run", target=plan.target))
        host, boot_id, pid, start_time = own_identity() if lives else GONE
        events: list[AnyEvent] = [
            Validated(step=10 * place, metrics={"val/loss": loss}) for place, loss in enumerate(val_losses, 1)
        ]
        for code, severity in findings:
            finding = Finding(code=code, severity=severity, step=1, message="")
            events.append(FindingChanged(finding=finding))
        writer = EventWriter(run)
        writer.append(b"".join(map(encode_event, events)))
        writer.close()
        write_status(
            run,
            RunStatus(
                host=host,
                boot_id=boot_id,
                pid=pid,
                start_time=start_time,
                state=state,
                step=10 * len(val_losses),
                exit_code=exit_code,
                refused=refused,
            ),
        )
        return run

    return leave
