"""A checked config → model, optimizer, batches, loss: everything that a run needs."""

import math
import random
from pathlib import Path

import numpy as np
import torch
from torch import nn

from sgdb_engine.config.records import BuiltInModel, LossTerm, OwnModel, RunConfig
from sgdb_engine.errors import DataError, TargetError
from sgdb_engine.workload.datasets.examples import Facts
from sgdb_engine.workload.devices import choose_device
from sgdb_engine.workload.fit import check_fit
from sgdb_engine.workload.initialisation import initialise
from sgdb_engine.workload.loading import Loaded, load
from sgdb_engine.workload.losses import build_loss, build_metrics
from sgdb_engine.workload.models import build_model
from sgdb_engine.workload.optimizers import build_optimizer
from sgdb_engine.workload.schedules import Schedule, planned_steps
from sgdb_engine.workload.workload import Workload

EXAMPLES_FOR_INIT = 256
"""That LSUV looks at."""


def build(config: RunConfig, folder: Path) -> Workload:
    """Builds what a config describes, afresh at each call, and seeds the global generators with run.seed.

    Relative paths and the user's modules are looked up in `folder`. Model and batches are on the device.
    Raises ConfigError, DataError, TargetError.
    """
    device = choose_device(config.run.device)
    seed_everything(config.run.seed)
    loaded = load(config, folder, device)
    seed_everything(config.run.seed)
    model = _model(config, loaded, folder, device)
    loss = build_loss(config.loss)
    check_fit(model, loaded.first(2), config.loss, loss, loaded.facts)
    if isinstance(config.model, BuiltInModel):
        initialise(model, config.model.init, loaded.first(EXAMPLES_FOR_INIT)[0])
    total_steps = planned_steps(config.train, len(loaded.train))
    optimizer = build_optimizer(config.optimizer, model.parameters())
    return Workload(
        model=model,
        optimizer=optimizer,
        loss=loss,
        train=loaded.train,
        val=loaded.val,
        schedule=Schedule(config.schedule, optimizer, total_steps, folder),
        metrics=build_metrics(config.loss),
    )


def _model(config: RunConfig, loaded: Loaded, folder: Path, device: torch.device) -> nn.Module:
    heads = {} if isinstance(config.model, OwnModel) else heads_needed(config, loaded.facts)
    model = build_model(config.model, loaded.facts, heads, folder).to(device)
    if not list(model.parameters()):
        raise TargetError(f'model = "{config.model.label}": it has no parameters, so nothing can be trained')
    return model


def seed_everything(seed: int) -> None:
    """Seeds the generators of Python, NumPy and PyTorch (all devices)."""
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)


def heads_needed(config: RunConfig, facts: Facts) -> dict[str, int]:
    """How many numbers a built-in model gives for each target. Raises DataError where that is not known."""
    return {term.target: _outputs_needed(config, term, facts) for term in config.loss}


def _outputs_needed(config: RunConfig, term: LossTerm, facts: Facts) -> int:
    target = facts.targets[term.target]
    if term.name == "binary_cross_entropy":
        return 1
    if term.name != "cross_entropy":
        return math.prod(target.shape)
    if target.classes is None:
        raise DataError(
            f'data.use = "{config.data.label}": how many classes are there? '
            "Give the Dataset a list `classes`, or the config data.classes"
        )
    return target.classes
