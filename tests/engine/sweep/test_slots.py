"""How many runs go side by side, and what each may use."""

import os
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from sgdb_engine.sweep import slots
from sgdb_engine.sweep.slots import make_slots, usable_cores, visible_gpus


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Eight cores, no GPU."""
    monkeypatch.setattr(slots, "usable_cores", lambda: 8)
    monkeypatch.setattr(slots, "visible_gpus", tuple)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)


@pytest.mark.parametrize(
    ("jobs", "points", "expected", "threads"),
    [(None, 100, 8, "1"), (None, 3, 3, "2"), (2, 100, 2, "4"), (20, 100, 20, "1"), (5, 2, 2, "4")],
)
@pytest.mark.usefixtures("machine")
def test_cores_are_shared_out(jobs: int | None, points: int, expected: int, threads: str) -> None:
    made = make_slots(jobs, points, "auto")
    assert len(made) == expected
    assert {slot.environment["OMP_NUM_THREADS"] for slot in made} == {threads}


@pytest.mark.usefixtures("machine")
def test_the_threads_that_a_user_has_set_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "4")
    made = make_slots(None, 100, None)
    assert [slot.environment for slot in made] == [{}, {}]


@pytest.mark.usefixtures("machine")
def test_each_gpu_gets_one_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slots, "visible_gpus", lambda: ("0", "1", "3"))
    assert [s.environment["CUDA_VISIBLE_DEVICES"] for s in make_slots(None, 9, "auto")] == ["0", "1", "3"]
    assert [s.environment["CUDA_VISIBLE_DEVICES"] for s in make_slots(4, 9, None)] == ["0", "1", "3", "0"]
    assert [s.environment["CUDA_VISIBLE_DEVICES"] for s in make_slots(1, 9, "cuda")] == ["0"]


@pytest.mark.usefixtures("machine")
def test_a_config_that_names_its_device_gets_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slots, "visible_gpus", lambda: ("0", "1"))
    assert len(make_slots(None, 100, "cpu")) == 8
    (one,) = make_slots(None, 100, "cuda:1")
    assert "CUDA_VISIBLE_DEVICES" not in one.environment


@pytest.mark.parametrize(
    ("named", "expected"),
    [
        (None, ("0", "1", "2", "3")),
        ("2,0", ("2", "0")),
        ("", ()),
        ("-1", ()),
        ("GPU-5a, GPU-77", ("GPU-5a", "GPU-77")),
    ],
)
def test_the_gpus_that_are_visible_are_those_that_are_named(
    monkeypatch: pytest.MonkeyPatch, named: str | None, expected: tuple[str, ...]
) -> None:
    nvml = SimpleNamespace(nvmlInit=lambda: None, nvmlDeviceGetCount=lambda: 4)
    monkeypatch.setitem(sys.modules, "pynvml", nvml)
    if named is None:
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    else:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", named)
    assert visible_gpus() == expected


@pytest.mark.parametrize(
    ("quota", "expected"), [("max 100000", 16), ("250000 100000", 3), ("10000 100000", 1), ("?", 16)]
)
def test_the_quota_of_a_container_counts(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, quota: str, expected: int
) -> None:
    (tmp_path / "cpu.max").write_text(quota)
    monkeypatch.setattr(slots, "_QUOTA", tmp_path / "cpu.max")
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(16)))
    assert usable_cores() == expected
