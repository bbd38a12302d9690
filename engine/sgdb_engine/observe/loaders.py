"""DataLoaders: how long a batch is waited for, and when all training data were seen once more."""

import contextlib
import weakref
from typing import Any

from torch.utils.data import RandomSampler, SequentialSampler, dataloader

from sgdb_engine.observe.observer import Observer, clock, is_compiling, this_thread
from sgdb_engine.observe.patches import Function, Patches

TAKE_ALL = (RandomSampler, SequentialSampler, dataloader._InfiniteConstantSampler)
"""Samplers that leave nothing out."""
NOTHING = 0
"""No object has this identity."""


class Loaders:
    """Watches the iterators of all DataLoaders, those of subclasses and of wrappers that call them included."""

    def __init__(self, observer: Observer) -> None:
        self._observer = observer
        self._counts = observer.told.epoch_ended is not None or observer.told.validated is not None
        self.used = False
        """Whether any batch came from one."""
        self._sources = Sources()
        self._source = NOTHING
        """Of the newest batch, until its loader is at its end."""
        self._step_at_fetch = 0
        self._began: dict[int, tuple[int, int | None]] = {}
        """Iterator by `id` → steps completed before its first batch, and how many batches it has, if it says so."""
        self._full: tuple[int, int] | None = None
        """Source, and steps before the first batch, of an iterator that has given its last one."""
        self._told = 0

    def install(self, patches: Patches) -> None:
        """From now on."""
        patches.replace(dataloader._BaseDataLoaderIter, "__next__", self._fetch)

    @property
    def gave_training_data(self) -> bool:
        """The newest batch is of data that is trained on, and no update was made since it came."""
        return self._observer.step == self._step_at_fetch and self.is_within_training_data

    @property
    def is_within_training_data(self) -> bool:
        """The newest batch is of data that is trained on, and more of them will come."""
        return self._source in self._sources.trained

    def _fetch(self, original: Function) -> Function:
        loaders, observer = self, self._observer

        def fetch(iterator: Any) -> Any:
            if is_compiling() or observer.thread != this_thread():
                return original(iterator)
            quick, started = observer.quick, clock()
            observer.phase = "data"
            try:
                batch = original(iterator)
            except StopIteration:
                observer.guarded("epochs", loaders._at_its_end, iterator)
                raise
            finally:
                observer.phase = "between steps"
            if not (quick and observer.quick):
                observer.guarded("data", observer.fetched, clock() - started)
                observer.guarded("findings", observer.witness.fetched, iterator, batch)
            if loaders._counts:
                try:
                    loaders._fetched(iterator)
                except Exception as error:
                    loaders._counts = False
                    observer.failed("epochs", error)
            return batch

        return fetch

    def _fetched(self, iterator: Any) -> None:
        step, source = self._observer.step, self._sources.known(_source_of(iterator))
        if self._full is not None:
            self.end()
        if iterator._num_yielded == 1:
            self._began[id(iterator)] = step, _length_of(iterator)
        self._note_training(step)
        self.used, self._source, self._step_at_fetch = True, source, step
        began, length = self._began.get(id(iterator), (step, None))
        if iterator._num_yielded == length:
            self._full = source, began

    def end(self) -> None:
        """No more is asked of the loader that gave its last batch, by whoever knows how many there are."""
        full, self._full = self._full, None
        if full is not None:
            self._pass_ended(*full)

    def _note_training(self, step: int) -> None:
        if step > self._step_at_fetch and self._source:
            self._sources.trained.add(self._source)

    def _at_its_end(self, iterator: Any) -> None:
        step = self._observer.step
        self._note_training(step)
        self._source, self._full = NOTHING, None
        began, _ = self._began.pop(id(iterator), (step, None))
        self._pass_ended(self._sources.known(_source_of(iterator)), began)

    def _pass_ended(self, source: int, began: int) -> None:
        observer = self._observer
        if observer.step == began or observer.told.epoch_ended is None:
            return
        passes = self._sources.passed(source)
        if passes > self._told:
            self._told = passes
            observer.flush()
            observer.told.epoch_ended(self._told)


class Sources:
    """What batches are drawn from, by `id`, as long as it lives: a data set, or a part of one."""

    def __init__(self) -> None:
        self.trained: set[int] = set()
        """Those whose batches an update followed."""
        self._living: dict[int, Any] = {}
        self._passes: dict[int, int] = {}
        self._passes_of_the_gone = 0
        """One that is made anew for each epoch takes up where the last one ended."""

    def known(self, source: Any) -> int:
        """Its identity, from now on until it is gone."""
        key = id(source)
        if key not in self._living:
            self._living[key] = None
            with contextlib.suppress(
                TypeError
            ):  # a list has no weak reference; it lives as long as its script
                self._living[key] = weakref.ref(source, lambda _: self._gone(key))
        return key

    def passed(self, key: int) -> int:
        """It was gone through once more: how often that makes."""
        if key not in self._passes:
            self._passes[key], self._passes_of_the_gone = self._passes_of_the_gone, 0
        self._passes[key] += 1
        return self._passes[key]

    def _gone(self, key: int) -> None:
        self._living.pop(key, None)
        self.trained.discard(key)
        self._passes_of_the_gone = max(self._passes_of_the_gone, self._passes.pop(key, 0))


def _source_of(iterator: Any) -> Any:
    """The data set; where a sampler of another kind may choose a part of it, that sampler."""
    sampler = getattr(iterator._index_sampler, "sampler", iterator._index_sampler)
    takes_all = sampler is None or type(sampler) in TAKE_ALL
    return iterator._dataset if takes_all else sampler


def _length_of(iterator: Any) -> int | None:
    try:
        return len(iterator)
    except TypeError:  # of a stream
        return None
