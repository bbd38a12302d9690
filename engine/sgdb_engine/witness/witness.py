"""Sees the first steps of a training whole, and evaluations as they come; what it saw is `facts()`.

The observer calls it, in the thread that trains; nothing here changes a tensor. Values are read at once, so on a
device only the first few steps are seen.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import msgspec
import torch
from torch import nn

from sgdb_engine.events import Finding
from sgdb_engine.findings.facts import Facts, LossCall, Wiring
from sgdb_engine.findings.following import Following
from sgdb_engine.findings.live import Live
from sgdb_engine.findings.wiring import MANY_BACKWARDS
from sgdb_engine.observe.guard import Guard
from sgdb_engine.observe.measurements import tensors_in
from sgdb_engine.observe.statistics import local_part
from sgdb_engine.witness.evaluations import Evaluations
from sgdb_engine.witness.examples import Examples, data_of
from sgdb_engine.witness.first_losses import FirstLosses
from sgdb_engine.witness.first_signals import FirstSignals
from sgdb_engine.witness.first_step import FirstStep, cloned
from sgdb_engine.witness.graph import has_own_values
from sgdb_engine.witness.places import place_of_call
from sgdb_engine.witness.structure import Seen, layers_of, starts_with_norm, wiring_of
from sgdb_engine.witness.without_gradients import WithoutGradients
from sgdb_engine.witness.workers import Workers

ON_HOST_STEPS = 24
ON_DEVICE_STEPS = 3
"""How many steps are seen whole: on a device each of them waits for it."""
TOLD_BY_ROWS = frozenset({"input-nonfinite"})
"""Findings that are made in any step, not in those alone that are seen whole."""
MEASURED_EVERY = 4
"""Of the first steps, each so many-th is measured: short runs would have next to none."""
EARLY_LOOK = 4
"""Steps after which what is exact is told."""
MOST_BACKWARDS = 500
"""In them: a script that never updates is not looked at for ever."""
FEW_ROWS = 0.5
"""Of the usual batch: the loss of so few says little."""


class Witness:
    """What was seen so far."""

    def __init__(
        self,
        names_of: Callable[[Sequence[torch.Tensor]], Sequence[str]],
        optimizers: Callable[[], Iterable[Any]],
        found: Callable[[Finding], None],
        guard: Guard,
        measure_next: Callable[[], None],
        *,
        steps: int = ON_HOST_STEPS,
        probing: bool = False,
    ) -> None:
        """Makes one that has seen nothing.

        Args:
            names_of: the names of parameters.
            optimizers: all that were made.
            found: told what is wrong.
            guard: runs and meters what looks into the model.
            measure_next: has each tensor measured in the next step.
            steps: how many of them are seen whole.
            probing: also what takes longer, such as who is whose nearest neighbour.
        """
        self.steps = 0
        """Updates that were made."""
        self.newest_backward: torch.Tensor | None = None
        """What backward was called on last."""
        self.own_functions: tuple[str, ...] = ()
        """Autograd functions of the user's that the first losses were computed with."""
        self.train = Examples()
        self.first = FirstStep()
        """What the first step was given; kept where it takes its time."""
        self.evaluations = Evaluations()
        self.without_gradients = WithoutGradients()
        self.following = Following()
        self.set_size: int | None = None
        """Rows that the loader of the training data draws from."""
        self.root: nn.Module | None = None
        """The model that was called last with gradients."""
        self.arguments: tuple[tuple[Any, ...], dict[str, Any]] = ((), {})
        """What it was called with."""
        self.losses = FirstLosses()
        self._seen = Seen()
        self.signals = FirstSignals(names_of, guard, self.following.moving, self._seen.reached)
        self._names_of, self._optimizers = names_of, optimizers
        self._last, self._probing, self._measure_next = steps, probing, measure_next
        self._live = Live(found, frozenset() if probing else TOLD_BY_ROWS)
        self._first_backward = True
        """None was made since the last update."""
        self._in_eval_mode = False
        self._ended = False
        self._workers = Workers()
        self._look_again_at = 2 * steps
        """Step, twice the one before each time."""
        self._drawn_from: int | None = None
        self._known: Facts | None = None
        """What the first steps showed, when they are over."""

    @property
    def optimizers(self) -> list[Any]:
        """All that were made or have stepped, and live."""
        return list(
            dict.fromkeys([*self._optimizers(), *self._seen.stepped])
        )  # a config's is made unobserved

    @property
    def newest_calls(self) -> list[LossCall]:
        """Of loss functions, in the newest step."""
        return self.losses.newest

    @property
    def batch_rows(self) -> int:
        """Rows that the model was given at a time."""
        return len(self.train.inputs[0]) if self.train.inputs else 0

    @property
    def first_input(self) -> torch.Tensor | None:
        """The first tensor that the model was called with."""
        return self._first_tensor(*self.arguments)

    @property
    def looks(self) -> bool:
        """Steps are still seen whole."""
        return self.steps < self._last and self._seen.backwards < MOST_BACKWARDS

    # -- what the observer tells ------------------------------------------------------------------------

    def made(self, optimizer: Any) -> None:
        """An optimizer was made."""
        self._seen.made_at[optimizer] = place_of_call(2)
        self._seen.made += 1

    def fetched(self, iterator: Any, batch: Any) -> None:
        """A batch came from this iterator of a loader."""
        self._workers.fetched(iterator, batch)
        if self._probing and not self.steps:
            self.first.iterator, self.first.batch = iterator, cloned(batch)
            if not self._seen.backwards:  # the model may have been called before, to try it
                self.first.calls.clear()
                self.first.targets.clear()
        try:
            self._drawn_from = len(iterator._dataset)
        except TypeError:  # a stream
            self._drawn_from = None

    def before_call(self, module: nn.Module) -> None:
        """An outermost module is about to be called with gradients, in one of the first steps or a measured one."""
        if self._last:
            self.signals.before_call(module, among_the_first=self.looks)

    def after_call(self) -> None:
        """That call is over, or has raised."""
        if self.signals.after_call():
            self._look_again_at = 0

    def called(
        self,
        module: nn.Module,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        output: Any,
        trained: bool,
        step: int,
    ) -> None:
        """An outermost module was called; `trained`: an optimizer updates it; `step`: updates made so far."""
        if torch.is_grad_enabled():
            self.without_gradients.training_goes_on()
            self._in_eval_mode = not module.training and self.without_gradients.has_modes(module)
            if self.looks:
                self.root, self.arguments = module, (args, kwargs)
                if self._probing and not self.steps:
                    self.first.calls.append((module, args, kwargs))
                self._seen.places.setdefault("call", place_of_call(2))
                self._seen.layers = self._seen.layers or tuple(layers_of(module))
                self.signals.called(self.first_input, output, step)
                _wait_less(self, module)
        elif trained and step:
            first = self._first_tensor(args, kwargs) if self._known is None else None
            self.without_gradients.called(module, first, step, on_host=self._on_host(first))

    def evaluated(
        self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any], loss: Any, rows: int, head: int = 0
    ) -> None:
        """A loss was computed in an evaluation; see `Evaluations.add`."""
        self.evaluations.add(name, args, kwargs, loss, rows, head)

    def evaluation_ends(self, step: int) -> None:
        """Training goes on."""
        if self.evaluations.end(step, self.following.take_mean()):
            self.look()

    def end(self) -> None:
        """The training is over."""
        self._ended = True
        self.look()

    def look(self) -> None:
        """At what is known now."""
        self._live.look(self.facts())

    def lost(self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any], value: Any) -> None:
        """A loss function was called with gradients."""
        if not self.looks or not has_own_values(value) or not torch.is_grad_enabled():
            return
        target = self.losses.called(name, args, kwargs, value, place_of_call(2))
        if self._probing and not self.steps and target is not None:
            self.first.targets.append(target)

    def backward_begins(self, losses: Any) -> None:
        """`backward` is called on these."""
        self._seen.backwards += 1
        if not self.looks:
            return
        if self._seen.backwards == MANY_BACKWARDS and not self.steps:
            self.look()
        given = (losses,) if isinstance(losses, torch.Tensor) else losses
        each = [loss for loss in given if has_own_values(loss)]
        if not self._seen.cut_off and any(
            isinstance(loss, torch.Tensor) and not loss.requires_grad for loss in each
        ):
            self._seen.cut_off = True
            self._seen.places.setdefault("backward", place_of_call(2))
            self.look()
        self._seen.places.setdefault("backward", place_of_call(2))
        self.newest_backward = each[0].detach() if each and isinstance(each[0], torch.Tensor) else None
        self.own_functions = self.own_functions or self.signals.unreached.go_through(each)
        self._look_for_leftovers()
        if self._first_backward:
            self.losses.complete(self.first_input, self.root)
            self._take_examples()
        self._first_backward = False

    def clipped(self, before: float, after: float) -> None:
        """Gradients were clipped by value: their norm before, and after."""
        if before > 0:
            self.following.clipped(after / before)

    def before_update(self, optimizer: Any) -> None:
        """An optimizer is about to step."""
        seen = self._seen
        seen.stepped[optimizer] = seen.stepped.get(optimizer, 0) + 1
        if self.signals.unreached.may_be_known(last=self.steps == self._last - 1):
            self.signals.unreached.graphs_are_known(self.optimizers, self.signals.hidden.models)
        self.signals.before_update(optimizer, among_the_first=self.looks)
        if not self.looks:
            return
        if seen.stepped[optimizer] > 1:
            judged, leftover = seen.leftovers.get(optimizer, (0, 0))
            seen.leftovers[optimizer] = judged + 1, leftover + (optimizer not in seen.cleared)
        seen.cleared.discard(optimizer)
        seen.places.setdefault("step", place_of_call(2))
        seen.without_backward += self._first_backward

    def after_update(self, leads: bool, loss: Any) -> None:
        """It has; `leads`: that completes a step, whose unscaled loss was this."""
        self._first_backward = True
        self._seen.eval_updates += self._in_eval_mode
        if not leads:
            return
        if self.looks:
            self.losses.step_ends(loss)
            self._compare_rows()
        self._begin_step()
        self.steps += 1
        if self.steps % MEASURED_EVERY == 0 and self.steps < ON_HOST_STEPS:
            self._measure_next()
        if self.steps in (EARLY_LOOK, self._last) or self._is_time():
            self.look()
        if self.steps == self._last and not self._probing:
            self._let_go()

    def step_is_void(self) -> None:
        """A scaler left out an update: what was seen belongs to no step to come."""
        self._seen.left_out += 1
        self._begin_step()
        if self._seen.left_out.bit_count() == 1:  # where all are left out nobody else looks
            self.look()

    # -- within a step ----------------------------------------------------------------------------------

    def _begin_step(self) -> None:
        self.losses.begin_step()
        self._first_backward = True

    def _is_time(self) -> bool:
        """For a look: seldom, and when there is news of units."""
        if self.steps < self._last or self.following.steps < self._look_again_at:
            return False
        self._look_again_at = 2 * self.following.steps
        return True

    def _compare_rows(self) -> None:
        first = self._first_tensor(*self.arguments)
        rows, usual = 0 if first is None else first.shape[0], self.batch_rows
        if 0 < rows <= usual * FEW_ROWS:
            self.following.few_rows(self.steps + 1)
        elif self.set_size is not None and usual and self._seen.backwards == self.steps + 1:
            last = self.set_size % usual
            if 0 < last <= usual * FEW_ROWS:
                self.following.period = -(-self.set_size // usual)

    def _look_for_leftovers(self) -> None:
        """Whose gradients are cleared before a backward: once between two of its updates is enough."""
        for optimizer in self._seen.stepped:
            if optimizer in self._seen.cleared:
                continue
            held = (p.grad for group in optimizer.param_groups for p in group["params"])
            if not any(
                bool(local_part(g).any()) for g in held if g is not None and g.layout == torch.strided
            ):
                self._seen.cleared.add(optimizer)

    def _take_examples(self) -> None:
        self.set_size = self._drawn_from
        if self.without_gradients.last_step or (
            self.set_size is not None and self.train.rows >= self.set_size
        ):
            return
        first = self._first_tensor(*self.arguments)
        if first is None or not self._on_host(first):
            return
        self.train.add(first, self.losses.target, self.losses.of_classes)

    def _first_tensor(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> torch.Tensor | None:
        found = tensors_in("input", {**dict(enumerate(args)), **kwargs})
        return next((t for t in found.values() if t.ndim), None)

    def _on_host(self, first: torch.Tensor | None) -> bool:
        """Whether its values may be read: elsewhere each reading waits."""
        return first is not None and (first.is_cpu or self.looks)

    # -- what was seen ----------------------------------------------------------------------------------

    def facts(self) -> Facts:
        """So far."""
        known = self._known or self._facts()
        changes: dict[str, Any] = {"step": max(self.steps, self.following.steps)}
        if known.wiring is not None:
            cut, unused = self.signals.unreached.names()
            later = self._seen.later(known.wiring, self.without_gradients.in_train_mode)
            changes["wiring"] = msgspec.structs.replace(later, cut=cut, unused=unused)
        if self.following.steps or self._seen.left_out:
            changes["course"] = self.following.course(self.evaluations.over)
        if self.steps:
            changes["signals"] = self.signals.facts()
            changes["dependencies"] = self.signals.dependencies
        return msgspec.structs.replace(known, **changes)

    def _facts(self) -> Facts:
        """What the first steps alone show."""
        return Facts(
            wiring=self._wiring(),
            losses=self.losses.facts(self.first_input),
            data=data_of(
                self.train,
                self.without_gradients.examples,
                starts_with_norm=self.root is not None and starts_with_norm(self.root),
                set_size=self.set_size,
                probing=self._probing,
                workers=self._workers,
            ),
        )

    def _wiring(self) -> Wiring:
        return wiring_of(
            self._seen,
            self.optimizers,
            self._names_of,
            self.root,
            self.steps,
            self.batch_rows,
            self.without_gradients.in_train_mode,
            self._ended,
        )

    def _let_go(self) -> None:
        """The first steps are over: what they showed is kept in numbers, and nothing of the user's is held."""
        self._known = self._facts()
        self.root, self.arguments, self.newest_backward = None, ((), {}), None
        self.train = Examples()
        self._seen.reached.clear()


def _wait_less(witness: Witness, module: nn.Module) -> None:
    """On a device few steps are seen."""
    parameter = next(module.parameters(), None)
    if parameter is not None and not parameter.is_cpu:
        witness._last = min(witness._last, ON_DEVICE_STEPS)
