"""Law 1 on scripts of strangers: after some steps every weight, optimizer state and random stream is the same, bit for
bit, with and without sgdb."""

import hashlib
import multiprocessing
import os
import random
import runpy
import sys
import threading
import traceback
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sklearn.datasets  # so that the forked children need not
import sklearn.model_selection
import sklearn.preprocessing  # noqa: F401
import torch
from torch.optim.optimizer import register_optimizer_step_post_hook

from sgdb_engine.observe.hooks import observe
from sgdb_engine.observe.told import Told

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore:This process")]

SCRIPTS = sorted((Path(__file__).parent / "corpus").glob("*.py"))
STEPS = 40
BUDGETS = (None, 0.02, 1.0)
"""None: not observed."""


class Deaf:
    """In place of a recorder."""

    def __init__(self) -> None:
        self.failed: list[Any] = []
        self.scalars = self.block = self.tensors = self.picture = lambda *_: None

    def event(self, event: Any) -> None:
        self.failed.append(event)


class Enough(BaseException):
    """So many steps are done."""


def state_after(script: Path, budget: float | None) -> tuple[str, int, list[str]]:
    """A digest of all that the training made, the steps that the observer saw, and what failed in it."""
    optimizers: dict[int, torch.optim.Optimizer] = {}
    done = 0

    def stepped(optimizer: torch.optim.Optimizer, *_: Any) -> None:
        nonlocal done
        optimizers[id(optimizer)] = optimizer
        done += 1
        if done == STEPS:
            raise Enough

    recorder: Any = Deaf()
    told = Told(described=lambda _: None, epoch_ended=lambda _: None, validated=lambda _: None)
    watching = nullcontext() if budget is None else observe(recorder, budget=budget, told=told)
    with watching as observer:
        register_optimizer_step_post_hook(stepped)  # after ours: the step is complete for both
        with suppress(Enough):
            runpy.run_path(str(script), run_name="__main__")
        digest = digest_of(list(optimizers.values()))
    return digest, observer.step if observer else done, [str(event) for event in recorder.failed]


def digest_of(optimizers: list[torch.optim.Optimizer]) -> str:
    digest = hashlib.blake2b()
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            for p in group["params"]:
                tensors = [
                    p,
                    p.grad,
                    *(v for v in optimizer.state[p].values() if isinstance(v, torch.Tensor)),
                ]
                for tensor in tensors:
                    if tensor is not None:
                        digest.update(
                            tensor.detach().reshape(-1).contiguous().view(torch.uint8).numpy().tobytes()
                        )
            digest.update(repr(group["lr"]).encode())
    digest.update(torch.get_rng_state().numpy().tobytes())
    digest.update(repr((random.getstate(), np.random.get_state())).encode())
    return digest.hexdigest()


def in_a_child(script: Path, budget: float | None) -> tuple[str, int, list[str]]:
    """A forked child each: as fresh as a process of its own, but torch is loaded."""
    receiver, sender = multiprocessing.Pipe(duplex=False)
    child = os.fork()
    if child == 0:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        sys.argv = [str(script)]
        random.seed(0)
        np.random.seed(0)
        try:
            sender.send(state_after(script, budget))
        except BaseException:
            traceback.print_exc()
        os._exit(0)
    sender.close()
    killer = threading.Timer(100, os.kill, (child, 9))
    killer.start()
    try:
        result: tuple[str, int, list[str]] = receiver.recv()
    finally:
        os.waitpid(child, 0)
        killer.cancel()
    return result


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.stem)
def test_a_script_computes_the_same_bits_with_and_without_us(script: Path) -> None:
    plain, *observed = [in_a_child(script, budget) for budget in BUDGETS]
    assert plain[1] == STEPS
    for digest, steps, failed in observed:
        assert failed == []
        assert digest == plain[0]
        assert steps == STEPS
