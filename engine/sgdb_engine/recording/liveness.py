"""Which process this is, and whether one named earlier still runs: host, boot, pid and start time."""

import os
import socket
from pathlib import Path

import psutil

_START_TIME_TOLERANCE_S = 1.0
"""The start time is counted in clock ticks from a boot time that a clock correction may shift a little."""


def boot_id() -> str:
    """Names this boot of this machine; empty where the kernel does not say."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return ""


def host_name() -> str:
    """This machine's name."""
    return socket.gethostname()


def own_start_time() -> float:
    """When this process began, in seconds since the epoch, for RunStatus.start_time."""
    return start_time_of(os.getpid())


def own_identity() -> tuple[str, str, int, float]:
    """What tells this process from all others: host, boot id, pid, when it began; `still_runs` takes them."""
    return host_name(), boot_id(), os.getpid(), own_start_time()


def start_time_of(pid: int) -> float:
    """When that process began, in seconds since the epoch; it must not have been waited for yet."""
    return float(psutil.Process(pid).create_time())


def still_runs(host: str, boot: str, pid: int, start_time: float) -> bool:
    """Whether these four name a process that lives on this machine now."""
    if host != host_name() or boot != boot_id():
        return False
    try:
        engine = psutil.Process(pid)
        if engine.status() == psutil.STATUS_ZOMBIE:
            return False
        return bool(abs(engine.create_time() - start_time) <= _START_TIME_TOLERANCE_S)
    except (psutil.Error, ValueError, OverflowError):
        return False
