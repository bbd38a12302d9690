"""The engine process: its signals, its control socket, its status once a second, its hardware; the training beside it.

Nothing here imports torch, so that a new engine answers before the training code is loaded.
"""

import faulthandler
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType

import msgspec

from sgdb_engine.config import parse_config
from sgdb_engine.control import ControlServer, Stop, socket_path
from sgdb_engine.errors import SgdbError
from sgdb_engine.events import Noted
from sgdb_engine.hardware import HardwareSampler
from sgdb_engine.launch import Order
from sgdb_engine.recording import folder as run_folder
from sgdb_engine.recording import liveness
from sgdb_engine.session import End, Engine, Training
from sgdb_engine.summary import summarise, write_summary

STATUS_PERIOD_S = 1.0
EXIT_CODE_OF_SIGNAL = {signal.SIGINT: 130, signal.SIGTERM: 143}


class Host:
    """Serves one engine from the main thread until it ends."""

    def __init__(self, engine: Engine, *, mode: str, target: str, summary_path: Path | None = None) -> None:
        self._engine = engine
        self._mode = mode
        self._target = target
        self._summary_path = summary_path
        self._info = run_folder.read_info(engine.folder)
        self._hardware = HardwareSampler()
        self._signal: signal.Signals | None = None
        self._woken = threading.Event()
        self._socket = ""
        self._who = (liveness.host_name(), liveness.boot_id(), os.getpid(), liveness.own_start_time())

    def serve(self, told: Callable[[Engine], None] = lambda engine: None) -> int:
        """Starts the engine and serves it to its end; returns the exit code.

        Args:
            told: called about once a second, for progress lines.
        """
        server = self._open_control()
        try:
            self._engine.start()
            while self._engine.wait(0) is None:
                self._write_status()
                self._sample_hardware()
                told(self._engine)
                self._wait_for_end(STATUS_PERIOD_S)
        finally:
            if server is not None:
                server.close()
        end = self._engine.wait() or End("failed", 1)
        told(self._engine)
        code = EXIT_CODE_OF_SIGNAL[self._signal] if self._signal and end.exit_code == 0 else end.exit_code
        self._write_status(end, code)
        self._write_summary(end)
        return code

    def handle_signals(self) -> None:
        """One interrupt or termination stops in good order and saves; a second one ends at once. Hang-up is ignored."""
        for ignored in (signal.SIGHUP, signal.SIGTTOU, signal.SIGTTIN):
            signal.signal(ignored, signal.SIG_IGN)
        for ending in EXIT_CODE_OF_SIGNAL:
            signal.signal(ending, self._asked_to_end)

    def _asked_to_end(self, number: int, frame: FrameType | None) -> None:
        if self._signal is not None:
            os._exit(EXIT_CODE_OF_SIGNAL[signal.Signals(number)])
        self._signal = signal.Signals(number)
        # not from the handler itself: the interrupted code may hold the gate's lock
        threading.Thread(target=self._stop, args=(self._signal.name,), daemon=True).start()

    def _stop(self, by: str) -> None:
        self._engine.submit(Stop(checkpoint=True), by)

    def _wait_for_end(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        state = self._engine.state
        while (left := deadline - time.monotonic()) > 0:
            if self._engine.wait(min(left, 0.1)) is not None or self._engine.state != state:
                return

    def _open_control(self) -> ControlServer | None:
        try:
            path = socket_path(self._info.id)
            server = ControlServer(path, self._engine.submit)
        except (OSError, SgdbError) as error:
            self._engine.recorder.event(
                Noted(text=f"no control socket, this run can be watched only: {error}")
            )
            return None
        self._socket = str(path)
        return server

    def _sample_hardware(self) -> None:
        sample = self._hardware.sample()
        self._engine.recorder.scalars(
            tuple(sample), self._engine.step, time.time(), time.monotonic(), tuple(sample.values())
        )

    def _write_status(self, end: End | None = None, exit_code: int | None = None) -> None:
        engine = self._engine
        described = engine.described
        host, boot_id, pid, start_time = self._who
        status = run_folder.RunStatus(
            host=host,
            boot_id=boot_id,
            pid=pid,
            start_time=start_time,
            state=end.state if end else engine.state,
            step=engine.step,
            epoch=engine.epoch,
            steps_planned=described.steps_planned if described else None,
            epochs_planned=described.epochs_planned if described else None,
            socket=self._socket,
            wall=time.time(),
            sgdb_share=engine.own_share,
            message=end.message if end else engine.recorder.problem,
            exit_code=exit_code,
        )
        try:
            run_folder.write_status(engine.folder, status)
        except OSError:  # a full disk must not end the run; the recorder says so in words
            return

    def _write_summary(self, end: End) -> None:
        summary = summarise(self._engine, end, mode=self._mode, target=self._target)
        for path in (self._engine.folder / "summary.json", self._summary_path):
            if path is not None:
                write_summary(path, summary)


def engine_for(order: Order) -> Engine:
    """The engine that an order asks for.

    Raises:
        ConfigError: the config has mistakes.
    """
    config = parse_config(order.config_text, origin=order.target, overrides=order.overrides)
    training: Training
    if order.mode == "check":
        from sgdb_engine.checks.overfit import check_of

        training = check_of(config, Path(order.base))
    else:
        from sgdb_engine.training import training_of

        training = training_of(config, Path(order.base))
    return Engine(Path(order.folder), training, budget=config.observe.budget, max_steps=order.max_steps)


def run_order(order: Order, told: Callable[[Engine], None] = lambda engine: None) -> int:
    """Carries out an order in this process; returns the exit code."""
    engine = engine_for(order)
    summary_path = Path(order.summary_path) if order.summary_path else None
    host = Host(engine, mode=order.mode, target=order.target, summary_path=summary_path)
    host.handle_signals()
    return host.serve(told)


def main() -> None:
    """The engine as a process of its own: takes its order from standard input, then lets go of it."""
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    order = msgspec.json.decode(sys.stdin.buffer.read(), type=Order)
    _let_go_of_stdin()
    faulthandler.enable()
    faulthandler.register(signal.SIGUSR2, all_threads=True)
    sys.exit(run_order(order))


def _let_go_of_stdin() -> None:
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)


if __name__ == "__main__":
    main()
