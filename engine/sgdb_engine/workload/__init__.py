"""Building blocks for configs: data sets, models, losses, optimizers, schedules."""

from sgdb_engine.workload.build import build
from sgdb_engine.workload.devices import choose_device
from sgdb_engine.workload.importing import load_object
from sgdb_engine.workload.losses import WeightedLoss
from sgdb_engine.workload.schedules import misfits, planned_lr, planned_steps
from sgdb_engine.workload.workload import Workload

__all__ = [
    "WeightedLoss",
    "Workload",
    "build",
    "choose_device",
    "load_object",
    "misfits",
    "planned_lr",
    "planned_steps",
]
