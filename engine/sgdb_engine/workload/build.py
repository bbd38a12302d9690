"""A checked config → model, optimizer, batches, loss: everything that a run needs."""

import random
from pathlib import Path

import numpy as np
import torch

from sgdb_engine.config.records import RunConfig
from sgdb_engine.workload.batches import InMemory, in_memory_loader
from sgdb_engine.workload.datasets import DATASETS
from sgdb_engine.workload.datasets.examples import Facts, Wanted, facts_of
from sgdb_engine.workload.datasets.splitting import split
from sgdb_engine.workload.devices import choose_device
from sgdb_engine.workload.losses import build_loss, build_metrics, task_of
from sgdb_engine.workload.models import build_model
from sgdb_engine.workload.optimizers import build_optimizer
from sgdb_engine.workload.schedules import build_schedule, planned_steps
from sgdb_engine.workload.workload import Workload


def build(config: RunConfig, folder: Path) -> Workload:
    """Builds what a config describes, afresh at each call, and seeds the global generators with run.seed.

    Relative paths and the user's modules are looked up in `folder`. Model and batches are on the device.
    Raises ConfigError, DataError, TargetError.
    """
    device = choose_device(config.run.device)
    seed_everything(config.run.seed)
    wanted = Wanted(section=config.data, folder=folder, seed=config.run.seed, task=task_of(config.loss))
    examples = DATASETS[config.data.name or ""](wanted)
    facts = facts_of(examples)
    parts = split(examples, config.data, config.run.seed)
    seed_everything(config.run.seed)
    model = build_model(config.model, facts, outputs_needed(config, facts), folder).to(device)
    size = config.train.batch_size
    train = in_memory_loader(InMemory(*parts.train, device), size, seed=config.run.seed, shuffle=True)
    val = None
    if parts.val is not None:
        val = in_memory_loader(InMemory(*parts.val, device), size, seed=config.run.seed, shuffle=False)
    optimizer = build_optimizer(config.optimizer, model.parameters())
    return Workload(
        model=model,
        optimizer=optimizer,
        loss=build_loss(config.loss),
        train=train,
        val=val,
        schedule=build_schedule(config.schedule, optimizer, planned_steps(config.train, len(train))),
        metrics=build_metrics(config.loss),
    )


def seed_everything(seed: int) -> None:
    """Seeds the generators of Python, NumPy and PyTorch (all devices)."""
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)


def outputs_needed(config: RunConfig, facts: Facts) -> int:
    """How many numbers the model gives for one target."""
    name = config.loss[0].name
    if name == "binary_cross_entropy":
        return 1
    if facts.classes is not None:
        return facts.classes
    return facts.y_shape[0]
