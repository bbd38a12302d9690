"""[data] → loaders of training and validation batches, and what a model must fit."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import DataLoader, Dataset, default_collate

from sgdb_engine.config.records import OwnData, RunConfig
from sgdb_engine.errors import DataError
from sgdb_engine.workload.batches import (
    Batch,
    DeviceLoader,
    InMemory,
    in_memory_loader,
    leave_interrupts_to_us,
    seeded,
    single_precision,
)
from sgdb_engine.workload.datasets import DATASETS
from sgdb_engine.workload.datasets.arrays import kind_of
from sgdb_engine.workload.datasets.checked import check_examples, check_targets
from sgdb_engine.workload.datasets.examples import Examples, Facts, Wanted, facts_of
from sgdb_engine.workload.datasets.own import Datasets, own
from sgdb_engine.workload.datasets.splitting import split
from sgdb_engine.workload.losses import task_of


@dataclass(frozen=True)
class Loaded:
    train: DataLoader[Any]
    val: DataLoader[Any] | None
    facts: Facts
    sample: Batch
    """Two training examples (one where there is only one), on the device."""


def load(config: RunConfig, folder: Path, device: torch.device) -> Loaded:
    """Reads, splits and normalises the data of a config. Raises DataError, TargetError, ConfigError."""
    section, seed, task = config.data, config.run.seed, task_of(config.loss)
    if not isinstance(section, OwnData):
        wanted = Wanted(section=section, folder=folder, seed=seed, task=task)
        return _in_memory(config, DATASETS[section.name or ""](wanted), device)
    found = own(section, folder, seed, task)
    if isinstance(found, Examples):
        return _in_memory(config, found, device)
    return _own_datasets(config, section, found, device)


def _in_memory(config: RunConfig, examples: Examples, device: torch.device) -> Loaded:
    origin = f'data = "{config.data.label}"'
    check_examples(origin, examples, config.loss)
    parts = split(examples, config.data, config.run.seed)
    size, seed = config.train.batch_size, config.run.seed
    train = InMemory(*parts.train, device)
    val = None if parts.val is None else InMemory(*parts.val, device)
    return Loaded(
        train=in_memory_loader(train, size, seed=seed, shuffle=True),
        val=None if val is None else in_memory_loader(val, size, seed=seed, shuffle=False),
        facts=facts_of(examples),
        sample=train[list(range(min(2, len(train))))],
    )


def _own_datasets(config: RunConfig, section: OwnData, datasets: Datasets, device: torch.device) -> Loaded:
    train, val = datasets
    origin = f'data.use = "{section.use}"'
    for name, dataset in (("training", train), ("validation", val)):
        if dataset is not None and not _length(dataset):
            raise DataError(f"{origin}: the {name} Dataset is empty or does not tell its length")
    x, y = _sample(origin, train)
    classes = _classes(section, train) if task_of(config.loss) == "classes" else None
    if classes is not None:
        check_targets(origin, classes, config.loss)
    return Loaded(
        train=_loader(config, section, train, device, shuffle=True),
        val=None if val is None else _loader(config, section, val, device, shuffle=False),
        facts=Facts(kind_of(x), tuple(x.shape[1:]), tuple(y.shape[1:]), classes),
        sample=(x.to(device), y.to(device)),
    )


def _loader(
    config: RunConfig, section: OwnData, dataset: Dataset[Any], device: torch.device, *, shuffle: bool
) -> DeviceLoader:
    size = config.train.batch_size
    return DeviceLoader(
        dataset,
        device=device,
        batch_size=_length(dataset) if isinstance(size, str) else size,
        shuffle=shuffle,
        generator=seeded(config.run.seed),
        num_workers=section.workers,
        multiprocessing_context="forkserver" if section.workers else None,
        worker_init_fn=leave_interrupts_to_us,
        persistent_workers=section.workers > 0,
        pin_memory=device.type == "cuda",
    )


def _length(dataset: Dataset[Any]) -> int:
    try:
        return len(dataset)  # type: ignore[arg-type]  # map-style Datasets have a length, Dataset promises none
    except TypeError:
        return 0


def _sample(origin: str, dataset: Dataset[Any]) -> Batch:
    try:
        batch = default_collate([dataset[index] for index in range(min(2, _length(dataset)))])
    except Exception as error:
        raise DataError(
            f"{origin}: no batch can be made of its items: {type(error).__name__}: {error}"
        ) from error
    if not isinstance(batch, list | tuple) or len(batch) != 2 or not all(map(torch.is_tensor, batch)):
        raise DataError(f"{origin}: an item of the Dataset must be (x, y), both arrays, tensors or numbers")
    return single_precision(batch[0]), single_precision(batch[1])


def _classes(section: OwnData, dataset: Dataset[Any]) -> int | None:
    """As the config says, else as the Dataset does in the way of torchvision: a list `classes`."""
    names = getattr(dataset, "classes", None)
    return section.classes or (len(names) if isinstance(names, list | tuple) else None)
