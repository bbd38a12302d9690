"""All rules on facts, in one place."""

from collections.abc import Callable

from sgdb_engine.events import Finding
from sgdb_engine.findings import course, data, leaks, losses, optimisation, signals, wiring
from sgdb_engine.findings.facts import Facts
from sgdb_engine.findings.order import root_cause_first

Rule = Callable[[Facts], Finding | None]

RULES: tuple[Rule, ...] = (
    *wiring.RULES,
    *losses.RULES,
    *data.RULES,
    *leaks.RULES,
    *signals.RULES,
    *optimisation.RULES,
    *course.RULES,
)
STATISTICAL = frozenset(
    (
        *("clip-too-low", "label-noise", "lr-collapsed", "majority-only", "overfit", "weight-decay-high"),
        *("dead-relu", "saturated", "vanishing", "param-not-updated", "underfit"),
    )
)
"""Read off curves, or off some batches: one look is not enough for these, and they may pass."""


def findings_of(facts: Facts) -> list[Finding]:
    """What the facts say, the root cause first."""
    found: dict[str, Finding] = {}
    for rule in RULES:
        finding = rule(facts)
        if finding is not None:
            found.setdefault(finding.code, finding)
    return root_cause_first(list(found.values()))
