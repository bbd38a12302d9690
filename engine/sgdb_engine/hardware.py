"""What the machine is doing: CPU, memory and GPUs, as columns; what cannot be read is left out."""

import contextlib
import os
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import psutil

_CHILDREN_EVERY_S = 10.0
"""Finding children means reading all processes of the machine; with thousands of them that takes long."""

_GPU_COLUMNS: dict[str, Callable[[Any, Any], float]] = {
    "percent": lambda nvml, gpu: nvml.nvmlDeviceGetUtilizationRates(gpu).gpu,
    "mem_used": lambda nvml, gpu: nvml.nvmlDeviceGetMemoryInfo(gpu).used,
    "mem_total": lambda nvml, gpu: nvml.nvmlDeviceGetMemoryInfo(gpu).total,
    "power": lambda nvml, gpu: nvml.nvmlDeviceGetPowerUsage(gpu) / 1000,  # it is told in milliwatts
    "temperature": lambda nvml, gpu: nvml.nvmlDeviceGetTemperature(gpu, nvml.NVML_TEMPERATURE_GPU),
}


class HardwareSampler:
    """Reads the columns of one moment; meant for at most one call a second, from one thread."""

    def __init__(self) -> None:
        self._tree = _ProcessTree()
        self._gpus: list[Any] | None = None
        with contextlib.suppress(Exception):
            self._tree.find()

    def sample(self) -> dict[str, float]:
        """The columns that can be read now; never raises.

        `cpu/percent` of the cores that this process may use, taken by it and its children since the last
        sample; `cpu/load`, processes that run or wait, over a minute; `mem/rss` of this process, bytes;
        `mem/percent` of the machine's memory in use; `gpu/<i>/percent`, `/mem_used` and `/mem_total` (bytes),
        `/power` (watts), `/temperature` (degrees Celsius) of the GPUs that this process can see, <i> as in
        `cuda:<i>` (where GPUs differ, that holds with CUDA_DEVICE_ORDER=PCI_BUS_ID).
        """
        columns: dict[str, float] = {}
        _read(columns, "cpu/percent", self._tree.percent)
        _read(columns, "cpu/load", lambda: os.getloadavg()[0])
        _read(columns, "mem/rss", lambda: psutil.Process().memory_info().rss)
        _read(columns, "mem/percent", lambda: psutil.virtual_memory().percent)
        with contextlib.suppress(Exception):
            self._read_gpus(columns)
        return columns

    def _read_gpus(self, columns: dict[str, float]) -> None:
        if self._gpus == []:
            return
        import pynvml

        if self._gpus is None:
            self._gpus = []  # where finding them fails, it is not tried again
            pynvml.nvmlInit()
            self._gpus = _visible_gpus(pynvml, os.environ.get("CUDA_VISIBLE_DEVICES"))
        for index, gpu in enumerate(self._gpus):
            for name, read in _GPU_COLUMNS.items():
                _read(columns, f"gpu/{index}/{name}", partial(read, pynvml, gpu))


class _ProcessTree:
    """The CPU time of this process and its children."""

    def __init__(self) -> None:
        self._processes: list[psutil.Process] = []
        self._found_at = self._read_at = self._seconds = 0.0

    def find(self) -> None:
        """Look for the children, and measure from now on."""
        process = psutil.Process()
        self._processes = [process, *process.children(recursive=True)]
        self._found_at = self._read_at = time.monotonic()
        self._seconds = sum(map(_cpu_seconds, self._processes))

    def percent(self) -> float:
        """Percent of all cores that this process may use, since the last call."""
        if not self._processes:
            raise LookupError("no process was found")
        now = time.monotonic()
        seconds = sum(map(_cpu_seconds, self._processes))
        spent_s, elapsed_s = seconds - self._seconds, now - self._read_at
        self._seconds, self._read_at = seconds, now
        if now - self._found_at >= _CHILDREN_EVERY_S:
            self.find()
        return min(100.0, max(0.0, 100 * spent_s / elapsed_s / len(os.sched_getaffinity(0))))


def _cpu_seconds(process: psutil.Process) -> float:
    """All that it used, with the children that it has waited for: the sum over a tree does not shrink."""
    try:
        times = process.cpu_times()
    except psutil.Error:
        return 0.0
    return float(times.user + times.system + times.children_user + times.children_system)


def _visible_gpus(pynvml: Any, visible: str | None) -> list[Any]:
    """NVML handles in the order of CUDA_VISIBLE_DEVICES, which gives indices or beginnings of UUIDs."""
    every = [pynvml.nvmlDeviceGetHandleByIndex(index) for index in range(pynvml.nvmlDeviceGetCount())]
    if visible is None:
        return every
    chosen = []
    for name in map(str.strip, visible.split(",")):
        if name.startswith("MIG-"):
            chosen.append(pynvml.nvmlDeviceGetHandleByUUID(name))
            continue
        matching = [
            gpu
            for index, gpu in enumerate(every)
            if name == str(index)
            or (name.startswith("GPU-") and pynvml.nvmlDeviceGetUUID(gpu).startswith(name))
        ]
        if len(matching) != 1:
            break  # CUDA, too, sees none from the first name on that is no device
        chosen += matching
    return chosen


def _read(columns: dict[str, float], name: str, read: Callable[[], float]) -> None:
    with contextlib.suppress(Exception):
        columns[name] = float(read())
