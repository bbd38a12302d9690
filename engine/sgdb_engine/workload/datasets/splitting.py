"""Examples → what is trained on and what is held out."""

from dataclasses import dataclass

import torch
from torch import Tensor

from sgdb_engine.config.records import DataSection
from sgdb_engine.errors import DataError
from sgdb_engine.workload.datasets.examples import Examples


@dataclass(frozen=True)
class Split:
    """Inputs and targets, by name, of both parts; the held-out part is None where nothing is held out."""

    train: tuple[Tensor, dict[str, Tensor]]
    val: tuple[Tensor, dict[str, Tensor]] | None


def split(examples: Examples, section: DataSection, seed: int) -> Split:
    """Draws the held-out part by the seed, then normalises and permutes labels as the config says.

    Raises DataError where there is too little to split.
    """
    x = examples.x
    generator = torch.Generator().manual_seed(seed)
    order = torch.randperm(len(x), generator=generator)
    num_val = _held_out(len(x), section)
    train, val = order[num_val:], order[:num_val]
    targets = {name: target.values for name, target in examples.targets.items()}
    if section.normalise and examples.kind != "tokens":
        x = normalised(x, x[train])
        numbers = {name: y for name, y in targets.items() if examples.targets[name].classes is None}
        targets |= {name: normalised(y, y[train]) for name, y in numbers.items()}
    labels = train
    if section.random_labels:
        labels = train[torch.randperm(len(train), generator=generator)]
    return Split(
        train=(x[train], {name: y[labels] for name, y in targets.items()}),
        val=(x[val], {name: y[val] for name, y in targets.items()}) if num_val else None,
    )


def _held_out(num_examples: int, section: DataSection) -> int:
    if section.validation == 0:
        return 0
    num_val = max(1, round(num_examples * section.validation))
    if num_val >= num_examples:
        raise DataError(
            f"data.validation = {section.validation:g}: of {num_examples} examples {num_val} would be held "
            "out and none left to train on; give more examples, or validation = 0"
        )
    return num_val


def normalised(values: Tensor, train: Tensor) -> Tensor:
    """Mean 0 and standard deviation 1 on `train`, by its finite values: (N, F) per column, (N, C, H, W) per
    channel, else over all. What is constant is only centred."""
    dims = {2: (0,), 4: (0, 2, 3)}.get(values.ndim, tuple(range(values.ndim)))
    finite = train.isfinite()
    count = finite.sum(dim=dims, keepdim=True).clamp(min=1)
    mean = train.where(finite, 0.0).sum(dim=dims, keepdim=True, dtype=torch.float64) / count
    centred = (train - mean.float()).where(finite, 0.0)
    deviation = ((centred**2).sum(dim=dims, keepdim=True, dtype=torch.float64) / count).sqrt()
    scale = deviation.where(deviation > 1e-6 * mean.abs(), 1.0)
    return (values - mean.float()) / scale.float()
