"""What a check does stage by stage, and what its outcome is worth."""

from collections.abc import Iterable, Sequence

from sgdb_engine.events import CheckStage, CheckStatus, Verdict
from sgdb_tui.bridge import RunView

STAGES = {
    "environment": "the next step twice: is its loss the same?",
    "data": "the first steps: what do inputs and targets look like?",
    "wiring": "do graph, optimizer, modes and loss fit together?",
    "loss-at-init": "is the first loss that of a model that knows nothing?",
    "dependencies": "does each output depend on its own input, and on nothing else?",
    "gradient-check": "does the backward pass agree with differences of the forward pass?",
    "first-steps": "how large are activations, gradients and updates?",
    "overfit-one-batch": "one batch, over and over, with your own step: is it learnt by heart?",
    "rescue": "the same batch with Adam at 3e-3: can it be learnt at all?",
    "zero-input": "the same without any input: what is learnt without looking?",
    "lr-range": "from tiny to huge: which learning rate learns fastest, which diverges?",
    "gradient-noise": "how much of a gradient is signal, how much is the choice of the batch?",
    "memory-and-time": "what does a step take?",
}
"""Stage → the question that it answers; in the order in which they are done (sgdb_engine.checks.preflight)."""
_WORST_FIRST: tuple[CheckStatus, ...] = ("fail", "inconclusive", "warn", "running", "pass", "skipped")


def in_words(name: str) -> str:
    """The name of a stage as it is read."""
    return name.replace("-", " ")


def running(stages: Iterable[CheckStage]) -> CheckStage | None:
    """The stage that is under way; the newest where there are several."""
    return next((stage for stage in reversed(list(stages)) if stage.status == "running"), None)


def worst(stages: Iterable[CheckStage]) -> CheckStage | None:
    """The stage with the worst outcome, the first of them."""
    return min(stages, key=lambda stage: _WORST_FIRST.index(stage.status), default=None)


def num_ended(stages: Iterable[CheckStage]) -> int:
    """How many have an outcome."""
    return sum(stage.status != "running" for stage in stages)


def verdict(view: RunView) -> Verdict | None:
    """What a check has shown, by the rule of `sgdb_engine.summary`; None where it did not come to its end."""
    if view.state not in ("finished", "failed"):
        return None
    severities = {finding.severity for finding in view.findings.values() if finding.state != "cleared"}
    statuses = {stage.status for stage in view.stages.values()}
    if view.state == "failed" or "fail" in statuses or "error" in severities:
        return "fail"
    return "warn" if statuses & {"warn", "inconclusive"} or "warning" in severities else "pass"


def all_stages(seen: Sequence[CheckStage]) -> list[tuple[str, CheckStage | None]]:
    """Every stage by its name in its order, also those that have not begun; then those of another version."""
    known = {stage.name: stage for stage in seen}
    others = [name for name in known if name not in STAGES]
    return [(name, known.get(name)) for name in (*STAGES, *others)]
