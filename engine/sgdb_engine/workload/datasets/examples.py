"""Examples and what is known of them before a model is built."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, Literal, TypeVar

from torch import Tensor

from sgdb_engine.config.records import DataSection
from sgdb_engine.workload.losses import Task

S = TypeVar("S", bound=DataSection)
THE_TARGET = "y"
"""Name of a target that is the only one."""
Kind = Literal["table", "images", "tokens", "other"]


@dataclass(frozen=True)
class Wanted(Generic[S]):
    """What a data set is asked for."""

    section: S
    folder: Path
    """Where relative paths start."""
    seed: int
    tasks: Mapping[str, Task]
    """Target → what its losses want it to be."""


@dataclass(frozen=True)
class Target:
    """What is to be predicted of each example."""

    values: Tensor
    """Classes int64 (N,), of tokens (N, T); numbers float32 (N, D)."""
    classes: int | None = None
    """None where they are numbers."""


@dataclass(frozen=True)
class Examples:
    """All examples of a data set, on the CPU."""

    x: Tensor
    """table (N, F), images (N, C, H, W), other (N, …): float32; tokens (N, T): int64."""
    targets: dict[str, Target]
    kind: Kind


def with_target(x: Tensor, y: Tensor, kind: Kind, classes: int | None = None) -> Examples:
    """Examples with the one target that most data sets have."""
    return Examples(x, {THE_TARGET: Target(y, classes)}, kind)


@dataclass(frozen=True)
class TargetFacts:
    """What a head has to fit."""

    shape: tuple[int, ...]
    """Of one example."""
    classes: int | None


@dataclass(frozen=True)
class Facts:
    """What a model has to fit."""

    kind: Kind
    x_shape: tuple[int, ...]
    """Of one example."""
    targets: dict[str, TargetFacts]
    vocabulary: int | None = None
    """Different tokens."""


def facts_of(examples: Examples) -> Facts:
    """The facts of examples in memory."""
    return Facts(
        kind=examples.kind,
        x_shape=tuple(examples.x.shape[1:]),
        targets={
            name: TargetFacts(tuple(target.values.shape[1:]), target.classes)
            for name, target in examples.targets.items()
        },
        vocabulary=int(examples.x.max()) + 1 if examples.kind == "tokens" else None,
    )
