"""scikit-learn's bundled data sets."""

import importlib
from typing import Any

import torch

from sgdb_engine.config.records import DataSection, DigitsData
from sgdb_engine.errors import DataError
from sgdb_engine.workload.datasets.examples import Examples, Wanted, with_target


def digits(wanted: Wanted[DigitsData]) -> Examples:
    """1797 handwritten digits of 8 × 8 pixels, 10 classes."""
    x, y = _load("digits", "load_digits")
    pixels = torch.as_tensor(x, dtype=torch.float32).reshape(-1, 1, 8, 8)
    return with_target(
        x=pixels * (wanted.section.pixel_range / 16),
        y=torch.as_tensor(y, dtype=torch.int64),
        kind="images",
        classes=10,
    )


def wine(_: Wanted[DataSection]) -> Examples:
    """178 wines by 13 chemical measures on very different scales, 3 classes."""
    return _classes("wine", "load_wine", 3)


def breast_cancer(_: Wanted[DataSection]) -> Examples:
    """569 tumours by 30 measures, 2 classes."""
    return _classes("breast_cancer", "load_breast_cancer", 2)


def diabetes(_: Wanted[DataSection]) -> Examples:
    """442 patients by 10 measures; the progress of the disease one year later, a number from 25 to 346."""
    x, y = _load("diabetes", "load_diabetes")
    target = torch.as_tensor(y, dtype=torch.float32).unsqueeze(1)
    return with_target(x=torch.as_tensor(x, dtype=torch.float32), y=target, kind="table")


def _classes(name: str, loader: str, classes: int) -> Examples:
    x, y = _load(name, loader)
    return with_target(
        x=torch.as_tensor(x, dtype=torch.float32),
        y=torch.as_tensor(y, dtype=torch.int64),
        kind="table",
        classes=classes,
    )


def _load(name: str, loader: str) -> tuple[Any, Any]:
    try:
        sets = importlib.import_module("sklearn.datasets")
    except ImportError as error:
        raise DataError(
            f'data.name = "{name}": comes with scikit-learn, which cannot be imported ({error}); '
            "install it with: pip install 'sgdb[samples]'"
        ) from None
    x, y = getattr(sets, loader)(return_X_y=True)
    return x, y
