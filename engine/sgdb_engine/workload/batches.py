"""Examples → shuffled batches on the device."""

import signal
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from sgdb_engine.workload.devices import fits

Batch = tuple[Tensor, Any]
"""Inputs, and the target: a tensor, or of several targets a dict of them by name."""


class InMemory(Dataset[Batch]):
    """Examples as tensors; an index tensor gathers a whole batch at once, on the device."""

    def __init__(self, x: Tensor, targets: Mapping[str, Tensor], device: torch.device) -> None:
        size_bytes = sum(each.numel() * each.element_size() for each in (x, *targets.values()))
        home = device if fits(size_bytes, device) else torch.device("cpu")
        self.x, self.targets = x.to(home), {name: y.to(home) for name, y in targets.items()}
        self.device = device

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, index: Tensor | list[int]) -> Batch:
        chosen = torch.as_tensor(index, device=self.x.device)
        y = {name: target[chosen].to(self.device) for name, target in self.targets.items()}
        return self.x[chosen].to(self.device), y if len(y) > 1 else next(iter(y.values()))


class BatchIndices(Sampler[Tensor]):
    """Index tensors of the batches of one epoch, in a new random order each time if there is a generator."""

    def __init__(self, num_examples: int, batch_size: int, generator: torch.Generator | None) -> None:
        self.num_examples = num_examples
        self.batch_size = batch_size
        self.generator = generator

    def __len__(self) -> int:
        return -(-self.num_examples // self.batch_size)

    def __iter__(self) -> Iterator[Tensor]:
        if self.generator is None:
            order = torch.arange(self.num_examples, device="cpu")
        else:
            order = torch.randperm(self.num_examples, generator=self.generator, device="cpu")
        return iter(torch.split(order, self.batch_size))


class DeviceLoader(DataLoader[Any]):
    """Batches (x, y) of a Dataset of (x, y), y maybe a dict, moved to the device."""

    def __init__(self, dataset: Dataset[Any], *, device: torch.device, **options: Any) -> None:
        super().__init__(dataset, **options)
        self.device = device

    def __iter__(self) -> Iterator[Batch]:  # type: ignore[override]  # DataLoader promises its own iterator class
        for x, y in super().__iter__():
            yield moved((x, y), self.device)


def moved(batch: Batch, device: torch.device) -> Batch:
    """The batch on a device, in single precision."""
    x, y = batch
    if isinstance(y, Mapping):
        return _moved(x, device), {name: _moved(each, device) for name, each in y.items()}
    return _moved(x, device), _moved(y, device)


def _moved(values: Tensor, device: torch.device) -> Tensor:
    return single_precision(values).to(device, non_blocking=True)


def single_precision(values: Tensor) -> Tensor:
    """Python's floats arrive as float64, which no float32 model takes."""
    return values.float() if values.dtype == torch.float64 else values


def unchanged(batch: Any) -> Any:
    """The collate function of batches that are whole already."""
    return batch


def leave_interrupts_to_us(_worker: int) -> None:
    """A terminal sends Ctrl-C to workers too; the run stops in good order only if they live until it does."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def seeded(seed: int) -> torch.Generator:
    """A generator of our own, so that loading draws nothing from the global one."""
    return torch.Generator().manual_seed(seed)


def in_memory_loader(
    examples: InMemory, batch_size: int | str, *, seed: int, shuffle: bool
) -> DataLoader[Batch]:
    """Batches of examples in memory; "full" is one batch of all."""
    size = len(examples) if isinstance(batch_size, str) else batch_size
    indices = BatchIndices(len(examples), size, seeded(seed) if shuffle else None)
    return DataLoader(
        examples, sampler=indices, batch_size=None, collate_fn=unchanged, generator=seeded(seed + 1)
    )
