"""Holding a minibatch still while somebody's loop goes on: at the loader, else at the model's and the loss's doors."""

import time
from collections.abc import Callable
from typing import Any

import torch
from torch.utils.data import dataloader

from sgdb_engine.observe.losses import LOSS_FUNCTIONS
from sgdb_engine.observe.patches import Patches
from sgdb_engine.snapshot import random_state
from sgdb_engine.witness.first_step import Changed, FirstStep, cloned, digest, mapped


class Still:
    """From now on every step is given the first step's data. For a child process: there is no way back."""

    def __init__(self, first: FirstStep, change: Changed = lambda tensor: tensor) -> None:
        """`change` is done to every tensor that is given."""
        self.changes: list[int] = []
        """Calls of the model whose input was not that of the first step, after all that was done about it."""
        self.before_call: Callable[[], None] = lambda: None
        """Told before each call of the model with gradients."""
        self._first, self._change = first, change
        self._models = {id(module) for module, _, _ in first.calls}
        self._given = [
            (mapped(cloned(args), change), mapped(cloned(kwargs), change)) for _, args, kwargs in first.calls
        ]
        self._wanted = [digest(given) for given in self._given]
        self._targets = [change(target.detach().clone()) for target in first.targets]
        self._rewinds = first.iterator is None and not first.targets
        """The loss is computed by hand from what the script draws: it draws the same each time."""
        self._put_back_random: Callable[[], None] | None = None
        self._drawn: bytes | None = None
        self._call = self._loss = self._depth = 0
        self.calls = 0

    def install(self) -> None:
        """Over the observer's own wrappers, so that it sees what is given."""
        patches = Patches()
        first = self._first
        if first.iterator is not None:
            leave_workers_alone(first.iterator)
            patches.replace(dataloader._BaseDataLoaderIter, "__next__", self._hold_batch)
        for kind in {type(module) for module, _, _ in first.calls}:
            patches.replace(kind, "__call__", self._hold_input)
        for name in LOSS_FUNCTIONS:
            if hasattr(torch.nn.functional, name):
                patches.replace(torch.nn.functional, name, self._hold_target)

    def next_step(self) -> None:
        """An update is made: the sequence of calls begins anew."""
        self._call = self._loss = 0

    @property
    def is_still(self) -> bool:
        """Whether the model was given the same in each step."""
        return not self.changes

    def _hold_batch(self, original: Any) -> Any:
        first, change = self._first, self._change
        source = id(first.iterator._dataset)

        def fetch(iterator: Any) -> Any:
            if id(iterator._dataset) != source:
                return original(iterator)
            return mapped(cloned(first.batch), change)

        return fetch

    def _hold_input(self, original: Any) -> Any:
        def call(module: Any, *args: Any, **kwargs: Any) -> Any:
            if self._depth or id(module) not in self._models:
                return original(module, *args, **kwargs)
            if not torch.is_grad_enabled():  # an evaluation, on data of its own
                return original(module, *mapped(args, self._change), **mapped(kwargs, self._change))
            self.calls += 1
            self.before_call()
            if self._rewinds:
                return self._drawn_again(original, module, args, kwargs)
            place = self._call
            self._call += 1
            if place < len(self._given):
                if digest((args, kwargs)) != self._wanted[place]:
                    args, kwargs = cloned(self._given[place])
            else:
                self.changes.append(self.calls)
            self._depth += 1
            try:
                return original(module, *args, **kwargs)
            finally:
                self._depth -= 1

        return call

    def _drawn_again(self, original: Any, module: Any, args: Any, kwargs: Any) -> Any:
        """The random numbers after a call of the model are those after the first one, so the next batch is, too."""
        found = digest((args, kwargs))
        if self._drawn is not None and self._drawn != found and self.calls > 2:
            self.changes.append(self.calls)
        self._drawn = found
        self._depth += 1
        try:
            return original(module, *mapped(args, self._change), **mapped(kwargs, self._change))
        finally:
            self._depth -= 1
            if self._put_back_random is None:
                self._put_back_random = random_state()
            else:
                self._put_back_random()

    def _hold_target(self, original: Any) -> Any:
        def loss(*args: Any, **kwargs: Any) -> Any:
            if self._depth:
                return original(*args, **kwargs)
            if not torch.is_grad_enabled():
                return original(*mapped(args, self._change), **mapped(kwargs, self._change))
            place = self._loss
            self._loss += 1
            if place < len(self._targets):
                if len(args) > 1:
                    args = (args[0], self._targets[place].clone(), *args[2:])
                elif "target" in kwargs:
                    kwargs = {**kwargs, "target": self._targets[place].clone()}
            self._depth += 1
            try:
                return original(*args, **kwargs)
            finally:
                self._depth -= 1

        return loss


def before_calls(first: FirstStep, tell: Callable[[], None]) -> None:
    """Has it told before each call with gradients of the models of the first step. There is no way back."""
    models = {id(module) for module, _, _ in first.calls}

    def wrap(original: Any) -> Any:
        def call(module: Any, *args: Any, **kwargs: Any) -> Any:
            if id(module) in models and torch.is_grad_enabled():
                tell()
            return original(module, *args, **kwargs)

        return call

    for kind in {type(module) for module, _, _ in first.calls}:
        Patches().replace(kind, "__call__", wrap)


class Endless:
    """The loader of the training data begins anew when it is at its end, and does without the parent's workers."""

    def __init__(self, first: FirstStep) -> None:
        self._first = first
        self.waited_s = 0.0
        """For batches."""

    def install(self) -> None:
        """For a child process: there is no way back."""
        iterator = self._first.iterator
        if iterator is None:
            return
        leave_workers_alone(iterator)
        Patches().replace(dataloader._BaseDataLoaderIter, "__next__", self._go_on)

    def _go_on(self, original: Any) -> Any:
        source = id(self._first.iterator._dataset)
        alone = _Alone(self._first.iterator)

        def fetch(iterator: Any) -> Any:
            started = time.perf_counter()
            try:
                if iterator is self._first.iterator and _has_workers(iterator):
                    return alone.fetch()
                return original(iterator)
            except StopIteration:
                if id(iterator._dataset) != source or not hasattr(iterator, "_sampler_iter"):
                    raise
                iterator._sampler_iter = iter(iterator._index_sampler)
                iterator._num_yielded = 0
                return original(iterator)
            finally:
                self.waited_s += time.perf_counter() - started

        return fetch


class _Alone:
    """Fetches what an iterator with workers would, in this process and from the beginning."""

    def __init__(self, iterator: Any) -> None:
        self._iterator = iterator
        self._indices: Any = None
        self._fetcher: Any = None

    def fetch(self) -> Any:
        it = self._iterator
        if self._fetcher is None:
            self._fetcher = dataloader._DatasetKind.create_fetcher(  # type: ignore[no-untyped-call]
                it._dataset_kind, it._dataset, it._auto_collation, it._collate_fn, it._drop_last
            )
        for _ in range(2):
            if self._indices is None:
                self._indices = iter(it._index_sampler)
            index = next(self._indices, None)
            if index is not None:
                return self._fetcher.fetch(index)
            self._indices = None
        raise StopIteration


def _has_workers(iterator: Any) -> bool:
    return isinstance(iterator, dataloader._MultiProcessingDataLoaderIter)


def leave_workers_alone(iterator: Any) -> None:
    """They are the parent's: the child must not end them when it lets go of the iterator."""

    def shut_down(original: Any) -> Any:
        def shut(each: Any) -> None:
            if each is not iterator:
                original(each)

        return shut

    if _has_workers(iterator):
        Patches().replace(dataloader._MultiProcessingDataLoaderIter, "_shutdown_workers", shut_down)
