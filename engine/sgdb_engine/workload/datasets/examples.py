"""Examples and what is known of them before a model is built."""

from dataclasses import dataclass
from pathlib import Path
from typing import Generic, Literal, TypeVar

from torch import Tensor

from sgdb_engine.config.records import DataSection
from sgdb_engine.workload.losses import Task

S = TypeVar("S", bound=DataSection)
Kind = Literal["table", "images", "tokens", "other"]


@dataclass(frozen=True)
class Wanted(Generic[S]):
    """What a data set is asked for."""

    section: S
    folder: Path
    """Where relative paths start."""
    seed: int
    task: Task
    """What the loss wants the targets to be."""


@dataclass(frozen=True)
class Examples:
    """All examples of a data set, on the CPU."""

    x: Tensor
    """table (N, F), images (N, C, H, W), other (N, …): float32; tokens (N, T): int64."""
    y: Tensor
    """Classes int64 (N,), of tokens (N, T); numbers float32 (N, D)."""
    kind: Kind
    classes: int | None = None
    """None where the targets are numbers."""


@dataclass(frozen=True)
class Facts:
    """What a model has to fit."""

    kind: Kind
    x_shape: tuple[int, ...]
    """Of one example."""
    y_shape: tuple[int, ...]
    classes: int | None
    vocabulary: int | None = None
    """Different tokens."""


def facts_of(examples: Examples) -> Facts:
    """The facts of examples in memory."""
    return Facts(
        kind=examples.kind,
        x_shape=tuple(examples.x.shape[1:]),
        y_shape=tuple(examples.y.shape[1:]),
        classes=examples.classes,
        vocabulary=int(examples.x.max()) + 1 if examples.kind == "tokens" else None,
    )
