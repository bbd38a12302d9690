"""All that the next step depends on: weights, buffers, optimizer, schedule, random generators."""

import random
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from sgdb_engine.errors import CheckpointError


def capture(model: nn.Module, optimizer: Optimizer, schedule: LRScheduler | None = None) -> dict[str, Any]:
    """The state between two steps; keys of the caller's own (epoch, position in it) may be added.

    Its tensors are the live ones: save or copy them before the training goes on. Taken after a forward pass,
    the random generators and the buffers of that step have moved already.
    """
    weights = model.state_dict()
    return {
        "model": dict(weights),
        "model_versions": _plain(getattr(weights, "_metadata", {})),
        "optimizer": optimizer.state_dict(),
        "schedule": None if schedule is None else schedule.state_dict(),
        "random": _random_state(),
        "environment": _environment(),
    }


def restore(
    state: Mapping[str, Any], model: nn.Module, optimizer: Optimizer, schedule: LRScheduler | None = None
) -> tuple[str, ...]:
    """Put a captured state back; `state` stays as it is. Returns why it may go on inexactly; () is exact.

    Raises CheckpointError where the state does not fit, and then changes nothing.
    """
    try:
        _check_fit(state, model, optimizer, schedule)
        weights = OrderedDict(state["model"])
        weights._metadata = OrderedDict(state["model_versions"])  # type: ignore[attr-defined]
        model.load_state_dict(weights)
        _restore_optimizer(optimizer, _copied(state["optimizer"]))
        if schedule is not None:
            schedule.load_state_dict(_copied(state["schedule"]))
        _restore_random(state["random"])
    except (RuntimeError, ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f"The checkpoint does not fit this training: {error}") from error
    return _differences(state["environment"], _environment())


def _check_fit(
    state: Mapping[str, Any], model: nn.Module, optimizer: Optimizer, schedule: LRScheduler | None
) -> None:
    saved, own = state["model"], model.state_dict()
    problems = [f"{name} is not in the checkpoint" for name in own if name not in saved]
    problems += [f"{name} is not in the model" for name in saved if name not in own]
    for name in own:
        if name in saved and _kind(saved[name]) != _kind(own[name]):
            problems.append(f"{name} is {_kind(own[name])} here, {_kind(saved[name])} in the checkpoint")
    sizes = [len(group["params"]) for group in optimizer.param_groups]
    saved_sizes = [len(group["params"]) for group in state["optimizer"]["param_groups"]]
    if sizes != saved_sizes:
        problems.append(f"the optimizer's groups hold {sizes} tensors here, {saved_sizes} in the checkpoint")
    if (schedule is None) != (state["schedule"] is None):
        problems.append("a schedule is on one side only")
    if problems:
        more = f"; and {len(problems) - 5} more" if len(problems) > 5 else ""
        raise CheckpointError(f"The checkpoint does not fit this training: {'; '.join(problems[:5])}{more}.")


def _kind(value: Any) -> str:
    if not isinstance(value, torch.Tensor):
        return type(value).__name__
    return f"{str(value.dtype).removeprefix('torch.')}{list(value.shape)}"


def _restore_optimizer(optimizer: Optimizer, saved: dict[str, Any]) -> None:
    optimizer.load_state_dict(saved)
    # load_state_dict casts state to the dtype of its parameter: float32 moments of bfloat16 weights lose bits
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    numbers = [number for group in saved["param_groups"] for number in group["params"]]
    for parameter, number in zip(parameters, numbers, strict=True):
        for name, value in saved["state"].get(number, {}).items():
            loaded = optimizer.state[parameter][name]
            if isinstance(value, torch.Tensor) and loaded.dtype != value.dtype:
                optimizer.state[parameter][name] = value.to(loaded.device)


def _random_state() -> dict[str, Any]:
    return {
        "python": random.getstate(),
        "numpy": np.random.get_state(legacy=False),
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if _gpu_is_used() else [],
    }


def _restore_random(saved: Mapping[str, Any]) -> None:
    random.setstate(saved["python"])
    np.random.set_state(saved["numpy"])
    torch.set_rng_state(saved["torch"])
    for device, generator_state in enumerate(saved["cuda"][: torch.cuda.device_count()]):
        torch.cuda.set_rng_state(generator_state, device)


def _environment() -> dict[str, Any]:
    """What bits depend on besides the state."""
    return {
        "torch": str(torch.__version__),
        "numpy": np.__version__,
        "threads": torch.get_num_threads(),
        "deterministic algorithms": torch.are_deterministic_algorithms_enabled(),
        "GPUs": _gpu_names(),
    }


def _gpu_names() -> list[str]:
    return (
        [torch.cuda.get_device_name(each) for each in range(torch.cuda.device_count())]
        if _gpu_is_used()
        else []
    )


def _gpu_is_used() -> bool:
    return bool(torch.cuda.is_initialized())  # type: ignore[no-untyped-call]


def _differences(saved: Mapping[str, Any], own: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(
        f"{name}: {saved[name]} then, {own[name]} now"
        for name in own
        if name in saved and saved[name] != own[name]
    )


def _copied(value: Any) -> Any:
    if isinstance(value, torch.Tensor):
        return value.clone()
    if isinstance(value, dict):
        copy = value.copy()
        copy.update((key, _copied(each)) for key, each in value.items())
        return copy
    if isinstance(value, list | tuple):
        return type(value)(_copied(each) for each in value)
    return value


def _plain(metadata: Mapping[str, Any]) -> dict[str, Any]:
    return {name: dict(versions) for name, versions in metadata.items()}
