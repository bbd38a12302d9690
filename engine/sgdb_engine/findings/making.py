"""How a rule words what it found."""

from collections.abc import Sequence

from sgdb_engine.events import Finding, Severity
from sgdb_engine.findings.catalogue import entry

MOST_NAMED = 5


def finding(
    code: str,
    message: str,
    *,
    step: int = 0,
    where: Sequence[str] = (),
    location: str | None = None,
    evidence: dict[str, float | int | str] | None = None,
    severity: Severity | None = None,
    advice: str = "",
) -> Finding:
    """A finding of this code; severity and advice are those of the catalogue where they are left out."""
    known = entry(code)
    return Finding(
        code=code,
        severity=severity or known.severity,
        step=step,
        message=message,
        advice=advice or known.advice,
        where=tuple(where),
        location=location,
        evidence=evidence or {},
    )


def named(names: Sequence[str]) -> str:
    """The first few of a list, and how many more there are."""
    more = len(names) - MOST_NAMED
    return ", ".join(names[:MOST_NAMED]) + (f" and {more} more" if more > 0 else "")


def layers_of(parameters: Sequence[str]) -> list[str]:
    """The layers that own these parameters, each once, in their order."""
    return list(dict.fromkeys(name.rpartition(".")[0] or name for name in parameters))
