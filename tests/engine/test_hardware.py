"""What can be read of the machine is read; what cannot is left out, and never an exception."""

import os
import sys
from types import ModuleType, SimpleNamespace
from typing import Any

import psutil
import pytest

from sgdb_engine.hardware import HardwareSampler


class FakeNvml(ModuleType):
    """Three GPUs; whatever is named in `broken` raises."""

    NVML_TEMPERATURE_GPU = 0

    def __init__(self, *broken: str) -> None:
        super().__init__("pynvml")
        self.broken = broken
        self.initialisations = 0

    def nvmlInit(self) -> None:  # noqa: N802 -- NVML's name, as all below
        self.initialisations += 1
        self._may_fail("nvmlInit")

    def nvmlDeviceGetCount(self) -> int:  # noqa: N802
        return 3

    def nvmlDeviceGetHandleByIndex(self, index: int) -> int:  # noqa: N802
        return index

    def nvmlDeviceGetHandleByUUID(self, name: str) -> int:  # noqa: N802
        return 1

    def nvmlDeviceGetUUID(self, gpu: int) -> str:  # noqa: N802
        return f"GPU-{gpu}{gpu}aa-bb"

    def nvmlDeviceGetUtilizationRates(self, gpu: int) -> Any:  # noqa: N802
        self._may_fail("nvmlDeviceGetUtilizationRates")
        return SimpleNamespace(gpu=10 * gpu)

    def nvmlDeviceGetMemoryInfo(self, gpu: int) -> Any:  # noqa: N802
        return SimpleNamespace(used=1000 + gpu, total=2000)

    def nvmlDeviceGetPowerUsage(self, gpu: int) -> int:  # noqa: N802
        self._may_fail("nvmlDeviceGetPowerUsage")
        return 250_000

    def nvmlDeviceGetTemperature(self, gpu: int, sensor: int) -> int:  # noqa: N802
        return 60 + gpu

    def _may_fail(self, name: str) -> None:
        if name in self.broken:
            raise RuntimeError(f"{name} broke")


@pytest.fixture
def use_nvml(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)

    def use(nvml: FakeNvml | None, visible: str | None = None) -> HardwareSampler:
        monkeypatch.setitem(sys.modules, "pynvml", nvml)
        if visible is not None:
            monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
        return HardwareSampler()

    return use


def gpu_columns(sampler: HardwareSampler) -> dict[str, float]:
    return {name: value for name, value in sampler.sample().items() if name.startswith("gpu/")}


def test_cpu_and_memory_are_read() -> None:
    sampler = HardwareSampler()
    sum(range(200_000))
    columns = sampler.sample()
    assert {"cpu/percent", "cpu/load", "mem/rss", "mem/percent"} <= columns.keys()
    assert columns["cpu/percent"] >= 0
    assert columns["mem/rss"] == pytest.approx(psutil.Process().memory_info().rss, rel=0.2)
    assert 0 < columns["mem/percent"] <= 100


def test_each_gpu_has_its_columns(use_nvml: Any) -> None:
    assert gpu_columns(use_nvml(FakeNvml(), "1")) == {
        "gpu/0/percent": 10,
        "gpu/0/mem_used": 1001,
        "gpu/0/mem_total": 2000,
        "gpu/0/power": 250,
        "gpu/0/temperature": 61,
    }


@pytest.mark.parametrize(
    ("visible", "temperatures"),
    [
        (None, [60, 61, 62]),
        ("2, 0", [62, 60]),
        ("", []),
        ("-1", []),
        ("0,7,1", [60]),
        ("GPU-22,GPU-0", [62, 60]),
        ("GPU-", []),
        ("MIG-abc", [61]),
    ],
)
def test_only_the_gpus_that_this_process_sees_are_read_in_its_order(
    use_nvml: Any, visible: str | None, temperatures: list[float]
) -> None:
    columns = gpu_columns(use_nvml(FakeNvml(), visible))
    assert [value for name, value in columns.items() if name.endswith("temperature")] == temperatures


def test_without_nvml_there_are_no_gpu_columns(use_nvml: Any) -> None:
    assert gpu_columns(use_nvml(None)) == {}


def test_a_broken_driver_is_asked_once(use_nvml: Any) -> None:
    nvml = FakeNvml("nvmlInit")
    sampler = use_nvml(nvml)
    assert gpu_columns(sampler) == gpu_columns(sampler) == {}
    assert nvml.initialisations == 1


def test_a_column_that_cannot_be_read_is_left_out(use_nvml: Any) -> None:
    columns = gpu_columns(use_nvml(FakeNvml("nvmlDeviceGetPowerUsage", "nvmlDeviceGetUtilizationRates"), "0"))
    assert columns.keys() == {"gpu/0/mem_used", "gpu/0/mem_total", "gpu/0/temperature"}


def test_a_machine_that_tells_nothing_is_an_empty_sample(
    use_nvml: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*args: object) -> None:
        raise PermissionError("no /proc here")

    monkeypatch.setattr(psutil, "Process", refuse)
    monkeypatch.setattr(psutil, "virtual_memory", refuse)
    monkeypatch.setattr(os, "getloadavg", refuse)
    assert use_nvml(None).sample() == {}
