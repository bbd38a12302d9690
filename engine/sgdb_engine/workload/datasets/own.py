"""The user's own data, by import path."""

import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch.utils.data import Dataset

from sgdb_engine.config.records import OwnData
from sgdb_engine.errors import DataError, TargetError
from sgdb_engine.workload.datasets.arrays import examples_from_arrays
from sgdb_engine.workload.datasets.examples import Examples
from sgdb_engine.workload.importing import call, load_object
from sgdb_engine.workload.losses import Task

Datasets = tuple[Dataset[Any], Dataset[Any] | None]


def own(section: OwnData, folder: Path, seed: int, tasks: Mapping[str, Task]) -> Examples | Datasets:
    """Calls function(**arguments), with seed= too where it takes one.

    It gives arrays or tensors (x, y), which are then split and normalised as the config says, or its own
    split as map-style Datasets (train, val), val maybe None, whose items are (x, y). Of several targets y is a
    dict by name.
    Raises TargetError, DataError.
    """
    spec = section.use or ""
    function = load_object("data.use", spec, folder)
    arguments = dict(section.arguments)
    if "seed" not in arguments and _takes_seed(function):
        arguments["seed"] = seed
    made = call("data.use", spec, function, arguments)
    if not isinstance(made, tuple | list) or len(made) != 2:
        size = f" of {len(made)}" if isinstance(made, tuple | list) else ""
        raise TargetError(
            f'data.use = "{spec}": gave {type(made).__name__}{size}; it must give two things: '
            "arrays (x, y) or torch Datasets (train, val)"
        )
    first, second = made
    if not isinstance(first, Dataset):
        return examples_from_arrays(f'data.use = "{spec}"', first, second, tasks, section.classes)
    if second is not None and not isinstance(second, Dataset):
        raise TargetError(
            f'data.use = "{spec}": gave a Dataset and a {type(second).__name__}; '
            "the second must be a Dataset or None"
        )
    if section.random_labels:
        raise DataError(
            f'data.random_labels = true: works on arrays; "{spec}" gives Datasets, permute them there'
        )
    return first, second


def _takes_seed(function: Any) -> bool:
    try:
        return "seed" in inspect.signature(function).parameters
    except (TypeError, ValueError):
        return False
