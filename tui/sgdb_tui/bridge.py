"""Where the screen meets a run: reads its folder a bit at a time, knows its state, sends it commands."""

import contextlib
import threading
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Literal

import msgspec

from sgdb_engine.control import Command, ControlClient, Pause, Resume, Step, Stop
from sgdb_engine.errors import ControlError, RunFolderError
from sgdb_engine.events import (
    ENDED,
    AnyEvent,
    CheckpointSaved,
    CheckStage,
    CommandApplied,
    EpochEnded,
    Finding,
    FindingChanged,
    ProbeFailed,
    RangesMeasured,
    RatesSwept,
    RunDescribed,
    State,
    StateChanged,
    TrainingFailed,
    Validated,
    ValueRange,
)
from sgdb_engine.ranks.reading import RanksReader
from sgdb_engine.ranks.standing import RankStatus, lives
from sgdb_engine.recording.folder import OUTPUT_LOG, RunInfo, RunStatus, is_alive, read_info, read_status
from sgdb_engine.recording.history import History
from sgdb_engine.recording.liveness import host_name
from sgdb_engine.recording.output_log import TailReader
from sgdb_engine.recording.reader import RunReader
from sgdb_engine.text import clean
from sgdb_tui.formatting import duration
from sgdb_tui.plotting.series import Mark
from sgdb_tui.words import LogLine, log_lines

ViewState = State | Literal["lost"]
"""What the engine says, or "lost": its process is gone and it never said that it ended."""

_LOG_LINES = 5000
_MARKS = 2000
_FINDINGS = 500
_SILENCE_S = 30.0
"""A run that never wrote a status, or one on another machine that wrote none for so long, is lost."""
_ASKED = {Pause: "pausing", Resume: "resuming", Step: "stepping", Stop: "stopping"}


@dataclass(frozen=True, slots=True)
class Changed:
    """What a poll brought."""

    scalars: bool
    tensors: bool
    events: bool
    log: bool
    state: bool


class RunView:
    """A run, live or ended, as its folder tells it. Call `poll` a few times a second, from one thread."""

    def __init__(self, folder: Path) -> None:
        """Raises RunFolderError when there is no run in that folder."""
        self.folder = folder
        self.described = RunDescribed(device="")
        self.findings: dict[tuple[str, tuple[str, ...]], Finding] = {}
        """The newest word on each finding, by its code and its place, in the order of their first raising."""
        self.marks: deque[Mark] = deque(maxlen=_MARKS)
        self.log: deque[LogLine] = deque(maxlen=_LOG_LINES)
        self.log_total = 0
        """Lines of the log so far, those that were dropped included."""
        self.unfinished_line = ""
        """What the training code is printing: a progress bar, a prompt."""
        self.stages: dict[str, CheckStage] = {}
        """The stages of a check, in their order."""
        self.ranges: tuple[ValueRange, ...] = ()
        """What a check measured before the first update."""
        self.swept: RatesSwept | None = None
        """What a range test came to."""
        self.best: Validated | None = None
        self.failure: TrainingFailed | None = None
        self.missing_records = 0
        self.caught_up = False
        self.asked = ""
        """The command that the engine has not answered yet, as a participle; empty when there is none."""
        self.history = History()
        self.info: RunInfo = read_info(folder)
        self.status: RunStatus | None = None
        self.ranks: list[RankStatus] = []
        """How each process of the training stands; empty where there is but one."""
        self.state: ViewState = "starting"
        self._reader = RunReader(folder)
        self._ranks_reader = RanksReader(folder)
        self._output = TailReader(folder / OUTPUT_LOG)
        self._answers: SimpleQueue[LogLine] = SimpleQueue()
        self._told = StateChanged(state="starting")

    @property
    def ended(self) -> bool:
        """Nothing more will come."""
        return self.state in ENDED or self.state == "lost"

    @property
    def measured(self) -> bool:
        """A step of the training was measured; the machine is measured before."""
        return any(not name.startswith(("cpu/", "gpu/", "mem/")) for name in self.history.names())

    @property
    def step(self) -> int:
        """Optimizer steps completed, the newest word of either source."""
        told = self.status.step if self.status else 0
        return max(told, self.history.last_step or 0)

    @property
    def name(self) -> str:
        """The run's name, harmless on a terminal."""
        return clean(self.info.name, 60)

    @property
    def steps_planned(self) -> int | None:
        """How many steps the run is to have, where that is known."""
        return self.described.steps_planned or (self.status.steps_planned if self.status else None)

    @property
    def elapsed_s(self) -> float:
        """Seconds since the run began, until now or until its last sign of life."""
        end = self.status.wall if self.status and self.ended else time.time()
        return max(0.0, end - self.info.created)

    def poll(self) -> Changed:
        """Read what came since the last call; bounded work, never raises because of what a file holds."""
        batch = self._reader.poll()
        news = self._ranks_reader.poll(batch.scalars)
        self.ranks = news.ranks
        self.history.add(batch._replace(scalars=batch.scalars + news.rows))
        self.missing_records += batch.missing_records
        self.caught_up = batch.caught_up
        for event in batch.events:
            self._take(event)
        for rank, event in news.events:
            self._take_from_another(rank, event)
        printed = self._take_output()
        answered = self._take_answers()
        before = self.state
        self.state = self._judged_state()
        if self.state == "lost" != before and self.status is not None:
            self._log(_last_words(self.status))
        return Changed(
            scalars=bool(batch.scalars or batch.rewinds or news.rows),
            tensors=bool(batch.tensors or batch.rewinds),
            events=bool(batch.events or news.events),
            log=bool(printed or batch.events or news.events or answered),
            state=before != self.state,
        )

    def send(self, command: Command, timeout_s: float = 10.0) -> None:
        """Ask the engine for something; returns at once, the answer comes with a later poll, in the log."""
        if self.status is None or not self.status.socket:
            self._answers.put(LogLine("The engine cannot be reached yet: it is still starting.", "warning"))
            return
        self.asked = _ASKED.get(type(command), type(command).__name__.lower())
        client = ControlClient(Path(self.status.socket))
        threading.Thread(target=self._send, args=(client, command, timeout_s), daemon=True).start()

    def _send(self, client: ControlClient, command: Command, timeout_s: float) -> None:
        try:
            reply = client.send(command, timeout_s)
        except ControlError as error:
            self._answers.put(LogLine(clean(str(error), 500), "error"))
            return
        refused = LogLine(reply.message or "The engine refused.", "warning", reply.step)
        self._answers.put(LogLine("") if reply.ok else refused)

    def _take_answers(self) -> bool:
        """Drain what the command threads left; an answer without words only ends the waiting."""
        taken = False
        while True:
            try:
                answer = self._answers.get_nowait()
            except Empty:
                return taken
            self.asked = ""
            if answer.text:
                self._log([answer])
                taken = True

    def _take_output(self) -> bool:
        """What the training code printed since; a line that is still being written stands apart."""
        before = self._output.num_finished
        if not self._output.poll():
            return False
        finished = self._output.num_finished - before
        self.unfinished_line = self._output.unfinished()
        lines = self._output.lines()
        lines = lines[: len(lines) - bool(self.unfinished_line)]
        self._log([LogLine(line) for line in lines[max(0, len(lines) - finished) :] if finished])
        return True

    def tell(self, text: str) -> None:
        """Write a line of the dashboard's own into the log; it is not recorded."""
        self._answers.put(LogLine(clean(text, 500), "error"))

    def _log(self, lines: Sequence[LogLine]) -> None:
        self.log.extend(lines)
        self.log_total += len(lines)

    def _take(self, event: AnyEvent) -> None:
        self._log(log_lines(event))
        match event:
            case RunDescribed():
                self.described = event
            case StateChanged():
                self._told = event
            case TrainingFailed():
                self.failure = event
            case CheckStage():
                self.stages[event.name] = event
            case RangesMeasured():
                self.ranges = event.rows
            case RatesSwept():
                self.swept = event
            case FindingChanged():
                self._take_finding(event.finding)
            case Validated() if event.best:
                self.best = event
        mark = _mark(event)
        if mark:
            self.marks.append(mark)

    def _take_from_another(self, rank: int, event: AnyEvent) -> None:
        """Of the other ranks only what goes wrong there: all else the first one tells for them."""
        match event:
            case FindingChanged(finding=finding) if (finding.code, finding.where) not in self.findings:
                told = msgspec.structs.replace(finding, message=f"rank {rank}: {finding.message}")
                event = msgspec.structs.replace(event, finding=told)
                self._take_finding(told)
            case TrainingFailed() | ProbeFailed():
                pass
            case _:
                return
        self._log([LogLine(f"[rank {rank}] {line.text}", line.tone, line.step) for line in log_lines(event)])

    def _take_finding(self, finding: Finding) -> None:
        key = (finding.code, finding.where)
        if key in self.findings or len(self.findings) < _FINDINGS:
            self.findings[key] = finding

    def _judged_state(self) -> ViewState:
        """The newest of what the events and the status say; "lost" if nobody is there to say anything."""
        status = self._read_status()
        told: ViewState = self._told.state
        if told in ENDED:
            return self._end_of_all(status, told) if self.ranks else told
        if status is None:  # an engine writes its status before anything that takes time
            return told if self.elapsed_s < _SILENCE_S else "lost"
        state = status.state if status.wall >= self._told.wall else told
        if state in ENDED or _lives(status):
            return state
        # It may have ended between the two looks: its last word counts.
        again = self._read_status()
        return again.state if again and again.state in ENDED else "lost"

    def _end_of_all(self, status: RunStatus | None, told: ViewState) -> ViewState:
        """The first of several ranks has ended: others may train on, or have failed before it."""
        final = status is not None and status.exit_code is not None
        train_on = [each for each in self.ranks if each.state not in ENDED and lives(each)]
        if train_on and not final:
            return train_on[0].state
        return status.state if status is not None and status.state in ENDED else told

    def _read_status(self) -> RunStatus | None:
        # Not written yet, or lost by a full disk: what was known before still holds.
        with contextlib.suppress(RunFolderError):
            self.status = read_status(self.folder)
        return self.status


def _lives(status: RunStatus) -> bool:
    """On another machine the process cannot be asked; there a fresh status is a sign of life."""
    if status.host == host_name():
        return is_alive(status)
    return time.time() - status.wall < _SILENCE_S


def _last_words(status: RunStatus) -> list[LogLine]:
    code = "" if status.exit_code is None else f" with exit code {status.exit_code}"
    silent = duration(max(0.0, time.time() - status.wall))
    return [
        LogLine(f"The engine (process {status.pid}) ended{code} without a word, {silent} ago.", "error"),
        LogLine(
            "It was killed, ran out of memory, or the machine went down. All it recorded is here.", "error"
        ),
    ]


def _mark(event: AnyEvent) -> Mark | None:
    match event:
        case EpochEnded():
            return Mark(event.step, "epoch")
        case CheckpointSaved():
            return Mark(event.step, "checkpoint")
        case CommandApplied():
            return Mark(event.step, "command")
        case FindingChanged() if event.finding.state == "confirmed":
            return Mark(event.finding.step, "finding")
    return None
