"""The engine process: its signals, its control socket, its status once a second, its hardware; the training beside it.

Nothing here imports torch, so that a new engine answers before the training code is loaded.
"""

import contextlib
import faulthandler
import os
import shutil
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType

import msgspec

from sgdb_engine.beat import Beat
from sgdb_engine.control import ControlServer, Stop, socket_path
from sgdb_engine.ending import End
from sgdb_engine.errors import SgdbError
from sgdb_engine.events import FindingChanged, Noted
from sgdb_engine.hardware import HardwareSampler
from sgdb_engine.launch import Order
from sgdb_engine.orders import engine_for, is_script
from sgdb_engine.outcome_files import write_outcome
from sgdb_engine.ranks.judging import first_failure
from sgdb_engine.ranks.standing import read_ranks
from sgdb_engine.recording import folder as run_folder
from sgdb_engine.recording import liveness
from sgdb_engine.recording.event_log import EventReader
from sgdb_engine.recording.output_log import OutputLog
from sgdb_engine.session import Engine
from sgdb_engine.torchrun import run_ranks

STATUS_PERIOD_S = 1.0
EXIT_CODE_OF_SIGNAL = {signal.SIGINT: 130, signal.SIGTERM: 143}
GRACE_S = 8.0
"""A script that was terminated and reaches no safe point for so long is ended; Slurm gives 30 s, docker 10."""
LAST_WORDS_S = 5.0
leave_at_once = os._exit
"""As it is now: while a script runs, its own calls of it are noticed."""
MAX_BYTES_OF_OTHERS = 2**17
"""Of the events of each other rank, at a time."""
METRICS_TOLD = ("train/", "val/")
FAILING: dict[str, tuple[str, ...]] = {"error": ("error",), "warning": ("error", "warning"), "never": ()}


class Host:
    """Serves one engine from the main thread until it ends."""

    def __init__(
        self,
        engine: Engine,
        order: Order,
        *,
        interrupted: Callable[[], None] = lambda: None,
        output_log: OutputLog | None = None,
    ) -> None:
        """Makes the host of an engine that is not started.

        Args:
            engine: what is served.
            order: what it was made from.
            interrupted: called when the first signal asked the training to stop.
            output_log: kept under its cap.
        """
        self._engine = engine
        self._order = order
        self._interrupted = interrupted
        self._output_log = output_log
        self._speaks = engine.place.rank == 0
        """For all ranks: status, summary, control and hardware of a run are the first one's."""
        self._beat = Beat(engine) if engine.place.size > 1 else None
        self._events: dict[int, EventReader] = {}
        """Of the other ranks."""
        self._hardware = HardwareSampler()
        self._signal: signal.Signals | None = None
        self._grace: threading.Timer | None = None
        """What ends a script that was terminated and does not end; made when it is, for threads are numbered."""
        self._socket = ""
        self._handlers: dict[signal.Signals, object] = {}
        """Of a script, as long as it has not installed its own."""
        self._who = liveness.own_identity()
        self._code = 1

    def serve(self, told: Callable[[Engine], None] = lambda engine: None) -> int:
        """Starts the engine and serves it to its end; returns the exit code.

        Args:
            told: called about once a second, for progress lines.
        """
        self._engine.start()
        return self.accompany(told)

    def run_beside(self, told: Callable[[Engine], None] = lambda engine: None) -> int:
        """Runs the engine in the calling thread, the main one, and serves it from another; returns the exit code."""
        self._engine.give_up = lambda: self._end_at_once(None)
        self._engine.last_words = lambda: beside.join(LAST_WORDS_S)
        self._engine.end_here = self._end_here
        code: list[int] = []
        beside = threading.Thread(
            target=lambda: code.append(self.accompany(told)), name="sgdb-host", daemon=True
        )
        beside.start()
        end = self._engine.run()
        if os.getpid() != self._engine.pid:  # a forked child of the script's has come to its end as well
            sys.exit(end.exit_code)
        beside.join()
        return code[0]

    def _end_here(self, end: End) -> None:
        """A check is over in the middle of the script, which goes no further."""
        self._engine.leave(end)
        with contextlib.suppress(OSError, ValueError):
            sys.stdout.flush()
            sys.stderr.flush()
        if self._order.detached:
            _outlive_the_asking(self._order)
        else:
            discard(self._engine.folder)
        leave_at_once(self._code)

    def handle_ends_of_a_check(self) -> None:
        """Whatever asks it to end ends it: nothing is to be saved."""
        for ending in EXIT_CODE_OF_SIGNAL:
            signal.signal(ending, lambda number, frame: self._end_at_once(signal.Signals(number)))

    def accompany(self, told: Callable[[Engine], None] = lambda engine: None) -> int:
        """Serves an engine that was started to its end; returns the exit code."""
        server = self._open_control() if self._speaks else None
        if self._beat is not None:
            self._beat.start()
        try:
            while self._engine.wait(0) is None:
                self._end_if_orphaned()
                self._write_status()
                self._sample_hardware()
                self._trim_output()
                self._note_handlers()
                self._hear_others()
                told(self._engine)
                self._wait_for_end(STATUS_PERIOD_S)
        finally:
            if server is not None:
                server.close()
        end = self._engine.wait() or End("failed", 1)
        if self._beat is not None:
            self._beat.join()
            end = self._engine.end = self._cause(end)
        self._trim_output()
        told(self._engine)
        asked = self._signal is not None and end.state != "failed"
        code = EXIT_CODE_OF_SIGNAL[self._signal] if self._signal and asked else end.exit_code
        if code == 0 and self._is_to_fail():
            code = 1
        if self._speaks and not end.refused and not write_outcome(self._engine, self._order, end):
            code = code or 1
        self._write_status(end, code)  # last: whoever waits for an exit code finds all else in its place
        self._code = code
        return code

    def _is_to_fail(self) -> bool:
        """Whether `--fail-on` was met."""
        severities = FAILING[self._order.fail_on]
        found = any(f.severity in severities and f.state == "confirmed" for f in self._engine.findings)
        return found or any(check.status == "fail" for check in self._engine.checks if severities)

    def _cause(self, end: End) -> End:
        """A rank that fails takes the others along: they fail of that, or a launcher stops them."""
        failure = first_failure(read_ranks(self._engine.folder)) if self._speaks else None
        if failure is None or not failure.rank or end.state == "finished":
            return end
        asked = end.state == "stopped" and self._signal is None  # by the user, before anything failed
        return end if asked else End("failed", end.exit_code or 1, failure.text)

    def handle_signals(self) -> None:
        """One interrupt or termination stops in good order and saves; a second one ends at once. Hang-up is ignored."""
        for ignored in (signal.SIGHUP, signal.SIGTTOU, signal.SIGTTIN):
            signal.signal(ignored, signal.SIG_IGN)
        for ending in EXIT_CODE_OF_SIGNAL:
            signal.signal(ending, self._asked_to_end)

    def handle_termination(self) -> None:
        """For a script: a termination stops it in good order, if it can; an interrupt is its own, as without us."""
        if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
            signal.signal(signal.SIGINT, signal.default_int_handler)
        before = signal.signal(signal.SIGTERM, self._asked_to_terminate)
        self._handlers = {number: signal.getsignal(number) for number in EXIT_CODE_OF_SIGNAL}
        ours = self._handlers[signal.SIGTERM]

        self._hear_termination_in_c()

        def give_back() -> None:
            signal.set_wakeup_fd(-1)
            if signal.getsignal(signal.SIGTERM) is ours:
                signal.signal(signal.SIGTERM, before if before is signal.SIG_IGN else signal.SIG_DFL)

        os.register_at_fork(after_in_child=give_back)  # a worker that is terminated ends as without us

    def _asked_to_terminate(self, number: int, frame: FrameType | None) -> None:
        self._asked_to_end(number, frame)
        self._begin_grace()

    def _begin_grace(self) -> None:
        if self._grace is None:
            self._grace = threading.Timer(GRACE_S, self._end_at_once, (signal.SIGTERM,))
            self._grace.daemon = True
            self._grace.start()

    def _hear_termination_in_c(self) -> None:
        """A thread that waits in C, for a rank that is gone, comes to no handler of Python's: its grace begins too."""
        ours = signal.getsignal(signal.SIGTERM)
        reading, writing = os.pipe()
        os.set_blocking(writing, False)
        signal.set_wakeup_fd(writing, warn_on_full_buffer=False)

        def listen() -> None:
            while numbers := os.read(reading, 64):
                if signal.SIGTERM in numbers and signal.getsignal(signal.SIGTERM) is ours:
                    self._begin_grace()

        threading.Thread(target=listen, name="sgdb-signals", daemon=True).start()

    def _note_handlers(self) -> None:
        for number, ours in list(self._handlers.items()):
            if signal.getsignal(number) is not ours:
                del self._handlers[number]
                self._engine.note(f"The script handles {number.name} itself; sgdb leaves that to it")

    def _asked_to_end(self, number: int, frame: FrameType | None) -> None:
        if self._signal is not None:
            self._end_at_once(signal.Signals(number))
        self._signal = signal.Signals(number)
        # not from the handler itself: the interrupted code may hold the gate's lock
        threading.Thread(target=self._stop, args=(self._signal.name,), daemon=True).start()

    def _stop(self, by: str) -> None:
        self._interrupted()
        if self._speaks:  # the others stop with it, or not at all before their time is over
            self._engine.submit(Stop(checkpoint=True), by)

    def _end_at_once(self, why: signal.Signals | None) -> None:
        """Nothing is waited for, nothing more is saved; but nothing is left lying about either.

        `why`: the signal; None where the training swallows its stop.
        """
        code = EXIT_CODE_OF_SIGNAL[why] if why else 0
        words = f"ended at once by {why.name}" if why else "ended at once: the script kept catching its stop"
        if self._order.disposable:
            discard(self._engine.folder)
        else:
            with contextlib.suppress(Exception):
                self._engine.recorder.flush(1.0)
            end = self._cause(End("stopped", code, words))
            if self._beat is not None:
                self._beat.write(end)
            self._write_status(end, end.exit_code)
        if self._socket:
            Path(self._socket).unlink(missing_ok=True)
        leave_at_once(code)

    def _end_if_orphaned(self) -> None:
        order = self._order
        if order.disposable and order.asked_by and os.getppid() != order.asked_by:
            self._end_at_once(signal.SIGTERM)

    def _hear_others(self) -> None:
        """What is found on other ranks counts as well; a dashboard reads it in their own files."""
        for status in read_ranks(self._engine.folder)[1:] if self._beat and self._speaks else ():
            events = self._events.setdefault(status.rank, EventReader(self._engine.folder, status.rank))
            for event in events.poll(MAX_BYTES_OF_OTHERS)[0]:
                if isinstance(event, FindingChanged):
                    message = f"rank {status.rank}: {event.finding.message}"
                    self._engine.findings.append(msgspec.structs.replace(event.finding, message=message))

    def _trim_output(self) -> None:
        if self._output_log is not None:
            with contextlib.suppress(OSError):  # a full disk; the recorder says so in words
                self._output_log.trim()

    def _wait_for_end(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        state = self._engine.state
        while (left := deadline - time.monotonic()) > 0:
            if self._engine.wait(min(left, 0.1)) is not None or self._engine.state != state:
                return

    def _open_control(self) -> ControlServer | None:
        try:
            path = socket_path(run_folder.read_info(self._engine.folder).id)
            server = ControlServer(path, self._engine.submit)
        except (OSError, SgdbError) as error:
            self._engine.recorder.event(
                Noted(text=f"no control socket, this run can be watched only: {error}")
            )
            return None
        self._socket = str(path)
        return server

    def _sample_hardware(self) -> None:
        if not self._speaks or (is_script(self._order) and "torch" not in sys.modules):
            return  # a row needs numpy, and a script that sets it up first must find it fresh
        sample = self._hardware.sample()
        self._engine.recorder.scalars(
            tuple(sample), self._engine.step, time.time(), time.monotonic(), tuple(sample.values())
        )

    def _write_status(self, end: End | None = None, exit_code: int | None = None) -> None:
        if not self._speaks:
            return
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
            message=end.message if end else engine.recorder.problem or engine.doing,
            exit_code=None if self._order.launched else exit_code,  # which is that of all ranks
            refused=end is not None and end.refused,
            metrics={n: v for n, v in engine.latest().items() if n.startswith(METRICS_TOLD)},
            findings=len(engine.findings),
            can_save=engine.saving.state is not None,
        )
        with contextlib.suppress(OSError):  # a full disk must not end the run; the recorder says so in words
            run_folder.write_status(engine.folder, status)


def run_order(
    order: Order,
    told: Callable[[Engine], None] = lambda engine: None,
    *,
    interrupted: Callable[[], None] = lambda: None,
    output_log: OutputLog | None = None,
) -> int:
    """Carries out an order in this process; returns the exit code. The arguments are those of a Host."""
    engine = engine_for(order, Engine)
    host = Host(engine, order, interrupted=interrupted, output_log=output_log)
    if order.mode != "run":
        host.handle_ends_of_a_check()
        return host.run_beside(told)
    if not is_script(order):
        host.handle_signals()
        return host.serve(told)
    host.handle_termination()
    return host.run_beside(told)


def discard(folder: Path) -> None:
    """Removes a folder into which others may still be writing; they must not be able to keep it."""
    for _ in range(10):
        shutil.rmtree(folder, ignore_errors=True)
        if not folder.exists():
            return


def main() -> None:
    """The engine as a process of its own: takes its order from standard input, then lets go of it."""
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    order = msgspec.json.decode(sys.stdin.buffer.read(), type=Order)
    _let_go_of_stdin()
    faulthandler.enable()
    faulthandler.register(signal.SIGUSR2, all_threads=True)
    log = OutputLog(Path(order.folder))
    code = run_ranks(order, output_log=log).exit_code if order.nproc else run_order(order, output_log=log)
    if order.disposable:
        _outlive_the_asking(order)
    sys.exit(code)


def _outlive_the_asking(order: Order) -> None:
    """The command that asked may still show what was found; when it is gone, killed even, the folder goes."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    while os.getppid() == order.asked_by:
        time.sleep(0.1)
    discard(Path(order.folder))


def _let_go_of_stdin() -> None:
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)


if __name__ == "__main__":
    main()
