"""How many runs go side by side, and what each of them may use."""

import contextlib
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

GPUS, THREADS = "CUDA_VISIBLE_DEVICES", "OMP_NUM_THREADS"
_QUOTA = Path("/sys/fs/cgroup/cpu.max")


@dataclass(frozen=True, slots=True)
class Slot:
    """Room for one run at a time."""

    number: int
    """From 0."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """Variables that its engine gets."""


def make_slots(jobs: int | None, points: int, device: str | None) -> tuple[Slot, ...]:
    """Room for so many runs; where `jobs` is None, one on each GPU, or one on each so many cores.

    Args:
        jobs: runs side by side, as the user wants it.
        points: more than there are points are never needed.
        device: of the config: auto, cpu, cuda, cuda:1; None: nobody knows what the script uses.
    """
    gpus = () if device == "cpu" else visible_gpus()
    cores, threads = usable_cores(), os.environ.get(THREADS, "")
    each = int(threads) if threads.isdecimal() and int(threads) else 1
    if gpus and device is not None and ":" in device:
        gpus = ()  # all of them are to use the one that the config names
        usual = 1
    else:
        usual = len(gpus) or max(1, cores // each)
    count = max(1, min(jobs or usual, points))
    environment = {} if threads else {THREADS: str(max(1, cores // count))}
    return tuple(
        Slot(i, {**environment, GPUS: gpus[i % len(gpus)]} if gpus else environment) for i in range(count)
    )


def visible_gpus() -> tuple[str, ...]:
    """What CUDA_VISIBLE_DEVICES would call each GPU that a process started here can see."""
    count = 0
    with contextlib.suppress(Exception):  # no NVIDIA driver, most of the time
        import pynvml

        pynvml.nvmlInit()
        count = pynvml.nvmlDeviceGetCount()
    named = os.environ.get(GPUS)
    if not count or named is None:
        return tuple(map(str, range(count)))
    return tuple(name for name in map(str.strip, named.split(",")) if name not in ("", "-1"))


def usable_cores() -> int:
    """Those that this process may use, by its affinity and by the quota of its container."""
    cores = len(os.sched_getaffinity(0))
    with contextlib.suppress(OSError, ValueError):
        quota, period = _QUOTA.read_text(encoding="ascii").split()
        cores = min(cores, max(1, math.ceil(int(quota) / int(period))))
    return cores
