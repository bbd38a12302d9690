"""The training loop, prose from top to bottom."""

import itertools
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch

from sgdb_engine import balance
from sgdb_engine.config.records import TrainSection
from sgdb_engine.errors import DataError
from sgdb_engine.noise_scale import EVERY as NOISE_EVERY
from sgdb_engine.noise_scale import NoiseScale
from sgdb_engine.observe.observer import Observer
from sgdb_engine.workload import Workload
from sgdb_engine.workload.losses import WeightedLoss
from sgdb_engine.workload.schedules import tell_update, tell_validation


@dataclass(frozen=True, slots=True)
class Plan:
    """How long a workload is trained, in the units of the loop; None for what is not known, or has no end."""

    epochs: int | None
    steps: int | None
    steps_per_epoch: int | None


def plan(workload: Workload, train: TrainSection) -> Plan:
    """Epochs and optimizer steps that are asked for; an epoch's last step may have fewer micro-batches."""
    batches = number_of_batches(workload)
    steps_per_epoch = None if batches is None else max(1, -(-batches // train.accumulate))
    if train.steps is not None:
        epochs = None if steps_per_epoch is None else -(-train.steps // steps_per_epoch)
        return Plan(epochs, train.steps, steps_per_epoch)
    if train.epochs is None or steps_per_epoch is None:
        return Plan(train.epochs, None, steps_per_epoch)
    return Plan(train.epochs, train.epochs * steps_per_epoch, steps_per_epoch)


def number_of_batches(workload: Workload) -> int | None:
    """In one pass; None where the batches do not tell, such as those of a stream."""
    try:
        return len(workload.train)  # type: ignore[arg-type]  # not all have a length
    except TypeError:
        return None


def train_workload(
    workload: Workload,
    train: TrainSection,
    observer: Observer,
    *,
    epoch_ended: Callable[[int], None],
    validated: Callable[[dict[str, float]], None],
    enough: Callable[[int], bool] = lambda _: False,
) -> None:
    """Trains to the planned end, or until it is enough, validating after each epoch.

    Raises:
        DataError: an epoch had no batch.

    Args:
        workload: what is trained; its tensors are on their device.
        train: how long, in what precision, with what accumulation and clipping.
        observer: is given the terms of the loss and the validation metrics; sees the rest through its hooks.
        epoch_ended: told each completed epoch, counted from 1.
        validated: told the metrics of each validation pass.
        enough: told each epoch when it is over, validation and all; True ends the training.
    """
    planned = plan(workload, train)
    noise = NoiseScale()
    for epoch in count_to(planned.epochs):
        workload.model.train()
        batches = iter(workload.train)
        for step in count_to(planned.steps_per_epoch):
            if observer.step == planned.steps:
                break
            micro_batches = list(itertools.islice(batches, train.accumulate))
            if not micro_batches:
                _refuse_empty(epoch, step)
                epoch_ended(epoch)
                break
            update(workload, train, micro_batches, observer, noise)
        else:
            epoch_ended(epoch)
        if workload.val is not None:
            metrics = validate(workload, train)
            tell_validation(workload.schedule, metrics["val/loss"])
            observer.log_now(metrics)
            validated(metrics)
        if enough(epoch):
            break


def count_to(last: int | None) -> Iterable[int]:
    """1, 2, … up to `last`, or for ever."""
    return itertools.count(1) if last is None else range(1, last + 1)


def _refuse_empty(epoch: int, step: int) -> None:
    if step == 1:
        again = (
            ""
            if epoch == 1
            else "; train must be something that can be gone through again, such as a DataLoader"
        )
        raise DataError(f"train gave no batch in epoch {epoch}{again}")


def update(
    workload: Workload,
    train: TrainSection,
    micro_batches: list[Any],
    observer: Observer,
    noise: NoiseScale,
) -> None:
    """One optimizer step: the gradient of one batch, or the mean of as many micro-batches as are accumulated."""
    count = len(micro_batches)
    looks_at_noise = count > 1 and observer.step % NOISE_EVERY == 0
    terms: dict[str, Any] = {}
    for number, batch in enumerate(micro_batches):
        with autocast(workload, train):
            loss = loss_of(workload, batch)
        for name, value in terms_of(workload).items():
            terms[name] = terms.get(name, 0.0) + value / count
        if number == 0:
            _log_balance(workload, observer)
        (loss / count if count > 1 else loss).backward()  # type: ignore[no-untyped-call]
        if number == 0 and looks_at_noise:
            observer.guarded("noise scale", noise.first_batch_seen, workload.model, count)
    if looks_at_noise:
        observer.guarded("noise scale", _log_noise, workload, micro_batches, observer, noise)
    if terms:
        observer.logged.add({f"train/{name}": value for name, value in terms.items()})
    if train.clip_norm is not None:
        torch.nn.utils.clip_grad_norm_(workload.model.parameters(), train.clip_norm)
    workload.optimizer.step()
    tell_update(workload.schedule)
    workload.optimizer.zero_grad()


def _log_noise(workload: Workload, micro_batches: list[Any], observer: Observer, noise: NoiseScale) -> None:
    scale = noise.step_seen(workload.model, [batch_size(batch) for batch in micro_batches])
    if scale is not None:
        observer.logged.add({"grad_noise_scale": scale})


def terms_of(workload: Workload) -> dict[str, torch.Tensor]:
    """Term → its part of the last loss, detached and without its weight; of a loss that has no terms none."""
    terms: dict[str, torch.Tensor] = getattr(workload.loss, "terms", {})
    return terms


def _log_balance(workload: Workload, observer: Observer) -> None:
    loss = workload.loss
    if isinstance(loss, WeightedLoss) and len(loss.weighted) > 1 and balance.is_due(observer.step):
        observer.guarded("balance", _look_at_balance, loss.weighted, workload, observer)


def _look_at_balance(weighted: dict[str, torch.Tensor], workload: Workload, observer: Observer) -> None:
    shares = balance.gradient_shares(weighted, workload.model.parameters())
    observer.logged.add({f"grad_share/{name}": share for name, share in shares.items()})


def loss_of(workload: Workload, batch: Any) -> torch.Tensor:
    """The scalar that is minimised, of one batch."""
    if workload.step is not None:
        return workload.step(workload.model, batch)
    assert workload.loss is not None
    x, y = batch
    return workload.loss(workload.model(x), y)


@torch.no_grad()
def validate(workload: Workload, train: TrainSection) -> dict[str, float]:
    """Mean loss and metrics over the validation set, by rows; the model is left in eval mode."""
    workload.model.eval()
    sums: dict[str, torch.Tensor] = {}
    rows = 0
    assert workload.val is not None
    for batch in workload.val:
        size = batch_size(batch)
        for name, value in _evaluate(workload, train, batch).items():
            sums[name] = sums.get(name, torch.zeros((), device=value.device)) + value.detach().double() * size
        rows += size
    return {
        f"val/{name}": total.item() / rows for name, total in sums.items()
    }  # waits for the device, once an epoch


def _evaluate(workload: Workload, train: TrainSection, batch: Any) -> dict[str, torch.Tensor]:
    with autocast(workload, train):
        if workload.step is not None or workload.loss is None:
            return {"loss": loss_of(workload, batch)}
        x, y = batch
        output = workload.model(x)
        values = {"loss": workload.loss(output, y), **terms_of(workload)}
    return values | {name: metric(output, y) for name, metric in workload.metrics.items()}


def batch_size(batch: Any) -> int:
    """Rows of the first tensor found in a batch; 1 where there is none."""
    if isinstance(batch, torch.Tensor):
        return batch.shape[0] if batch.ndim else 1
    if isinstance(batch, dict):
        batch = list(batch.values())
    if isinstance(batch, (list, tuple)) and batch:
        return batch_size(batch[0])
    return 1


def autocast(workload: Workload, train: TrainSection) -> AbstractContextManager[Any]:
    """The precision that the config asks for."""
    if train.precision == "fp32":
        return nullcontext()
    device = next(workload.model.parameters()).device
    return torch.autocast(device.type, dtype=torch.bfloat16)
