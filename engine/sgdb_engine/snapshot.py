"""A workload as it is now, kept in memory, and put back bit for bit."""

import copy
import random
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import numpy as np
import torch

from sgdb_engine.workload import Workload


@contextmanager
def restored(workload: Workload) -> Iterator[None]:
    """Whatever the block does to the workload and to the random generators is undone, also when it raises.

    Kept: parameters, buffers, gradients, train/eval modes, optimizer and schedule state, the state of Python's,
    NumPy's and PyTorch's generators on all devices, and those of the train loader.
    """
    undo = [
        _model(workload.model),
        _optimizer(workload.optimizer),
        random_state(),
        *_generators(workload.train),
    ]
    if workload.schedule is not None:
        undo.append(_schedule(workload.schedule))
    with ExitStack() as stack:
        for put_back in undo:
            stack.callback(put_back)
        yield


@contextmanager
def random_state_kept() -> Iterator[None]:
    """The generators of Python, NumPy and PyTorch are afterwards as they were before."""
    put_back = random_state()
    try:
        yield
    finally:
        put_back()


def _model(model: torch.nn.Module) -> Callable[[], None]:
    modules = [(m, m.training, dict(m._parameters), dict(m._buffers)) for m in model.modules()]
    tensors = [*model.parameters(), *model.buffers()]
    values = [tensor.detach().clone() for tensor in tensors]
    gradients = [(p, p.requires_grad, None if p.grad is None else p.grad.clone()) for p in model.parameters()]

    def put_back() -> None:
        for module, training, parameters, buffers in modules:
            module.training = training
            _set(module._parameters, parameters)  # what was replaced or added, not only what was changed
            _set(module._buffers, buffers)
        with torch.no_grad():
            for tensor, value in zip(tensors, values, strict=True):
                tensor.copy_(value)
        for parameter, trainable, gradient in gradients:
            parameter.requires_grad_(trainable)
            parameter.grad = gradient

    return put_back


def _optimizer(optimizer: torch.optim.Optimizer) -> Callable[[], None]:
    # not by load_state_dict, which casts moments to the type of their weights
    state = {parameter: copy.deepcopy(values) for parameter, values in optimizer.state.items()}
    groups = [
        (
            group,
            {key: list(value) if key == "params" else copy.deepcopy(value) for key, value in group.items()},
        )
        for group in optimizer.param_groups
    ]

    def put_back() -> None:
        _set(optimizer.state, state)
        for group, kept in groups:
            _set(group, kept)
        optimizer.param_groups[:] = [group for group, _ in groups]

    return put_back


def _set(target: Any, content: Any) -> None:
    target.clear()
    target.update(content)


def _schedule(schedule: Any) -> Callable[[], None]:
    kept = copy.deepcopy(schedule.state_dict())
    optimizer = schedule.optimizer
    counted = getattr(optimizer, "_step_count", None), getattr(optimizer, "_opt_called", None)

    def put_back_counts() -> None:
        schedule.load_state_dict(kept)
        for name, value in zip(("_step_count", "_opt_called"), counted, strict=True):
            if value is not None:
                setattr(optimizer, name, value)

    return put_back_counts


def random_state() -> Callable[[], None]:
    """Keeps the generators of Python, NumPy and PyTorch; returns what puts them back, as often as it is called."""
    python, numpy, torch_state = random.getstate(), np.random.get_state(), torch.get_rng_state()
    cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else []  # type: ignore[no-untyped-call]

    def put_back() -> None:
        random.setstate(python)
        np.random.set_state(numpy)
        torch.set_rng_state(torch_state)
        if cuda:
            torch.cuda.set_rng_state_all(cuda)

    return put_back


def _generators(loader: Any) -> list[Callable[[], None]]:
    return [_generator(generator) for generator in loader_generators(loader)]


def loader_generators(loader: Any) -> list[torch.Generator]:
    """The generators of its own from which a loader draws the order of its batches."""
    samplers = [loader, getattr(loader, "sampler", None), getattr(loader, "batch_sampler", None)]
    samplers.append(getattr(samplers[2], "sampler", None))
    found = {id(g): g for s in samplers if isinstance(g := getattr(s, "generator", None), torch.Generator)}
    return list(found.values())


def _generator(generator: torch.Generator) -> Callable[[], None]:
    state = generator.get_state()

    def put_back() -> None:
        generator.set_state(state)

    return put_back
