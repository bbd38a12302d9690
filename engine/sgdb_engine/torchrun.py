"""Several processes on this machine, each running one script with its rank: started by PyTorch's torchrun."""

import contextlib
import ctypes
import importlib.util
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any, NamedTuple

import msgspec
import psutil

from sgdb_engine.ending import End
from sgdb_engine.errors import RunFolderError
from sgdb_engine.events import ENDED
from sgdb_engine.launch import Order, starting
from sgdb_engine.ranks.judging import first_failure
from sgdb_engine.ranks.standing import read_ranks
from sgdb_engine.recording import folder as run_folder
from sgdb_engine.recording.files import write_atomically
from sgdb_engine.recording.output_log import OutputLog

ORDER = "SGDB_ORDER"
"""Environment variable in which each process finds what it is to run."""
SIGNALS = "SIGTERM,SIGINT,SIGQUIT"
"""Those that torchrun handles; by default it handles SIGHUP as well, and dies of a terminal that is closed."""
ENDING = (signal.SIGINT, signal.SIGQUIT, signal.SIGTERM)
TRIM_PERIOD_S = 1.0
PATIENCE_S = 10.0
"""For a rank that was told to end; more than the grace that it gives its script."""
PR_SET_CHILD_SUBREAPER = 36
"""Of Linux' prctl.h."""


class Asked(NamedTuple):
    """A signal that ends all of them, and when it came."""

    wall: float
    signal: signal.Signals


def run_ranks(
    order: Order,
    *,
    output_log: OutputLog | None = None,
    interrupted: Callable[[], None] = lambda: None,
) -> End:
    """Starts the processes of an order, waits for all of them, and says how they ended.

    Args:
        order: what each of them is to run.
        output_log: kept under its cap; the processes write into it.
        interrupted: called when a signal is passed on to all of them.
    """
    folder = Path(order.folder)
    with contextlib.suppress(OSError):  # a full disk is told by the ranks
        run_folder.write_status(folder, starting(os.getpid(), "starting the ranks with torchrun"))
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # which all of them inherit
    _adopt_orphans()
    process = subprocess.Popen(  # noqa: S603  (our own command line)
        _command(order.nproc),
        env={**os.environ, ORDER: _order_of_a_rank(order)},
        start_new_session=True,  # or it would get a terminal's Ctrl-C twice
    )
    asked: list[Asked] = []

    def pass_on(number: int, frame: FrameType | None) -> None:
        asked.append(Asked(time.time(), signal.Signals(number)))
        threading.Thread(target=process.send_signal, args=(number,), daemon=True).start()
        interrupted()

    for ending in ENDING:
        signal.signal(ending, pass_on)
    _wait_for(process, output_log)
    if process.returncode < 0:
        _end_what_is_left()
    end = _ended(process.returncode, folder, asked[0] if asked else None)
    _conclude(order, folder, end)
    return end


def _wait_for(process: "subprocess.Popen[bytes]", output_log: OutputLog | None) -> None:
    while process.poll() is None:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(TRIM_PERIOD_S)
        if output_log is not None:
            with contextlib.suppress(OSError):
                output_log.trim()


def _adopt_orphans() -> None:
    """What torchrun has started becomes a child of this process when torchrun is gone, and can be ended by it."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def _end_what_is_left() -> None:
    """Torchrun ends its processes, but not when it is killed itself: then nobody else would ever end them."""
    left = psutil.Process().children(recursive=True)
    for process in left:
        with contextlib.suppress(psutil.Error):
            process.terminate()
    for process in psutil.wait_procs(left, timeout=PATIENCE_S)[1]:
        with contextlib.suppress(psutil.Error):
            process.kill()


def order_of_this_rank() -> Order:
    """What a process that was started so is to run."""
    return msgspec.json.decode(os.environ.pop(ORDER), type=Order)


def _order_of_a_rank(order: Order) -> str:
    return msgspec.json.encode(msgspec.structs.replace(order, nproc=0, launched=True)).decode()


def _command(nproc: int) -> list[str]:
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={nproc}"]
    if _knows("signals-to-handle"):
        torchrun.append(f"--signals-to-handle={SIGNALS}")
    return [*torchrun, "--no-python", sys.executable, "-P", "-u", "-m", "sgdb.rank"]


def _knows(option: str) -> bool:
    """Whether this torchrun has an option: its source is asked, without importing torch."""
    torch = importlib.util.find_spec("torch")
    for place in (torch.submodule_search_locations or []) if torch else []:
        source = Path(place, "distributed", "run.py")
        if source.is_file():
            text = source.read_text(encoding="utf-8")
            return option in text or option.replace("-", "_") in text
    return False


def _ended(returncode: int, folder: Path, asked: Asked | None) -> End:
    """How all of them ended: what failed before they were asked to end is the cause, what failed after it is not."""
    ranks, status = read_ranks(folder), _status_in(folder)
    failure = first_failure(ranks)
    first = ranks[0] if ranks else None
    stopped = first is not None and first.state == "stopped" and (not failure or first.wall < failure.wall)
    if asked is not None and (failure is None or asked.wall < failure.wall):
        message = status.message if status and status.state == "stopped" else f"ended by {asked.signal.name}"
        return End("stopped", 128 + asked.signal, message)
    if returncode < 0:
        return End("failed", 128 - returncode, f"torchrun was ended by {signal.Signals(-returncode).name}")
    if returncode == 0 or stopped:
        state = status.state if status and status.state in ENDED else "finished"
        return End(state, 0, status.message if status else "")
    cause = failure.text if failure else f"torchrun ended with exit code {returncode}"
    return End("failed", returncode, status.message if status and status.refused else cause)


def _status_in(folder: Path) -> run_folder.RunStatus | None:
    """What the first rank said last; None where a full disk, or who removed the folder, took it."""
    with contextlib.suppress(RunFolderError):
        return run_folder.read_status(folder)
    return None


def _conclude(order: Order, folder: Path, end: End) -> None:
    status = _status_in(folder)
    if status is None:
        return
    _amend_summaries(order, folder, status.step, end)
    ended = msgspec.structs.replace(
        status, state=end.state, message=end.message, exit_code=end.exit_code, wall=time.time()
    )
    with contextlib.suppress(OSError):
        run_folder.write_status(folder, ended)


def _amend_summaries(order: Order, folder: Path, step: int, end: End) -> None:
    """What the first rank wrote of itself, if it came to that, says how all of them ended."""
    written = folder / "summary.json"
    summary: dict[str, Any] = {"schema": 1, "mode": order.mode, "target": order.target, "steps": step}
    with contextlib.suppress(OSError, msgspec.MsgspecError):
        summary = msgspec.json.decode(written.read_bytes())
    summary |= {"status": end.state, "message": end.message}
    summary["verdict"] = "fail" if end.state == "failed" else summary.get("verdict", "pass")
    content = msgspec.json.format(msgspec.json.encode(summary), indent=2) + b"\n"
    for place in (written, *([Path(order.summary_path)] if order.summary_path else [])):
        with contextlib.suppress(OSError):
            write_atomically(place, content)
