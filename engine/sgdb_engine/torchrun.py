"""Several processes on this machine, each running one script with its rank: started by PyTorch's torchrun."""

import contextlib
import importlib.util
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import FrameType
from typing import Any

import msgspec
import psutil

from sgdb_engine.events import ENDED
from sgdb_engine.launch import Order, starting
from sgdb_engine.ranks.judging import who_failed
from sgdb_engine.ranks.standing import lives, read_ranks
from sgdb_engine.recording import folder as run_folder
from sgdb_engine.recording import liveness
from sgdb_engine.recording.files import write_atomically
from sgdb_engine.recording.output_log import OutputLog
from sgdb_engine.session import End

ORDER = "SGDB_ORDER"
"""Environment variable in which each process finds what it is to run."""
SIGNALS = "SIGTERM,SIGINT,SIGQUIT"
"""Those that torchrun handles; by default it handles SIGHUP as well, and dies of a terminal that is closed."""
EXIT_CODE_OF_SIGNAL = {signal.SIGINT: 130, signal.SIGTERM: 143}
TRIM_PERIOD_S = 1.0
PATIENCE_S = 10.0
"""For a rank that was told to end; more than the grace that it gives its script."""


def run_ranks(order: Order, *, output_log: OutputLog | None = None) -> int:
    """Starts the processes of an order, waits for all of them, and says how they ended; returns the exit code.

    Args:
        order: what each of them is to run.
        output_log: kept under its cap; the processes write into it.
    """
    folder = Path(order.folder)
    with contextlib.suppress(OSError):  # a full disk is told by the ranks
        run_folder.write_status(folder, starting(os.getpid(), "starting the ranks with torchrun"))
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # which all of them inherit
    process = subprocess.Popen(  # noqa: S603  (our own command line)
        _command(order.nproc),
        env={**os.environ, ORDER: _order_of_a_rank(order)},
        start_new_session=True,  # or it would get a terminal's Ctrl-C twice
    )
    asked: list[signal.Signals] = []

    def pass_on(number: int, frame: FrameType | None) -> None:
        asked.append(signal.Signals(number))
        threading.Thread(target=process.send_signal, args=(number,), daemon=True).start()

    for ending in EXIT_CODE_OF_SIGNAL:
        signal.signal(ending, pass_on)
    while process.poll() is None:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(TRIM_PERIOD_S)
        if output_log is not None:
            with contextlib.suppress(OSError):
                output_log.trim()
    _end_what_is_left(folder)
    end = _ended_by(asked[0], folder) if asked else _ended(process.returncode, folder)
    _conclude(order, folder, end)
    return end.exit_code


def _end_what_is_left(folder: Path) -> None:
    """Torchrun ends its processes, but not when it is killed itself: then nobody would ever end them."""
    left = []
    for each in read_ranks(folder):
        if each.host == liveness.host_name() and lives(each):
            with contextlib.suppress(psutil.Error):
                left.append(psutil.Process(each.pid))
                left[-1].terminate()
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


def _ended_by(asked: signal.Signals, folder: Path) -> End:
    """What fails while all of them are being ended fails of that."""
    status = run_folder.read_status(folder)
    message = status.message if status.state == "stopped" else f"ended by {asked.name}"
    return End("stopped", EXIT_CODE_OF_SIGNAL[asked], message)


def _ended(returncode: int, folder: Path) -> End:
    """The first rank has said how it ended; if another one failed, that is how the run ended."""
    status = run_folder.read_status(folder)
    code = 128 - returncode if returncode < 0 else returncode
    failed = who_failed(read_ranks(folder))
    if failed or (code and status.state not in ("stopped", "failed")):
        return End("failed", code or 1, failed or f"torchrun ended with exit code {code}")
    if status.state not in ENDED:
        return End("failed", code or 1, "the ranks ended without a word")
    return End(status.state, code, status.message)


def _conclude(order: Order, folder: Path, end: End) -> None:
    _amend_summaries(order, folder, end)
    status = run_folder.read_status(folder)
    ended = msgspec.structs.replace(
        status, state=end.state, message=end.message, exit_code=end.exit_code, wall=time.time()
    )
    with contextlib.suppress(OSError):
        run_folder.write_status(folder, ended)


def _amend_summaries(order: Order, folder: Path, end: End) -> None:
    """What the first rank wrote of itself says how all of them ended."""
    written = folder / "summary.json"
    if not written.is_file():
        return
    summary: dict[str, Any] = msgspec.json.decode(written.read_bytes())
    if summary.get("status") == end.state:
        return
    summary |= {"status": end.state, "message": end.message}
    if end.state == "failed":
        summary["verdict"] = "fail"
    content = msgspec.json.format(msgspec.json.encode(summary), indent=2) + b"\n"
    for place in (written, *([Path(order.summary_path)] if order.summary_path else [])):
        with contextlib.suppress(OSError):
            write_atomically(place, content)
