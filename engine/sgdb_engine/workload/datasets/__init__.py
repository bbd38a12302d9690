"""The data sets of a config, by name."""

from collections.abc import Callable
from typing import Any

from sgdb_engine.workload.datasets.bundled import breast_cancer, diabetes, digits, wine
from sgdb_engine.workload.datasets.examples import Examples, Wanted
from sgdb_engine.workload.datasets.points import five_points, spirals

DATASETS: dict[str, Callable[[Wanted[Any]], Examples]] = {
    "five_points": five_points,
    "digits": digits,
    "wine": wine,
    "breast_cancer": breast_cancer,
    "diabetes": diabetes,
    "spirals": spirals,
}
