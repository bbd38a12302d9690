"""Findings while a training runs: suspected, confirmed, cleared."""

from collections.abc import Callable

import msgspec

from sgdb_engine.events import Finding
from sgdb_engine.findings.facts import Facts
from sgdb_engine.findings.rules import STATISTICAL, findings_of

HITS = 2
"""Looks in a row that see what is read off curves before it is confirmed, or miss it before it is cleared."""


class Live:
    """Looks at facts now and then, and tells what has changed since."""

    def __init__(self, found: Callable[[Finding], None], without: frozenset[str] = frozenset()) -> None:
        """`found` is told; of the codes in `without` somebody else does."""
        self._without = without
        self._found = found
        self._told: dict[str, Finding] = {}
        self._hits: dict[str, int] = {}
        """Looks in a row at which it was there (positive), or gone."""

    def look(self, facts: Facts) -> None:
        """At everything that is known now."""
        seen = {finding.code: finding for finding in findings_of(facts) if finding.code not in self._without}
        for code, finding in seen.items():
            hits = self._hits[code] = max(0, self._hits.get(code, 0)) + 1
            sure = code not in STATISTICAL or hits >= HITS
            self._tell(finding, facts.step, "confirmed" if sure else "suspected")
        for code, told in self._told.items():
            if code in STATISTICAL and code not in seen and told.state != "cleared":
                gone = self._hits[code] = min(0, self._hits.get(code, 0)) - 1
                if told.state == "suspected" or -gone >= HITS:
                    self._tell(told, facts.step, "cleared")

    def _tell(self, finding: Finding, step: int, state: str) -> None:
        known = self._told.get(finding.code)
        if known is not None:
            if (known.state, known.cause) == (state, finding.cause) or (
                known.state == "confirmed" and state == "suspected"
            ):
                return
            finding = msgspec.structs.replace(finding, step=known.step, where=known.where)
        new = msgspec.structs.replace(finding, state=state, step=finding.step or step)
        self._told[finding.code] = new
        self._found(new)
