"""Where the observer is let in: wrappers around what every PyTorch training calls. All are undone on leaving."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch

from sgdb_engine.observe.by_hand import ByHand
from sgdb_engine.observe.clipping import Clipping
from sgdb_engine.observe.collectives import Collectives
from sgdb_engine.observe.loaders import Loaders
from sgdb_engine.observe.losses import Validation
from sgdb_engine.observe.models import Models
from sgdb_engine.observe.observer import Observer, clock, is_compiling, this_thread
from sgdb_engine.observe.owners import Owners
from sgdb_engine.observe.patches import Function, Patches, hide_from_compilers, unseen_by_compilers
from sgdb_engine.observe.pictures import Pictures
from sgdb_engine.observe.readback import has_values
from sgdb_engine.observe.scaling import Scaling
from sgdb_engine.observe.told import Told
from sgdb_engine.observe.updates import Updates, watch
from sgdb_engine.ranks.place import own_place
from sgdb_engine.recording.writer import Recorder
from sgdb_engine.witness.witness import ON_HOST_STEPS, Witness


@contextmanager
def observe(
    recorder: Recorder,
    *,
    budget: float = 0.02,
    safe_point: Callable[[int], None] = lambda step: None,
    told: Told = Told(),  # noqa: B008  (frozen)
    any_thread: bool = False,
    ranks: int = 1,
    seen_whole: int = ON_HOST_STEPS,
    probing: bool = False,
) -> Iterator[Observer]:
    """Observes all training that the calling thread does until the block is left.

    Args:
        recorder: takes the rows; its methods must not block.
        budget: share of the step time that measurements may cost: 0 for none, 1 for all of them in every step.
        safe_point: called with the number of completed steps before each update; may wait, and may raise to stop
            what is not an `Exception`.
        told: who is told what else there is to say.
        ranks: how many processes train together; above 1 they measure the same steps, and their waiting is told apart.
        any_thread: the first thread that trains is the one that is observed, whichever it is.
        seen_whole: the first steps that the witness sees whole.
        probing: it takes its time.
    """
    patches = Patches()
    models = Models(patches, Owners())
    observer = Observer(recorder, budget, safe_point, told, models.names_of, ranks)
    observer.may_move = any_thread
    if probing:
        observer.pictures = Pictures(observer, recorder, 0.0)
    found = told.found if own_place().rank == 0 else lambda finding: None  # the ranks would all say the same
    observer.witness = Witness(
        models.names_of,
        models.optimizers,
        found,
        observer.guard,
        lambda: setattr(observer.rows, "urgent", budget > 0),
        steps=seen_whole,
        probing=probing,
    )
    observer.rows.following = observer.witness.following
    observer.rows.looks_for_nonfinite = not probing
    installed = _Installed(observer, models, ranks)
    try:
        installed.install(patches)
        yield observer
    finally:
        installed.end()
        patches.remove()
        observer.finish()


class _Installed:
    """All that watches, and what watches the backward."""

    def __init__(self, observer: Observer, models: Models, ranks: int) -> None:
        self._observer = observer
        self._models = models
        self._ranks = ranks
        self._loaders = Loaders(observer)
        self._updates = Updates(observer, models)
        self._by_hand = ByHand(observer, models, self._updates)
        self._validation = Validation(observer, self._loaders)

    def install(self, patches: Patches) -> None:
        observer, models = self._observer, self._models
        observer.rows.validated = observer.told.validated
        observer.has_clipped, observer.expect = self._by_hand.clipped, models.expect
        models.before_training_call = self._before_training_call
        models.install(observer)
        patches.undo_by(watch(self._updates))
        self._loaders.install(patches)
        patches.replace(torch.autograd, "backward", self._backward)
        Clipping(observer).install(patches)
        Scaling(observer).install(patches)
        if self._ranks > 1:
            Collectives(observer).install(patches)
        models.evaluated = self._validation.evaluated
        self._validation.install(patches)

    def end(self) -> None:
        """Nothing more comes: what is under way is over."""
        self._by_hand.look()
        self._observer.guarded("epochs", self._loaders.end)
        self._observer.guarded("validation loss", self._validation.end)

    def _before_training_call(self, training: bool) -> None:
        """A model is about to be called with gradients, in training or in eval mode."""
        self._by_hand.look()
        if training:
            self._observer.guarded("validation loss", self._validation.end)

    def _backward(self, original: Function) -> Function:
        observer = self._observer

        @unseen_by_compilers
        def backward(tensors: Any, *args: Any, **kwargs: Any) -> Any:
            if is_compiling() or (observer.thread != this_thread() and not observer.claim()):
                return original(tensors, *args, **kwargs)
            if observer.inside == "backward":  # reentrant activation checkpointing
                return original(tensors, *args, **kwargs)
            if not observer.quick:
                return self._timed_backward(original, tensors, args, kwargs)
            within = observer.inside
            observer.inside = observer.phase = "backward"
            try:
                result = original(tensors, *args, **kwargs)
            finally:
                observer.inside, observer.phase = within, "after backward"
            observer.went_quickly_backward(tensors)
            return result

        return backward

    @unseen_by_compilers
    def _timed_backward(self, original: Function, tensors: Any, args: Any, kwargs: Any) -> Any:
        observer = self._observer
        observer.guarded("compilers", hide_from_compilers)
        if _is_a_rehearsal(tensors):
            return original(tensors, *args, **kwargs)
        self._by_hand.look()
        observer.guarded("validation loss", self._validation.went_backward)
        observer.guarded("findings", observer.witness.backward_begins, tensors)
        if self._ranks > 1 and self._models.any_waits_in_backward():
            observer.own_work_ends()
        within = observer.inside
        observer.inside = observer.phase = "backward"
        started = clock()
        try:
            result = original(tensors, *args, **kwargs)
        finally:
            observer.inside, observer.phase = within, "after backward"
        observer.guarded("loss", observer.went_backward, tensors, clock() - started)
        self._by_hand.went_backward(tensors)
        self._updates.after_backward()
        return result


def _is_a_rehearsal(tensors: Any) -> bool:
    """Whether it is done with what only stands for tensors; places in the graph (`GradientEdge`) are none."""
    each = (tensors,) if isinstance(tensors, torch.Tensor) else tensors
    return not all(has_values(one) for one in each if isinstance(one, torch.Tensor))
