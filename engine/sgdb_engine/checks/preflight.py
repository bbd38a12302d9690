"""The pre-flight: thirteen stages, cheap and exact ones first, each with a budget and a verdict of its own.

It begins when the script stands before its first update. Each experiment is a forked child in which the script goes on;
the script itself goes no further.
"""

import time
from collections.abc import Callable
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any

import msgspec
import torch

from sgdb_engine.checks.batch_noise import FrozenWeights
from sgdb_engine.checks.experiment import Experiment, Setting
from sgdb_engine.checks.first_steps import FirstSteps
from sgdb_engine.checks.gradient_check import Differences
from sgdb_engine.checks.lr_range import Sweep, recorded
from sgdb_engine.checks.one_batch import Rescue, UserStep, ZeroInput
from sgdb_engine.checks.single_calls import Dependence, Repeat
from sgdb_engine.checks.stages import CODES, STAGES, Stages, duration, words_of_data
from sgdb_engine.checks.trials import NO_MODEL, Trials
from sgdb_engine.config.records import OverfitBudget
from sgdb_engine.ending import End
from sgdb_engine.events import RangesMeasured, ValueRange
from sgdb_engine.findings.facts import (
    Dependencies,
    Facts,
    GradientCheck,
    LrRange,
    Noise,
    OneBatch,
    Pace,
    Signals,
)
from sgdb_engine.findings.optimisation import has_passed
from sgdb_engine.launch import Order

if TYPE_CHECKING:
    from sgdb_engine.observe.observer import Observer
    from sgdb_engine.session import Engine


class Preflight:
    """Runs the stages, and tells the engine of each."""

    def __init__(self, engine: "Engine", order: Order, scratch: Path, budget: OverfitBudget) -> None:
        """Makes one that has not begun.

        Args:
            engine: told of the stages and of what is found.
            order: what is checked, for processes that begin it anew.
            scratch: folder below which experiments write.
            budget: of the user's own steps on one batch.
        """
        self._engine, self._budget = engine, budget
        self._trials = Trials(engine, order, scratch)
        self._stages = Stages(engine)
        self._later: float | None = None
        self._signals_seen: Signals | None = None
        """What the first steps gave, for stages that come later."""

    def pass_through(self, observer: "Observer") -> None:
        """The safe point of the script: the first one begins the stages. Returns in children only."""
        self._trials.carry_out(lambda: self._run(observer))

    def script_ended(self, end: End) -> None:
        """The script is over: in a child so is the experiment; in the script's own process nothing was checked."""
        self._trials.script_ended(end)

    # -- the stages -------------------------------------------------------------------------------------

    def _run(self, observer: "Observer") -> None:
        witness = observer.witness
        setting = self._trials.setting(observer, self._budget)
        self._stages.facts = witness.facts()
        if setting is None:
            for name in STAGES:
                self._stages.tell(name, "skipped", NO_MODEL)
            return
        self._environment(setting)
        self._first_steps(setting)
        if any(f.severity == "error" and f.code in CODES["wiring"] for f in self._stages.found()):
            for name in STAGES[3:]:
                self._stages.tell(
                    name, "skipped", "the wiring has errors: what follows would only repeat them"
                )
            return
        for stage in (
            self._loss_at_init,
            self._dependencies,
            self._gradient_check,
            self._signals,
            self._overfit,
            self._rescue,
            self._zero_input,
            self._lr_range,
            self._gradient_noise,
            self._time,
        ):
            stage(setting)

    # -- one by one -------------------------------------------------------------------------------------

    def _environment(self, setting: Setting) -> None:
        started = self._stages.begin("environment")
        outcomes = [self._trials.do(Repeat, setting) for _ in range(2)]
        losses = [outcome.result for outcome in outcomes]
        device = next(setting.model.parameters()).device
        words = f"PyTorch {torch.__version__}, {device}, {next(setting.model.parameters()).dtype}"
        if None in losses:
            raised = next((outcome.told["raised"][0] for outcome in outcomes if "raised" in outcome.told), "")
            why = f": the script raised {raised}" if raised else ""
            self._stages.tell(
                "environment", "inconclusive", f"{words}; the second step was not reached{why}", started
            )
        elif losses[0] != losses[1]:
            self._stages.tell(
                "environment",
                "warn",
                f"{words}; the same step gave {losses[0][0]} and {losses[1][0]}",
                started,
            )
        else:
            self._stages.tell(
                "environment", "pass", f"{words}; the same step twice gives the same loss", started
            )

    def _first_steps(self, setting: Setting) -> None:
        started = self._stages.begin("data")
        outcome = self._trials.do(FirstSteps, setting)
        if self._stages.not_done("data", outcome, started):
            self._stages.judged(
                "wiring", self._stages.begin("wiring"), "graph, optimizer and loss fit together"
            )
            return
        seen = msgspec.convert(outcome.result["facts"], Facts, strict=False)
        begin = self._stages.facts
        self._later = outcome.result["later"]
        ranges = msgspec.convert(outcome.result["ranges"], tuple[ValueRange, ...], strict=False)
        self._engine.recorder.event(RangesMeasured(rows=ranges))
        self._signals_seen = seen.signals
        self._stages.facts = msgspec.structs.replace(
            seen,
            signals=None,  # a stage of its own judges them, when it is known what the outputs depend on
            losses=_from_the_start(begin, seen),
            wiring=_with_places(begin, seen),
        )
        d = self._stages.facts.data
        words = "no inputs were seen" if d is None else words_of_data(d)
        self._stages.judged("data", started, words)
        self._stages.judged(
            "wiring", self._stages.begin("wiring"), "graph, optimizer, modes and loss fit together"
        )

    def _loss_at_init(self, setting: Setting) -> None:
        started = self._stages.begin("loss-at-init")
        outcome = self._trials.do(FrozenWeights, setting)
        if self._stages.not_done("loss-at-init", outcome, started):
            return
        noise = self._stages.facts.noise = msgspec.convert(outcome.result, Noise, strict=False)
        call = setting.call
        start = fmean(noise.losses)
        if call is None or not call.baseline > 0:
            self._stages.tell(
                "loss-at-init", "pass", f"{start:.4g}; what to expect of this loss is not known", started
            )
            return
        words = f"{start:.4g}; a model that knows nothing has {call.baseline:.4g}"
        self._stages.judged("loss-at-init", started, words, start=start, baseline=call.baseline)

    def _dependencies(self, setting: Setting) -> None:
        started = self._stages.begin("dependencies")
        outcome = self._trials.do(Dependence, setting)
        if self._stages.not_done("dependencies", outcome, started):
            return
        found = msgspec.convert(outcome.result, Dependencies, strict=False)
        self._stages.facts.dependencies = msgspec.structs.replace(found, other_input_later=self._later)
        if found.reason:
            self._stages.tell("dependencies", "skipped", f"not tested: {found.reason}", started)
            return
        self._stages.judged("dependencies", started, "outputs depend on their own input and on nothing else")

    def _gradient_check(self, setting: Setting) -> None:
        started = self._stages.begin("gradient-check")
        outcome = self._trials.do(Differences, setting)
        if self._stages.not_done("gradient-check", outcome, started):
            return
        found = self._stages.facts.gradient_check = msgspec.convert(
            outcome.result, GradientCheck, strict=False
        )
        if found.error is None:
            self._stages.tell("gradient-check", "skipped", f"not tested: {found.reason}", started)
            return
        self._stages.judged(
            "gradient-check",
            started,
            f"autograd agrees with differences to {found.error:.1g}",
            error=found.error,
        )

    def _signals(self, setting: Setting) -> None:
        started = self._stages.begin("first-steps")
        s = self._stages.facts.signals = self._signals_seen
        if s is None:
            self._stages.tell("first-steps", "inconclusive", "the script ended too early", started)
            return
        words = f"{s.steps} steps: an update moves the weights by {s.update_ratio:.2g} of their size"
        self._stages.judged("first-steps", started, words)

    def _curve(self, name: str) -> Callable[[str, Any], None]:
        column, count = f"overfit/{name}", iter(range(1, 10**9))

        def told(kind: str, value: Any) -> None:
            if kind == "loss" and isinstance(value, float):
                self._engine.recorder.scalars((column,), next(count), time.time(), time.monotonic(), (value,))

        return told

    def _one_batch(
        self, name: str, kind: type[Experiment], setting: Setting, started: float
    ) -> OneBatch | None:
        outcome = self._trials.do(kind, setting, self._curve(kind.name))
        if self._stages.not_done(name, outcome, started):
            return None
        return msgspec.convert(outcome.result, OneBatch, strict=False)

    def _overfit(self, setting: Setting) -> None:
        started = self._stages.begin("overfit-one-batch")
        user = self._stages.facts.user = self._one_batch("overfit-one-batch", UserStep, setting, started)
        self._user_started = started
        if user is not None and user.reason:
            self._stages.tell("overfit-one-batch", "inconclusive", user.reason, started)

    def _rescue(self, setting: Setting) -> None:
        user = self._stages.facts.user
        if user is not None and user.reason:
            self._stages.tell("rescue", "skipped", "the batch cannot be held still")
            return
        started = self._stages.begin("rescue")
        rescue = self._stages.facts.rescue = self._one_batch("rescue", Rescue, setting, started)
        if user is not None:
            self._stages.judge_one("overfit-one-batch", user, self._user_started)
        if rescue is not None:
            self._stages.judge_one("rescue", rescue, started)

    def _zero_input(self, setting: Setting) -> None:
        if has_passed(self._stages.facts.rescue) or self._stages.facts.rescue is None:
            self._stages.tell(
                "zero-input",
                "skipped",
                "not needed: the batch was learnt" if self._stages.facts.rescue else "no batch is held",
            )
            return
        started = self._stages.begin("zero-input")
        zero = self._stages.facts.zero_input = self._one_batch("zero-input", ZeroInput, setting, started)
        if zero is not None:
            self._stages.tell(
                "zero-input", "pass", f"without any input the loss comes to {zero.losses[-1]:.3g}", started
            )

    def _lr_range(self, setting: Setting) -> None:
        started = self._stages.begin("lr-range")
        outcome = self._trials.do(Sweep, setting, recorded(self._engine.recorder))
        if self._stages.not_done("lr-range", outcome, started):
            return
        found = self._stages.facts.lr_range = msgspec.convert(outcome.result["sweep"], LrRange, strict=False)
        self._stages.facts.pace = msgspec.convert(outcome.result["pace"], Pace, strict=False)
        known = {
            k: v
            for k, v in (
                ("lowest", found.lowest),
                ("diverged", found.diverged),
                ("suggestion", found.suggestion),
            )
            if v
        }
        wiring = self._stages.facts.wiring
        if wiring is not None and len(wiring.optimizers) == 1:
            known["lr"] = wiring.optimizers[0].lr
        if found.lowest is None:
            self._stages.look()
            self._stages.tell("lr-range", "inconclusive", found.reason, started, **known)
            return
        self._stages.judged(
            "lr-range", started, f"lowest at {found.lowest:.2g}; suggestion {found.suggestion:.2g}", **known
        )

    def _gradient_noise(self, setting: Setting) -> None:
        started = self._stages.begin("gradient-noise")
        noise = self._stages.facts.noise
        if noise is None or noise.cosine is None:
            self._stages.tell("gradient-noise", "skipped", "not tested: too few batches", started)
            return
        scale = f", noise scale {noise.scale:.0f} rows" if noise.scale is not None else ""
        self._stages.judged(
            "gradient-noise", started, f"{max(0.0, noise.cosine):.0%} of a gradient is signal{scale}"
        )

    def _time(self, setting: Setting) -> None:
        started = self._stages.begin("memory-and-time")
        pace = self._stages.facts.pace
        if pace is None or not pace.step_s > 0:
            self._stages.tell("memory-and-time", "skipped", "not tested: the script ended too early", started)
            return
        device = f", {pace.device_gib:.1f} GiB on the device" if pace.device_gib else ""
        words = f"{duration(pace.step_s)} a step, of which {pace.data_share:.0%} is waiting for data"
        words += f"; {pace.host_gib:.1f} GiB of memory at most{device}"
        self._stages.judged("memory-and-time", started, words, **msgspec.structs.asdict(pace))


def _from_the_start(begin: Facts, seen: Facts) -> Any:
    """Losses of the first steps: what was called in the very first one, and what it came to in all of them."""
    if begin.losses is None or not begin.losses.calls:
        return seen.losses
    if seen.losses is None:
        return begin.losses
    return msgspec.structs.replace(seen.losses, calls=begin.losses.calls)


def _with_places(begin: Facts, seen: Facts) -> Any:
    """Wiring of the first steps; where things were made only the script's own process knows."""
    if begin.wiring is None or seen.wiring is None:
        return seen.wiring
    b = begin.wiring
    return msgspec.structs.replace(
        seen.wiring,
        optimizers=b.optimizers,
        backward_location=b.backward_location,
        step_location=b.step_location or seen.wiring.step_location,
        call_location=b.call_location,
    )
