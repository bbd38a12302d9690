"""DataLoaders: how long a batch is waited for, and when all training data were seen once more."""

from collections import Counter
from typing import Any

from torch.utils.data import dataloader

from sgdb_engine.observe.observer import Observer, clock, is_compiling, this_thread
from sgdb_engine.observe.patches import Function, Patches


class Loaders:
    """Watches the iterators of all DataLoaders, those of subclasses and of wrappers that call them included."""

    def __init__(self, observer: Observer) -> None:
        self._observer = observer
        self._counts = observer.told.epoch_ended is not None or observer.told.validated is not None
        self._dataset = 0
        """`id` of the Dataset of the newest batch, until its loader is at its end."""
        self._step_at_fetch = 0
        self._trained_on: set[int] = set()
        """Datasets whose batches an update followed."""
        self._began: dict[int, tuple[int, int | None]] = {}
        """Iterator by `id` → steps completed before its first batch, and how many batches it has, if it says so."""
        self._full: tuple[int, int] | None = None
        """Dataset by `id`, and steps before the first batch, of an iterator that has given its last one."""
        self._epochs: Counter[int] = Counter()
        self._told = 0

    def install(self, patches: Patches) -> None:
        """From now on."""
        patches.replace(dataloader._BaseDataLoaderIter, "__next__", self._fetch)

    @property
    def gave_training_data(self) -> bool:
        """The newest batch is of data that is trained on, and no update was made since it came."""
        return self._observer.step == self._step_at_fetch and self._dataset in self._trained_on

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
            if loaders._counts:
                try:
                    loaders._fetched(iterator)
                except Exception as error:
                    loaders._counts = False
                    observer.failed("epochs", error)
            return batch

        return fetch

    def _fetched(self, iterator: Any) -> None:
        step, dataset = self._observer.step, id(iterator._dataset)
        if self._full is not None:
            self.end()
        if iterator._num_yielded == 1:
            self._began[id(iterator)] = step, _length_of(iterator)
        self._note_training(step)
        self._dataset, self._step_at_fetch = dataset, step
        began, length = self._began.get(id(iterator), (step, None))
        if iterator._num_yielded == length:
            self._full = dataset, began

    def end(self) -> None:
        """No more is asked of the loader that gave its last batch, by whoever knows how many there are."""
        full, self._full = self._full, None
        if full is not None:
            self._pass_ended(*full)

    def _note_training(self, step: int) -> None:
        if step > self._step_at_fetch and self._dataset:
            self._trained_on.add(self._dataset)

    def _at_its_end(self, iterator: Any) -> None:
        step = self._observer.step
        self._note_training(step)
        self._dataset, self._full = 0, None
        began, _ = self._began.pop(id(iterator), (step, None))
        self._pass_ended(id(iterator._dataset), began)

    def _pass_ended(self, dataset: int, began: int) -> None:
        observer = self._observer
        if observer.step == began or observer.told.epoch_ended is None:
            return
        self._epochs[dataset] += 1
        if self._epochs[dataset] > self._told:
            self._told = self._epochs[dataset]
            observer.flush()
            observer.told.epoch_ended(self._told)


def _length_of(iterator: Any) -> int | None:
    try:
        return len(iterator)
    except TypeError:  # of a stream
        return None
