"""A workload as it is now, kept in memory, and put back bit for bit."""

import copy
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
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
    undo = [_model(workload.model), _stateful(workload.optimizer), _random(), *_generators(workload.train)]
    if workload.schedule is not None:
        undo.append(_schedule(workload.schedule))
    try:
        yield
    finally:
        for put_back in undo:
            put_back()


def _model(model: torch.nn.Module) -> Callable[[], None]:
    tensors = [*model.parameters(), *model.buffers()]
    values = [tensor.detach().clone() for tensor in tensors]
    gradients = [None if p.grad is None else p.grad.detach().clone() for p in model.parameters()]
    modes = [(module, module.training) for module in model.modules()]

    def put_back() -> None:
        with torch.no_grad():
            for tensor, value in zip(tensors, values, strict=True):
                tensor.copy_(value)
        for parameter, gradient in zip(model.parameters(), gradients, strict=True):
            parameter.grad = gradient
        for module, training in modes:
            module.training = training

    return put_back


def _stateful(part: Any) -> Callable[[], None]:
    kept = copy.deepcopy(part.state_dict())
    return lambda: part.load_state_dict(kept)


def _schedule(schedule: Any) -> Callable[[], None]:
    put_back = _stateful(schedule)
    optimizer = schedule.optimizer
    counted = getattr(optimizer, "_step_count", None), getattr(optimizer, "_opt_called", None)

    def put_back_counts() -> None:
        put_back()
        for name, value in zip(("_step_count", "_opt_called"), counted, strict=True):
            if value is not None:
                setattr(optimizer, name, value)

    return put_back_counts


def _random() -> Callable[[], None]:
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
    samplers = [loader, getattr(loader, "sampler", None), getattr(loader, "batch_sampler", None)]
    samplers.append(getattr(samplers[2], "sampler", None))
    found = {id(g): g for s in samplers if isinstance(g := getattr(s, "generator", None), torch.Generator)}
    return [_generator(generator) for generator in found.values()]


def _generator(generator: torch.Generator) -> Callable[[], None]:
    state = generator.get_state()

    def put_back() -> None:
        generator.set_state(state)

    return put_back
