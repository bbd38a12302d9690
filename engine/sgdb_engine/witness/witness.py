"""Sees the first steps of a training whole, and evaluations as they come; what it saw is `facts()`.

The observer calls it, in the thread that trains; nothing here changes a tensor. Values are read at once, so on a
device only the first few steps are seen.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import msgspec
import torch
from torch import nn

from sgdb_engine.events import Finding
from sgdb_engine.findings.facts import Facts, LossCall, Losses
from sgdb_engine.findings.following import Following
from sgdb_engine.findings.live import Live
from sgdb_engine.findings.wiring import MANY_BACKWARDS
from sgdb_engine.observe.measurements import tensors_in
from sgdb_engine.observe.statistics import local_part
from sgdb_engine.witness.evaluations import Evaluations
from sgdb_engine.witness.examples import Examples, data_of
from sgdb_engine.witness.first_step import FirstStep, cloned
from sgdb_engine.witness.graph import has_own_values, own_functions, parameters_reached
from sgdb_engine.witness.loss_calls import looked_at
from sgdb_engine.witness.places import place_of_call
from sgdb_engine.witness.structure import Seen, layer_of, layers_of, starts_with_norm, wiring_of
from sgdb_engine.witness.without_gradients import WithoutGradients

ON_HOST_STEPS = 24
ON_DEVICE_STEPS = 3
"""How many steps are seen whole: on a device each of them waits for it."""
TOLD_BY_ROWS = frozenset({"input-nonfinite"})
"""Findings that are made in any step, not in those alone that are seen whole."""
EARLY_LOOK = 4
"""Steps after which what is exact is told."""
MOST_BACKWARDS = 500
"""In them: a script that never updates is not looked at for ever."""
GRAPHS = 4
"""Backward passes whose graph is gone through."""
FEW_ROWS = 0.5
"""Of the usual batch: the loss of so few says little."""


class Witness:
    """What was seen so far."""

    def __init__(
        self,
        names_of: Callable[[Sequence[torch.Tensor]], Sequence[str]],
        optimizers: Callable[[], Iterable[Any]],
        found: Callable[[Finding], None],
        *,
        steps: int = ON_HOST_STEPS,
        probing: bool = False,
    ) -> None:
        """Makes one that has seen nothing.

        Args:
            names_of: the names of parameters.
            optimizers: all that were made.
            found: told what is wrong.
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
        self.losses: list[list[LossCall]] = []
        """Of each step that was seen whole."""
        self.totals: list[float] = []
        self._names_of, self._optimizers = names_of, optimizers
        self._last, self._probing = steps, probing
        self._live = Live(found, frozenset() if probing else TOLD_BY_ROWS)
        self._seen = Seen()
        self._calls: list[LossCall] = []
        self._first_backward = True
        """None was made since the last update."""
        self._graphs = 0
        self._in_eval_mode = False
        self._ended = False
        self._seen_classes: set[int] = set()
        self._seen_targets = 0
        self._targets: dict[int, torch.Tensor] = {}
        """By the number of the call."""
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
        return self._calls or (self.losses[-1] if self.losses else [])

    @property
    def reached(self) -> tuple[torch.Tensor, ...]:
        """The parameters that gradients were seen to reach."""
        return tuple(self._seen.reached)

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
        if self._probing and not self.steps:
            self.first.iterator, self.first.batch = iterator, cloned(batch)
            if not self._seen.backwards:  # the model may have been called before, to try it
                self.first.calls.clear()
                self.first.targets.clear()
        try:
            self._drawn_from = len(iterator._dataset)
        except TypeError:  # a stream
            self._drawn_from = None

    def called(
        self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], trained: bool, step: int
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
                _wait_less(self, module)
        elif trained and step:
            first = self._first_tensor(args, kwargs) if self._known is None else None
            self.without_gradients.called(module, first, step, on_host=self._on_host(first))

    def evaluated(
        self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any], loss: Any, rows: int
    ) -> None:
        """A loss was computed in an evaluation: `loss` is its mean over `rows`."""
        if isinstance(loss, float):  # not of a device: its value comes late
            self.evaluations.add(name, args, kwargs, loss, rows)

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
        call = looked_at(name, args, kwargs, value, place_of_call(2))
        if call is None or not (value.requires_grad or not self._calls):
            return
        target = kwargs.get("target", args[1] if len(args) > 1 else None)
        self._calls.append(call)
        if isinstance(target, torch.Tensor):
            self._targets[len(self._calls) - 1] = target
            if self._probing and not self.steps:
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
        if self._graphs < GRAPHS:
            self._graphs += 1
            self.own_functions = self.own_functions or own_functions(each)
            self._seen.reached.update(dict.fromkeys(parameters_reached(each)))
        self._look_for_leftovers()
        if self._first_backward:
            self._complete_calls()
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
            self.losses.append(self._calls)
            self.totals.append(math.nan if loss is None else float(loss))
            self._compare_rows()
        self.step_is_void()
        self.steps += 1
        if self.steps in (EARLY_LOOK, self._last):
            self.look()
        if self.steps == self._last and not self._probing:
            self._let_go()

    def step_is_void(self) -> None:
        """What was seen belongs to no step to come; a scaler left one out, say."""
        self._calls = []
        self._targets.clear()
        self._first_backward = True

    # -- within a step ----------------------------------------------------------------------------------

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
        call = self._calls[0] if self._calls else None
        self.train.add(first, self._targets.get(0), bool(call and call.classes))

    def _complete_calls(self) -> None:
        """The model may have called the loss itself: only now is it known what it was called with."""
        first = self._first_tensor(*self.arguments)
        for place, target in self._targets.items():
            call = self._calls[place]
            changes: dict[str, Any] = {"where": layer_of(call.node, self.root)}
            tokens = first is not None and call.classes and not first.is_floating_point()
            if first is not None and tokens and first.numel() == target.numel():
                same = first.reshape(-1) == target.reshape(-1)
                changes["target_is_input"] = float(same.double().mean())
            self._calls[place] = msgspec.structs.replace(call, **changes)
            self._count_classes(call, target)

    def _count_classes(self, call: LossCall, target: torch.Tensor) -> None:
        self._seen_targets += target.numel()
        if call.classes and len(self._seen_classes) < 1000:
            self._seen_classes |= set(torch.unique(target).tolist())

    def _first_tensor(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> torch.Tensor | None:
        found = tensors_in("input", {**dict(enumerate(args)), **kwargs})
        return next((t for t in found.values() if t.ndim), None)

    def _on_host(self, first: torch.Tensor | None) -> bool:
        """Whether its values may be read: elsewhere each reading waits."""
        return first is not None and (first.is_cpu or self.looks)

    # -- what was seen ----------------------------------------------------------------------------------

    def facts(self) -> Facts:
        """So far."""
        course = self.following.course(self.evaluations.over) if self.following.steps else None
        if self._known is not None and self._known.wiring is not None:
            wiring = self._seen.later(self._known.wiring, self.without_gradients.in_train_mode)
            return msgspec.structs.replace(self._known, step=self.steps, course=course, wiring=wiring)
        return Facts(
            step=self.steps,
            wiring=wiring_of(
                self._seen,
                self.optimizers,
                self._names_of,
                self.root,
                self.steps,
                self.batch_rows,
                self.without_gradients.in_train_mode,
                self._ended,
            ),
            losses=self._losses(),
            course=course,
            data=data_of(
                self.train,
                self.without_gradients.examples,
                starts_with_norm=self.root is not None and starts_with_norm(self.root),
                set_size=self.set_size,
                probing=self._probing,
            ),
        )

    def _let_go(self) -> None:
        """The first steps are over: what they showed is kept in numbers, and nothing of the user's is held."""
        self._known = self.facts()
        self.root, self.arguments, self.newest_backward = None, ((), {}), None
        self.train = Examples()
        self._seen.reached.clear()

    def _losses(self) -> Losses | None:
        steps = [calls for calls in self.losses if calls] or ([self._calls] if self._calls else [])
        if not steps:
            return Losses(totals=tuple(self.totals)) if self.totals else None
        firsts = [calls[0] for calls in steps]
        first = self._first_tensor(*self.arguments)
        return Losses(
            calls=tuple(steps[0]),
            totals=tuple(self.totals),
            reported=tuple(sum(call.value for call in calls) if calls else math.nan for calls in self.losses),
            input_kind="" if first is None else "float" if first.is_floating_point() else "integer",
            classes_seen=len(self._seen_classes),
            targets_seen=self._seen_targets,
            always_sums_to_one=all(call.sums_to_one for call in firsts) and len(firsts) >= 3,
            target_low=min(call.target_low for call in firsts),
            target_high=max(call.target_high for call in firsts),
        )


def _wait_less(witness: Witness, module: nn.Module) -> None:
    """On a device few steps are seen."""
    parameter = next(module.parameters(), None)
    if parameter is not None and not parameter.is_cpu:
        witness._last = min(witness._last, ON_DEVICE_STEPS)
