"""The data sets of a config, by name."""

from collections.abc import Callable
from typing import Any

from sgdb_engine.workload.datasets.bundled import breast_cancer, diabetes, digits, wine
from sgdb_engine.workload.datasets.examples import Examples, Wanted
from sgdb_engine.workload.datasets.images import cifar10, mnist
from sgdb_engine.workload.datasets.placed import placed_digits
from sgdb_engine.workload.datasets.points import five_points, spirals
from sgdb_engine.workload.datasets.tables import from_csv, from_npz
from sgdb_engine.workload.datasets.text import text

DATASETS: dict[str, Callable[[Wanted[Any]], Examples]] = {
    "five_points": five_points,
    "digits": digits,
    "placed_digits": placed_digits,
    "wine": wine,
    "breast_cancer": breast_cancer,
    "diabetes": diabetes,
    "spirals": spirals,
    "text": text,
    "csv": from_csv,
    "npz": from_npz,
    "mnist": mnist,
    "cifar10": cifar10,
}
