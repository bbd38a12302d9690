"""The rows that a model was given and their targets, kept small, and what they show of the data."""

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
import torch

from sgdb_engine.findings.facts import Data
from sgdb_engine.witness.workers import Workers

MOST_ROWS = 4000
"""Kept of training, and of validation."""
MOST_FEATURES = 1024
"""Kept of a row; those of a larger one are left out evenly."""
COMPARED_ROWS = 800
"""Rows whose neighbours are looked for."""
SHUFFLES = 30
MOST_NAMED = 5
FEW_BATCHES = 4

Array = np.ndarray[Any, Any]


class Examples:
    """Training or validation examples, batch by batch."""

    def __init__(self) -> None:
        self.inputs: list[Array] = []
        """Of each batch, float32 [rows, features]."""
        self.targets: list[Array] = []
        """Of each batch, float64 [rows, …]; empty where none is known."""
        self.integer = self.classes = self.text = False
        self.same_memory = True
        """All batches lie where the first one does: they are one tensor."""
        self._memory: int | None = None
        self.rows = 0
        self.stride = 1
        """Each so many-th feature is kept."""
        self.nonfinite = 0
        self.nonfinite_features: set[int] = set()

    @property
    def is_full(self) -> bool:
        """More rows are not taken."""
        return self.rows >= MOST_ROWS

    def add(self, inputs: torch.Tensor, target: torch.Tensor | None, classes: bool) -> None:
        """Takes in a batch; on a device it is waited for."""
        if self.is_full or inputs.ndim < 1 or not inputs.numel():
            return
        rows = inputs.shape[0]
        self.integer = not inputs.is_floating_point()
        flat = inputs.detach().reshape(rows, -1)
        self._look_for_nonfinite(flat)
        self.stride = max(1, -(-flat.shape[1] // MOST_FEATURES))
        flat = flat[:, :: self.stride]
        self.inputs.append(flat.float().cpu().numpy().copy())
        self.rows += rows
        self.same_memory &= self._memory in (None, inputs.data_ptr())
        self._memory = inputs.data_ptr()
        self._add_target(target, rows, classes, flat.shape[1])

    def _look_for_nonfinite(self, flat: torch.Tensor) -> None:
        if flat.is_floating_point():
            bad = ~flat.isfinite()
            if bool(bad.any()):
                self.nonfinite += int(bad.sum())
                self.nonfinite_features |= set(bad.any(0).nonzero().flatten().tolist()[:MOST_NAMED])

    def _add_target(self, target: torch.Tensor | None, rows: int, classes: bool, features: int) -> None:
        if target is None or target.is_complex():
            return
        self.classes = classes
        whole = target.detach()
        self.text = self.integer and classes and whole.numel() == rows * features
        if whole.ndim == 0 or whole.shape[0] % rows:
            return
        self.targets.append(whole.reshape(rows, -1).double().cpu().numpy())

    @property
    def x(self) -> Array:
        """All rows: float32 [rows, features]."""
        width = self.inputs[0].shape[1]
        return np.concatenate([batch for batch in self.inputs if batch.shape[1] == width])

    @property
    def y(self) -> Array | None:
        """Their targets, float64 [rows, …]; None where they are not known of each row."""
        if len(self.targets) != len(self.inputs) or not self.targets:
            return None
        if len({batch.shape[1] for batch in self.inputs}) > 1 or len({t.shape[1] for t in self.targets}) > 1:
            return None
        return np.concatenate(self.targets)


@np.errstate(all="ignore")
def data_of(
    train: Examples,
    val: Examples,
    *,
    starts_with_norm: bool,
    set_size: int | None,
    probing: bool,
    workers: Workers | None = None,
) -> Data | None:
    """What the examples show; None where there are none.

    Args:
        train: of the first steps.
        val: of evaluations; may be empty.
        starts_with_norm: the first layer with parameters normalises.
        set_size: rows that the loader draws from, where that is known.
        probing: also what takes longer: neighbours, leaks, overlap.
        workers: of the loader.
    """
    if not train.inputs:
        return None
    x, y = train.x, train.y
    finite = np.isfinite(x)
    known = x[finite]
    data = Data(
        rows=len(x),
        val_rows=val.rows,
        batches=len(train.inputs),
        features=x.shape[1] * train.stride,
        integer=train.integer,
        nonfinite=train.nonfinite,
        nonfinite_features=tuple(sorted(train.nonfinite_features)[:MOST_NAMED]),
        starts_with_norm=starts_with_norm,
        classes=train.classes,
        text=train.text,
        repeated_batches=_repeated(train.inputs),
        all_equal=bool((x == x[0]).all()),
        workers=workers.count if workers is not None else 0,
        equal_rounds=workers.equal if workers is not None else 0.0,
        whole_set=train.same_memory or (set_size is not None and set_size <= len(train.inputs[0])),
    )
    if known.size and not train.integer:
        data = _replaced(data, **_scale(np.where(finite, x, 0.0), known, train.stride))
    if y is not None:
        data = _replaced(
            data, target_mean=float(y.mean()), target_std=float(y.std()), prior=_prior(y, train.classes)
        )
        if not train.text:
            data = _replaced(data, **_order(train.targets, train.classes))
    if not probing:
        return data
    rows = _keys(x)
    counts = Counter(rows)
    data = _replaced(data, duplicates=sum(n for n in counts.values() if n > 1) / len(rows))
    if val.inputs and val.inputs[0].shape[1] == x.shape[1]:
        data = _replaced(data, **_against_validation(x, set(counts), val.x, train.integer))
    if y is not None and not train.integer and finite.all() and y.shape[1] == 1:
        data = _replaced(data, **_relation(x, y[:, 0], train.classes, train.stride))
    return data


def _replaced(data: Data, **values: Any) -> Data:
    return msgspec.structs.replace(data, **values)


def _scale(x: Array, known: Array, stride: int) -> dict[str, Any]:
    spread = x.std(0, dtype=np.float64)
    positive = spread[spread > 0]
    return {
        "rms": float(np.sqrt(np.square(known, dtype=np.float64).mean())),
        "low": float(known.min()),
        "high": float(known.max()),
        "std_ratio": float(positive.max() / positive.min()) if positive.size else 1.0,
        "widest": int(spread.argmax()) * stride,
    }


def _keys(x: Array) -> list[bytes]:
    whole = np.ascontiguousarray(x)
    return [row.tobytes() for row in whole]


def _repeated(batches: Sequence[Array]) -> float:
    """Share of the later batches that hold the very rows of the first one, in its order: all rows there are may come
    again and again, shuffled."""
    if len(batches) < FEW_BATCHES:
        return 0.0
    first = batches[0]
    return sum(np.array_equal(batch, first, equal_nan=True) for batch in batches[1:]) / (len(batches) - 1)


def _prior(y: Array, classes: bool) -> float:
    if not classes and set(np.unique(y)) != {0.0, 1.0}:
        return float(y.var(0).mean())
    shares = np.unique(y, return_counts=True)[1] / y.size
    return -float((shares * np.log(shares)).sum())


# -- order ------------------------------------------------------------------------------------------------


def _order(targets: Sequence[Array], classes: bool) -> dict[str, Any]:
    """Variance between batches, compared with shuffled rows."""
    size = len(targets[0])
    batches = [batch[:, 0] for batch in targets if len(batch) == size and batch.shape[1] == 1]
    if len(batches) < FEW_BATCHES or size < 2:
        return {}
    values = np.stack(batches)
    if classes:
        _, numbers = np.unique(values, return_inverse=True)
        each = np.eye(int(numbers.max()) + 1)[numbers.reshape(values.shape)]
    else:
        spread = values.std()
        if not spread > 0:
            return {}
        each = ((values - values.mean()) / spread)[..., None]
    seen = _between(each)
    flat = each.reshape(-1, each.shape[-1])
    random = np.random.default_rng(0)
    shuffled = np.array([_between(random.permutation(flat).reshape(each.shape)) for _ in range(SHUFFLES)])
    expected, deviation = float(shuffled.mean()), float(shuffled.std())
    if not expected > 0:
        return {}
    pure = float(np.mean([len(np.unique(batch)) == 1 for batch in batches])) if classes else 0.0
    return {
        "order_ratio": seen / expected,
        "order_z": (seen - expected) / max(deviation, 1e-12),
        "purest_batches": pure,
    }


def _between(each: Array) -> float:
    return float(each.mean(1).var(0).sum())


# -- validation -------------------------------------------------------------------------------------------


def _against_validation(x: Array, rows: set[bytes], other: Array, integer: bool) -> dict[str, Any]:
    overlap = sum(key in rows for key in _keys(other)) / len(other)
    if integer or len(other) < 8 or not (np.isfinite(x).all() and np.isfinite(other).all()):
        return {"overlap": overlap}
    here, there = x.std(0, dtype=np.float64), other.std(0, dtype=np.float64)
    both = (here > 1e-9) & (there > 1e-9)
    if not both.any():
        return {"overlap": overlap}
    factor = float(np.exp(np.median(np.abs(np.log(there[both] / here[both])))))
    return {"overlap": overlap, "val_std_factor": factor}


# -- relation of inputs and targets -----------------------------------------------------------------------


def _relation(x: Array, y: Array, classes: bool, stride: int) -> dict[str, Any]:
    random = np.random.default_rng(0)
    _, kept = np.unique(x, axis=0, return_index=True)  # what is seen in each epoch is one example
    chosen = random.permutation(kept)[:COMPARED_ROWS]
    x, y = x[chosen].astype(np.float64), y[chosen]
    spread = x.std(0)
    x, y = x[:, spread > 1e-9], y
    if len(x) < 40 or not x.shape[1] or not y.std() > 0:
        return {}
    x = (x - x.mean(0)) / x.std(0)
    feature, leak = _leak(x, y, classes, random)
    return {
        "leak_feature": int(np.flatnonzero(spread > 1e-9)[feature]) * stride,
        "leak": leak,
        "neighbour_z": _neighbour_z(x, y, classes, random),
        "correlation_excess": _correlation_excess(x, y, classes),
    }


def _columns(y: Array, classes: bool) -> Array:
    """Targets as columns of numbers, each with mean 0 and standard deviation 1."""
    if classes:
        _, numbers = np.unique(y, return_inverse=True)
        columns = np.eye(int(numbers.max()) + 1)[numbers]
        columns = columns[:, 1:] if columns.shape[1] == 2 else columns
    else:
        columns = y[:, None]
    return np.asarray((columns - columns.mean(0)) / np.maximum(columns.std(0), 1e-12))


def _leak(x: Array, y: Array, classes: bool, random: np.random.Generator) -> tuple[int, float]:
    """The feature that tells most of the target, and how much: 1 is all of it.

    Classes: sorted by that feature, ties at random, how seldom the class changes from row to row against what chance
    gives. Numbers: the largest |correlation|.
    """
    if not classes:
        correlations = np.abs(x.T @ _columns(y, classes)[:, 0]) / len(x)
        return int(correlations.argmax()), float(correlations.max())
    shuffled = random.permutation(len(x))
    shares = np.unique(y, return_counts=True)[1] / len(y)
    expected = (len(y) - 1) * (1 - float(np.square(shares).sum()))
    purities = []
    for column in x[shuffled].T:
        ordered = y[shuffled][np.argsort(column, kind="stable")]
        purities.append(1 - float((ordered[1:] != ordered[:-1]).sum()) / expected)
    return int(np.argmax(purities)), max(purities)


def _neighbour_z(x: Array, y: Array, classes: bool, random: np.random.Generator) -> float:
    squares = np.square(x).sum(1)
    distances = squares[:, None] + squares[None, :] - 2 * (x @ x.T)
    np.fill_diagonal(distances, math.inf)
    nearest = distances.argmin(1)

    def agreement(values: Array) -> float:
        if classes:
            return float((values == values[nearest]).mean())
        return -float(np.abs(values - values[nearest]).mean())

    shuffled = np.array([agreement(random.permutation(y)) for _ in range(SHUFFLES)])
    return (agreement(y) - float(shuffled.mean())) / max(float(shuffled.std()), 1e-12)


def _correlation_excess(x: Array, y: Array, classes: bool) -> float:
    """√n · max |r| − √(2 ln d): the second is what the largest of d chance correlations comes to."""
    columns = _columns(y, classes)
    largest = float(np.abs(x.T @ columns).max()) / len(x)
    return math.sqrt(len(x)) * largest - math.sqrt(2 * math.log(max(2, x.shape[1] * columns.shape[1])))
