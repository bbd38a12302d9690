"""Examples that can be trained on, or what is wrong with them."""

from collections.abc import Sequence

from torch import Tensor

from sgdb_engine.config.records import LossTerm
from sgdb_engine.errors import DataError
from sgdb_engine.workload.datasets.arrays import refuse_missing
from sgdb_engine.workload.datasets.examples import Examples
from sgdb_engine.workload.losses import FOR_NUMBERS, LOSSES


def check_examples(origin: str, examples: Examples, losses: Sequence[LossTerm]) -> None:
    """Raises DataError for empty data, data without one finite number, classes out of range, and targets
    that are not what the loss wants. Single NaN are let pass: training can go on, and shows them."""
    if examples.x.numel() == 0:
        raise DataError(f"{origin}: there are no data: x is {tuple(examples.x.shape)}")
    _check_finite(f"{origin}: x", examples.x)
    refuse_missing(origin, [term.target for term in losses], examples.targets)
    for term in losses:
        target = examples.targets[term.target]
        check_target(origin, target.classes, term.name)
        if target.classes is None:
            _check_finite(f"{origin}: {term.target}", target.values)
        else:
            _check_classes(origin, target.values, target.classes)


def _check_classes(origin: str, values: Tensor, classes: int) -> None:
    low, high = int(values.min()), int(values.max())
    if low < 0 or high >= classes:
        raise DataError(
            f"{origin}: the classes go from {low} to {high}; with {classes} classes they must go "
            f"from 0 to {classes - 1}"
        )


def check_target(origin: str, classes: int | None, name: str) -> None:
    """Raises DataError where the loss wants another target than this; classes is None for numbers."""
    wants_classes = LOSSES[name][1] == "classes"
    if wants_classes and classes is None:
        raise DataError(f'{origin}: the targets are numbers, but "{name}" wants classes; use {FOR_NUMBERS}')
    if not wants_classes and classes is not None:
        raise DataError(f'{origin}: the targets are classes, but "{name}" wants numbers; use cross_entropy')
    if name == "binary_cross_entropy" and classes != 2:
        raise DataError(f'{origin}: there are {classes} classes, but "{name}" is for 2; use cross_entropy')


def _check_finite(what: str, values: Tensor) -> None:
    if not bool(values.isfinite().any()):
        raise DataError(f"{what} holds no finite number, only NaN or infinity")
