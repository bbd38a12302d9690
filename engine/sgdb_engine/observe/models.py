"""Finds the models, and watches their calls."""

import contextlib
import sys
import types
import weakref
from collections.abc import Callable, Sequence
from typing import Any

import torch

from sgdb_engine.events import RunDescribed, TensorShape
from sgdb_engine.observe.collectives import waits_in_backward, waits_in_forward
from sgdb_engine.observe.measurements import unique
from sgdb_engine.observe.observer import NOBODY, Observer, clock, is_compiling, this_thread
from sgdb_engine.observe.owners import Owners, names_in, variable_for
from sgdb_engine.observe.patches import Function, Patches, unseen_by_warnings
from sgdb_engine.observe.trainee import Trainee, parameters_of

PATIENCE = 3
"""Updates within which the model of an optimizer is looked for; from then on it is one that is never called."""
LONGEST_SEARCH = 20
"""Steps within which the models of optimizers are looked for that have not stepped yet."""


class Root:
    """A module with parameters that was called from outside of any other; held weakly."""

    def __init__(self, module: torch.nn.Module, name: str) -> None:
        self.reference = weakref.ref(module)
        self.name = name
        self.trained = False
        """Whether an optimizer updates some of its parameters."""

    @property
    def module(self) -> torch.nn.Module | None:
        """None when the script let go of it."""
        return self.reference()


class Models:
    """A model is an outermost module that owns what an optimizer updates.

    Until the first update every outermost call of a module is watched; from then on only those of the models' own
    classes are, since a wrapper around every call costs on every module. Nothing is registered on the user's objects.
    """

    def __init__(self, patches: Patches, owners: Owners) -> None:
        self.roots: dict[int, Root] = {}
        self.observer: Observer
        """Set before anything is installed."""
        self.before_training_call: Callable[[bool], None] = lambda training: None
        """Told before a model is called with gradients, and whether it is in training mode."""
        self.evaluated: Callable[[bool], None] | None = None
        """Told before each call for an evaluation, and whether that is certain: made without gradients."""
        self._patches = patches
        self._owners = owners
        self._discovery = Patches()
        self._searching = True
        self._watched_classes: set[type] = set()
        self._optimizers: weakref.WeakSet[Any] = weakref.WeakSet()
        """All that were made since."""
        self._described: tuple[TensorShape, ...] = ()

    def __reduce__(self) -> Any:
        """As the observer, see there."""
        return types.SimpleNamespace, (), {"thread": NOBODY}

    def install(self, observer: Observer) -> None:
        """Opens the discovery window."""
        self.observer = observer
        observer.ranges.prefix_of = self._prefix_of
        self._patches.undo_by(self._owners.listen())
        self._patches.replace(torch.optim.Optimizer, "__init__", self._optimizer_made)
        self._open()
        self._patches.undo_by(self._discovery.remove)

    def _open(self) -> None:
        self._discovery.replace(torch.nn.Module, "__call__", self._discover)

    def _optimizer_made(self, original: Function) -> Function:
        optimizers = self._optimizers

        def init(optimizer: Any, *args: Any, **kwargs: Any) -> None:
            original(optimizer, *args, **kwargs)
            with contextlib.suppress(Exception):
                optimizers.add(optimizer)
                self.observer.witness.made(optimizer)

        return init

    def expect(self, models: Sequence[torch.nn.Module], optimizers: Sequence[Any]) -> None:
        """The user names models and optimizers: they are some, whether they were used yet or not."""
        for optimizer in optimizers:
            self._optimizers.add(optimizer)
        for module in models:
            if id(module) not in self.roots:
                self._add(module, sys._getframe(1))

    def any_waits_in_backward(self) -> bool:
        """Whether a model's gradients are averaged over ranks in the backward that begins."""
        return any(waits_in_backward(root.module) for root in self.roots.values() if root.module is not None)

    # -- before an update -------------------------------------------------------------------------------

    def settle(self, trainee: Trainee) -> None:
        """An optimizer is about to update: which model is its own? Known, the discovery window is closed."""
        if trainee.settled:
            return
        self.observer.trainees.forget_the_ended(self.observer.step)
        trainees = self.observer.trainees.all
        trainee.update.follow(trainee.parameters())
        self._find_model_of(trainee)
        trainee.settled = trainee.root is not None or trainee.updates >= PATIENCE
        if trainee.settled and trainee.root is None:
            self.observer.told.noted(
                "The model is never called as model(input), so its inputs and outputs are not observed"
            )
        if all(each.settled for each in trainees) and not self._others_may_come():
            self._stop_searching()
        elif not self._searching:  # another training begins
            self._searching = True
            self._open()
        if len(trainees) > 1:
            _name(trainees)
        for each in trainees:
            each.update.rename()
        self._describe()
        self.observer.settled = len(trainees) == 1 and trainee.settled and not trainee.is_free

    def _find_model_of(self, trainee: Trainee) -> None:
        updated = {id(p) for p in trainee.parameters()}
        overlap = {root: self._overlap(root, updated) for root in self.roots.values()}
        best = max(overlap, key=lambda root: overlap[root], default=None)
        if best is None or not overlap[best]:
            return
        trainee.root = best
        to_be_updated = updated | {id(p) for optimizer in self._optimizers for p in parameters_of(optimizer)}
        for root in overlap:
            # others too, but not parts of the best one that were called by themselves
            trained = self._overlap(root, to_be_updated) and (root is best or not self._is_part(root, best))
            root.trained |= bool(trained)

    def _others_may_come(self) -> bool:
        """Whether an optimizer was made whose model was not called yet, as the generator of a GAN may be."""
        if self.observer.step >= LONGEST_SEARCH:
            return False
        roots = list(self.roots.values())
        return any(
            not any(self._overlap(root, {id(p) for p in parameters_of(optimizer)}) for root in roots)
            for optimizer in list(self._optimizers)
        )

    def optimizers(self) -> list[Any]:
        """All that were made since, and that live."""
        return list(self._optimizers)

    def has_optimizer(self, parameter: torch.Tensor) -> bool:
        """Whether one of PyTorch's was made that is to update it."""
        return any(
            parameter is each for optimizer in list(self._optimizers) for each in parameters_of(optimizer)
        )

    def _overlap(self, root: Root, wanted: set[int]) -> int:
        module = root.module
        return 0 if module is None else sum(id(p) in wanted for p in module.parameters())

    def _is_part(self, root: Root, whole: Root) -> bool:
        mine, its = (
            {id(p) for p in each.module.parameters()} if each.module is not None else set()
            for each in (root, whole)
        )
        return mine <= its

    def _stop_searching(self) -> None:
        self._searching = False
        self._discovery.remove()
        self.roots = {
            key: root for key, root in self.roots.items() if root.trained
        }  # a teacher is not our business

    def _describe(self) -> None:
        told = self.observer.told.described
        parameters = [p for trainee in self.observer.trainees.all for p in trainee.parameters()]
        if told is None or not parameters:
            return
        tensors = tuple(
            TensorShape(name, tuple(p.shape), str(p.dtype).removeprefix("torch."), p.requires_grad)
            for name, p in zip(unique(self.names_of(parameters)), parameters, strict=True)
        )
        if tensors != self._described:
            self._described = tensors
            trainable = sum(p.numel() for p in parameters if p.requires_grad)
            told(RunDescribed(device=str(parameters[0].device), parameters=trainable, tensors=tensors))

    # -- names ------------------------------------------------------------------------------------------

    def names_of(self, parameters: Sequence[torch.Tensor]) -> list[str]:
        """PyTorch's names in the outermost module that owns a parameter; `param.<i>` where nobody is known to."""
        names = names_in(self._tops(parameters))
        return [names.get(id(p), f"param.{i}") for i, p in enumerate(parameters)]

    def _tops(self, parameters: Sequence[torch.Tensor]) -> list[tuple[str, torch.nn.Module]]:
        """The outermost modules that own some of these, with a name where one has several."""
        wanted = {id(p) for p in parameters}
        tops: dict[int, tuple[str, torch.nn.Module]] = {}
        for root in self.roots.values():
            if root.module is not None and self._overlap(root, wanted):
                top = self._owners.top_of(root.module)
                tops.setdefault(id(top), (root.name, top))
        for parameter in parameters:
            top = self._owners.top_of(parameter)
            if isinstance(top, torch.nn.Module):
                tops.setdefault(id(top), (variable_for(top, None), top))
        trained = [root for root in self.roots.values() if root.trained and root.module is not None]
        several = (
            len({id(self._owners.top_of(root.module)) for root in trained if root.module is not None}) > 1
        )
        return [(name if several else "", top) for name, top in tops.values()]

    def _prefix_of(self, model: int) -> str | None:
        root = self.roots.get(model)
        if root is None:
            return "" if model == NOBODY else None
        leader = self.observer.trainees.leader
        if root is leader.root:
            return ""
        return f"{root.name}." if root.trained else None

    # -- calls ------------------------------------------------------------------------------------------

    def _discover(self, original: Function) -> Function:
        def call(module: torch.nn.Module, *args: Any, **kwargs: Any) -> Any:
            if is_compiling() or not self.observer.here() or self.observer.inside:
                return original(module, *args, **kwargs)
            self.observer.guarded("names", self._consider, module, sys._getframe(1))
            # closed meanwhile: a compiler that is at work within would compile again when the window closes for good
            self._discovery.remove()
            try:
                if id(module) not in self.roots:
                    return original(module, *args, **kwargs)
                return self._observed(original, module, args, kwargs)
            finally:
                if self._searching:
                    self._open()

        return call

    def _consider(self, module: torch.nn.Module, caller: types.FrameType) -> None:
        if id(module) in self.roots or not torch.is_grad_enabled():
            return
        if next(iter(module.parameters()), None) is None:  # it may have been made to return a list
            return
        self._add(module, caller)

    def _add(self, module: torch.nn.Module, caller: types.FrameType | None) -> None:
        while caller is not None and caller.f_globals.get("__name__", "").startswith("sgdb_engine."):
            caller = caller.f_back
        self.observer.called_models.add(type(module).__name__)
        taken = [root.name for root in self.roots.values() if root.module is not None]
        self.roots[id(module)] = Root(module, unique([*taken, variable_for(module, caller)])[-1])
        if type(module) not in self._watched_classes:
            self._watched_classes.add(type(module))
            self._patches.replace(type(module), "__call__", self._watch)

    def _watch(self, original: Function) -> Function:
        models, observer = self, self.observer

        def call(module: torch.nn.Module, *args: Any, **kwargs: Any) -> Any:
            if is_compiling() or observer.thread != this_thread() or observer.inside:
                return original(module, *args, **kwargs)
            root = models.roots.get(id(module))
            if root is None or root.reference() is not module:
                return original(module, *args, **kwargs)
            if observer.quick and module.training and torch.is_grad_enabled():
                observer.inside = observer.phase = "forward"
                observer.inputs, observer.model = args or kwargs, id(module)
                try:
                    return original(module, *args, **kwargs)
                finally:
                    observer.inside = ""
            if not observer.here():
                return original(module, *args, **kwargs)
            return models._observed(original, module, args, kwargs)

        return call

    @unseen_by_warnings
    def _observed(self, original: Function, module: torch.nn.Module, args: Any, kwargs: Any) -> Any:
        observer, with_gradients = self.observer, torch.is_grad_enabled()
        observer.calls += 1
        if with_gradients:
            self.before_training_call(module.training)
            _look_inside(observer, module)
        if not (with_gradients and module.training):
            observer.quick = False  # an evaluation, perhaps
            if self.evaluated is not None:
                observer.guarded("validation loss", self.evaluated, not with_gradients)
        if waits_in_forward(module):
            observer.own_work_ends()
        observer.inside = observer.phase = "forward"
        ours, started = observer.guard.held + observer.guard.measured, clock()
        try:
            output = original(module, *args, **kwargs)
        finally:
            observer.inside = ""
            _look_no_more(observer)
        seconds = clock() - started - (observer.guard.held + observer.guard.measured - ours)
        if with_gradients:
            inputs = {**dict(enumerate(args)), **kwargs} if kwargs else args
            observer.guarded("model", observer.called, id(module), inputs, output, seconds, module.training)
        else:
            observer.guarded("model", observer.evaluated)
        root = self.roots.get(id(module))  # the search may have ended within the call
        trained = root is not None and root.trained
        observer.guarded(
            "findings", observer.witness.called, module, args, kwargs, output, trained, observer.step
        )
        return output


def _look_inside(observer: Observer, module: torch.nn.Module) -> None:
    """At the call that is about to be made: in the first steps, and in those that are measured."""
    if observer.witness.looks:
        observer.guarded("findings", observer.witness.before_call, module)
    elif observer._sampled:
        observer.guard.measure("findings", observer.witness.before_call, module)
    if observer._sampled:
        observer.guarded("histograms", observer.pictures.distributions.before_call, module)


def _look_no_more(observer: Observer) -> None:
    """The call is over: what was put in for it is taken out, even if looking has failed and is off."""
    try:
        observer.pictures.distributions.after_call()
        observer.witness.after_call()
    except Exception as error:
        observer.failed("findings", error)


def _name(trainees: Sequence[Trainee]) -> None:
    """By their models; optimizers of the same model by their class."""
    roots = {id(trainee.root) for trainee in trainees if trainee.root is not None}
    wanted = [
        trainee.root.name if trainee.root is not None and len(roots) == len(trainees) else trainee.kind
        for trainee in trainees
    ]
    for trainee, name in zip(trainees, unique(wanted), strict=True):
        trainee.name = name
