"""Examples that can be trained on, or what is wrong with them."""

from collections.abc import Sequence

from torch import Tensor

from sgdb_engine.config.records import LossTerm
from sgdb_engine.errors import DataError
from sgdb_engine.workload.datasets.examples import Examples


def check_examples(origin: str, examples: Examples, losses: Sequence[LossTerm]) -> None:
    """Raises DataError for empty data, data without one finite number, classes out of range, and targets
    that are not what the loss wants. Single NaN are let pass: training can go on, and shows them."""
    if examples.x.numel() == 0:
        raise DataError(f"{origin}: there are no data: x is {tuple(examples.x.shape)}")
    _check_finite(f"{origin}: x", examples.x)
    check_targets(origin, examples.classes, losses)
    if examples.classes is None:
        _check_finite(f"{origin}: y", examples.y)
        return
    low, high = int(examples.y.min()), int(examples.y.max())
    if low < 0 or high >= examples.classes:
        raise DataError(
            f"{origin}: the classes go from {low} to {high}; with {examples.classes} classes they must go "
            f"from 0 to {examples.classes - 1}"
        )


def check_targets(origin: str, classes: int | None, losses: Sequence[LossTerm]) -> None:
    """Raises DataError where the loss wants other targets than there are; classes is None for numbers."""
    name = losses[0].name
    wants_classes = name in ("cross_entropy", "binary_cross_entropy")
    if wants_classes and classes is None:
        raise DataError(
            f'{origin}: the targets are numbers, but "{name}" wants classes; use mse, l1 or smooth_l1'
        )
    if not wants_classes and classes is not None:
        raise DataError(f'{origin}: the targets are classes, but "{name}" wants numbers; use cross_entropy')
    if name == "binary_cross_entropy" and classes != 2:
        raise DataError(f'{origin}: there are {classes} classes, but "{name}" is for 2; use cross_entropy')


def _check_finite(what: str, values: Tensor) -> None:
    if not bool(values.isfinite().any()):
        raise DataError(f"{what} holds no finite number, only NaN or infinity")
