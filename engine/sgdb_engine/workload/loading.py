"""[data] → loaders of training and validation batches, and what a model must fit."""

from collections.abc import Callable, Mapping
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
    moved,
    seeded,
)
from sgdb_engine.workload.datasets import DATASETS
from sgdb_engine.workload.datasets.arrays import kind_of, refuse_missing
from sgdb_engine.workload.datasets.checked import check_examples, check_target
from sgdb_engine.workload.datasets.examples import Examples, Facts, TargetFacts, Wanted, facts_of
from sgdb_engine.workload.datasets.own import Datasets, own
from sgdb_engine.workload.datasets.splitting import split
from sgdb_engine.workload.losses import targets_of


@dataclass(frozen=True)
class Loaded:
    train: DataLoader[Any]
    val: DataLoader[Any] | None
    facts: Facts
    first: Callable[[int], Batch]
    """The first so many training examples, or as many as there are, on the device."""


def load(config: RunConfig, folder: Path, device: torch.device) -> Loaded:
    """Reads, splits and normalises the data of a config. Raises DataError, TargetError, ConfigError."""
    section, seed, tasks = config.data, config.run.seed, targets_of(config.loss)
    if not isinstance(section, OwnData):
        wanted = Wanted(section=section, folder=folder, seed=seed, tasks=tasks)
        return _in_memory(config, DATASETS[section.name or ""](wanted), device)
    found = own(section, folder, seed, tasks)
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
        first=lambda count: train[list(range(min(count, len(train))))],
    )


def _own_datasets(config: RunConfig, section: OwnData, datasets: Datasets, device: torch.device) -> Loaded:
    train, val = datasets
    origin = f'data.use = "{section.use}"'
    for name, dataset in (("training", train), ("validation", val)):
        if dataset is not None and not _length(dataset):
            raise DataError(f"{origin}: the {name} Dataset is empty or does not tell its length")
    x, y = _first(origin, train, 2)
    tasks = targets_of(config.loss)
    given = y if isinstance(y, Mapping) else {next(iter(tasks)): y}
    refuse_missing(origin, tasks, given)
    facts = {}
    for name, task in tasks.items():
        classes = _classes(section, train, name) if task == "classes" else None
        facts[name] = TargetFacts(tuple(given[name].shape[1:]), classes)
        if classes is not None:
            for term in config.loss:
                if term.target == name:
                    check_target(origin, classes, term.name)
    return Loaded(
        train=_loader(config, section, train, device, shuffle=True),
        val=None if val is None else _loader(config, section, val, device, shuffle=False),
        facts=Facts(kind_of(x), tuple(x.shape[1:]), facts),
        first=lambda count: moved(_first(origin, train, count), device),
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


def _first(origin: str, dataset: Dataset[Any], count: int) -> Batch:
    try:
        batch = default_collate([dataset[index] for index in range(min(count, _length(dataset)))])
    except Exception as error:
        raise DataError(
            f"{origin}: no batch can be made of its items: {type(error).__name__}: {error}"
        ) from error
    tensors: list[Any] = []
    if isinstance(batch, list | tuple) and len(batch) == 2:
        x, y = batch
        tensors = [x, *(y.values() if isinstance(y, Mapping) else [y])]
    if not tensors or not all(map(torch.is_tensor, tensors)):
        raise DataError(
            f"{origin}: an item of the Dataset must be (x, y), both arrays, tensors or numbers; of several targets y "
            "is a dict of these"
        )
    return moved((x, y), torch.device("cpu"))


def _classes(section: OwnData, dataset: Dataset[Any], target: str) -> int | None:
    """As the config says, else as the Dataset does in the way of torchvision: a list `classes`."""
    names = getattr(dataset, "classes", None)
    said = section.classes.get(target) if isinstance(section.classes, dict) else section.classes
    return said or (len(names) if isinstance(names, list | tuple) else None)
