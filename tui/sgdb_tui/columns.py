"""The columns of a run by what they are: where several optimizers train, each has its own, as `netG.lr`."""

import re
from collections.abc import Iterable, Iterator

from sgdb_engine.recording.history import History
from sgdb_engine.text import clean

_OWN = "".join(
    (
        r"^(?:(?P<owner>.+)\.)?(?:train/.+|val/.+|lr(?:/\d+)?|grad_norm|grad_square|clip_coef|time/.+",
        r"|(?:input|output)(?:\..+)?/(?:min|max|mean|std|nonfinite))$|^(?:cpu|gpu|mem|check)/",
    )
)
_SGDBS_OWN = re.compile(_OWN)
_PLACE = re.compile(r"^(?:(?P<owner>.+)\.)?(?P<kind>input|output)(?:\.(?P<part>.+))?/min$")


def by_optimizer(history: History, column: str) -> list[tuple[str, str]]:
    """(owner, column) of what each optimizer has; the owner is empty where there is but one."""
    several = [
        (name.removesuffix(f".{column}"), name) for name in history.names() if name.endswith(f".{column}")
    ]
    if several:
        return [(clean(owner, 20), name) for owner, name in several]
    return [("", column)] if column in history.names() else []


def learning_rates(history: History) -> Iterator[tuple[str, str]]:
    """(name, column) of each learning rate; of the groups of an optimizer only where they differ."""
    for owner, column in by_optimizer(history, "lr"):
        groups = [name for name in history.names() if name.startswith(f"{column}/")]
        if len({point.value for name in groups if (point := history.last(name))}) > 1:
            for name in groups:
                yield f"{owner} group {name.rpartition('/')[2]}".strip(), name
        else:
            yield owner, column


def ranges(history: History, kind: str) -> Iterator[tuple[str, str]]:
    """(name, prefix of columns) of each tensor going in (`kind` "input") or coming out ("output")."""
    for name in history.names():
        found = _PLACE.match(name)
        if found and found["kind"] == kind:
            yield (
                clean(" ".join(filter(None, (found["owner"], found["part"]))), 24),
                name.removesuffix("/min"),
            )


def logged(history: History) -> Iterable[str]:
    """The columns that the training code logged itself."""
    return (name for name in history.names() if not _SGDBS_OWN.match(name))
