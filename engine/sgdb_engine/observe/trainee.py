"""What one optimizer trains, or one loop that moves its weights by hand: its measurements and its newest values."""

import weakref
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import torch

from sgdb_engine.observe.measurements import NamesOf, UpdateMeasurements
from sgdb_engine.observe.readback import Row, Value
from sgdb_engine.observe.rows import add_learning_rates

if TYPE_CHECKING:
    from sgdb_engine.observe.models import Root

Clip = tuple[Sequence[torch.Tensor], Value, float, float]
"""A call of `clip_grad_norm_`: the parameters, their norm before it, the limit, the type of the norm."""

ALONE_AT_FIRST = 50
"""Steps of the first optimizer after which another one that begins is taken to train something of its own."""
UNTIL_A_LOSS = 3
NO_LOSS = (
    "Steps are made without a backward that can be seen, as with torch.autograd.grad or in a step that is compiled "
    "whole: their loss is not observed; sgdb.log(train_loss=...) records it"
)
"""Told after so many of them."""
ALONE_AFTERWARDS = 20
"""Steps of that one, with none of the first between them, after which it is sure that it does."""


class Trainee:
    """One optimizer, held weakly: a script that drops its model wants the memory back."""

    def __init__(self, names_of: NamesOf, optimizer: Any = None) -> None:
        self.name = ""
        """In columns, where there are several."""
        self.update = UpdateMeasurements(names_of)
        self.values: dict[str, Value] = {}
        """Of its newest update: loss, learning rates, gradient norm, by column."""
        self.updates = 0
        self.without_loss = 0
        """How many of them no backward was seen before."""
        self.lone_updates = 0
        """Of a trainee that does not lead: since the leader's last update."""
        self.root: Root | None = None
        """The model that it trains, once it is found."""
        self.settled = False
        """It is found, or will not be looked for any longer."""
        self.ended = False
        """The script let go of the optimizer."""
        self._optimizer: weakref.ref[Any] | None = None
        if optimizer is not None:
            self.adopt(optimizer)

    def is_of(self, optimizer: Any) -> bool:
        """Whether that is its optimizer."""
        return self._optimizer is not None and self._optimizer() is optimizer

    def adopt(self, optimizer: Any) -> None:
        """The optimizer is known from now on."""
        self._optimizer = weakref.ref(optimizer, self._end)

    def _end(self, _: Any) -> None:
        self.ended = True
        self.update.follow(())

    def parameters(self) -> list[torch.Tensor]:
        """All that it updates, also what is frozen."""
        optimizer = self._optimizer() if self._optimizer is not None else None
        return list(self.update.tracked if optimizer is None else parameters_of(optimizer))

    @property
    def kind(self) -> str:
        """The class of its optimizer."""
        optimizer = self._optimizer() if self._optimizer is not None else None
        return "weights" if optimizer is None else type(optimizer).__name__

    @property
    def is_free(self) -> bool:
        """No optimizer has stepped for it yet."""
        return self._optimizer is None

    def updated(
        self, loss: Value | None, rates: Sequence[Value], clips: Sequence[Clip], *, measured: bool
    ) -> None:
        """An update is complete; `measured`: its gradients were read."""
        self.updates += 1
        self.without_loss += loss is None
        self.values = {}
        add_learning_rates(self.values, rates)
        if loss is not None:
            self.values["train/loss"] = loss
        self._add_gradient_norm(self.update.grad_norm if measured else None, clips)

    def _add_gradient_norm(self, norm: Value | None, clips: Sequence[Clip]) -> None:
        coefficient: Value | None = None
        for parameters, clipped, limit, norm_type in clips:
            if self.update.all_in(parameters):
                if norm is None and norm_type == 2 and self.update.are(parameters):
                    norm = clipped
                new = clip_coefficient(clipped, limit)
                coefficient = new if coefficient is None else coefficient * new
        if norm is not None and self.update.is_sharded:
            self.values["grad_square"] = norm * norm  # those of all ranks add up to that of the global norm
        elif norm is not None:
            self.values["grad_norm"] = norm
        if coefficient is not None:
            self.values["clip_coef"] = coefficient

    def add_tensors(self, row: Row) -> None:
        """What was measured of each tensor."""
        row.sampled = True
        if self.update.tensors is not None:
            row.tensor_columns, row.tensor_values = self.update.columns, self.update.tensors
            row.late_columns = self.update.along_columns
            row.finish = self.update.finisher or row.finish


def parameters_of(optimizer: Any) -> Iterator[torch.Tensor]:
    """All parameters of an optimizer."""
    return (parameter for group in optimizer.param_groups for parameter in group["params"])


def clip_coefficient(norm: Value, limit: float) -> Value:
    """What `clip_grad_norm_` multiplied the gradients by: min(1, limit / (norm + 1e-6)), as PyTorch computes it."""
    coefficient = limit / (norm + 1e-6)
    if isinstance(coefficient, torch.Tensor):
        return coefficient.clamp(max=1.0)
    return 1.0 if coefficient > 1.0 else coefficient


class Trainees:
    """All optimizers of a training. One leads: its updates are the steps."""

    def __init__(self, names_of: NamesOf) -> None:
        self._names_of = names_of
        self.leader = Trainee(names_of)
        self.all = [self.leader]
        self._began_after: int | None = None
        """Steps before a training that began after another one, until that is told."""
        self._led_before: Root | None = None
        self._lone_steps = 0
        """Of a leader that took over, since then and without the others."""
        self._told_of_loss = False

    def of(self, optimizer: Any) -> Trainee:
        """What an optimizer trains; the first one leads."""
        for trainee in self.all:
            if trainee.is_of(optimizer):
                return trainee
        if self.leader.is_free:
            self.leader.adopt(optimizer)
            return self.leader
        self.all.append(Trainee(self._names_of, optimizer))
        return self.all[-1]

    def completes_step(self, trainee: Trainee, step: int) -> bool:
        """An update is over, `step` having been completed before it.

        The first optimizer leads, until another one makes two updates in a row without it.
        """
        if trainee is self.leader:
            for other in self.all:
                other.lone_updates = 0
            if len(self.all) > 1 and self._lone_steps:
                self._lone_steps += 1
                if self._lone_steps > ALONE_AFTERWARDS:
                    self._go_on_alone(step - ALONE_AFTERWARDS)
            return True
        self._lone_steps = 0
        trainee.lone_updates += 1
        begins_anew = trainee.updates == 0 and len(self.all) == 2 and self.leader.updates >= ALONE_AT_FIRST
        if trainee.lone_updates < 2 and not begins_anew:
            return False
        self._led_before = self.leader.root
        self.leader, self._lone_steps = trainee, 1
        return True

    def _go_on_alone(self, since: int) -> None:
        """The others will not step again; one that does is taken in anew."""
        for other in self.all:
            if other is not self.leader and other.root is not None and other.root is not self.leader.root:
                other.root.trained = False
        self.all, self._lone_steps = [self.leader], 0
        self.leader.settled = False  # names and columns are looked up again
        self._began_after = since

    def news(self) -> Iterator[str]:
        """What is to be told, each thing once."""
        if self.leader.without_loss >= UNTIL_A_LOSS and not self._told_of_loss:
            self._told_of_loss = True
            yield NO_LOSS
        if self._began_after is not None and self.leader.settled:
            since, self._began_after = self._began_after, None
            yield self._another_training(since)

    def _another_training(self, since: int) -> str:
        root = self.leader.root
        if root is not None and root is self._led_before:
            return f"From step {since + 1} on {self.leader.kind} trains {root.name}"
        model = "another model" if root is None else root.name
        return f"Another training begins after step {since}: {self.leader.kind} on {model}"

    def forget_the_ended(self, step: int) -> None:
        """Those whose optimizer is gone, if another one trains by now."""
        living = [trainee for trainee in self.all if not trainee.ended]
        if not living or len(living) == len(self.all):
            return
        led = self.leader
        self.all = living
        if led.ended:
            self._led_before, self.leader = led.root, living[-1]
            self._go_on_alone(step)

    def begin(self) -> None:
        """A step begins that is measured."""
        for trainee in self.all:
            trainee.update.begin()

    def read_gradients(self, parameters: Sequence[torch.Tensor], scale: Value) -> None:
        """The gradients of these are about to be clipped; they are `scale` times too large."""
        if self.leader.is_free:  # before the first update these parameters are all that is known
            self.leader.update.follow(parameters)
        clipped = set(map(id, parameters))
        for trainee in self.all:
            if not clipped.isdisjoint(map(id, trainee.update.tracked)):
                trainee.update.read_gradients(scale)

    def histograms(self) -> Iterator[tuple[tuple[str, ...], torch.Tensor]]:
        """Columns and values of the distributions of all parameters and gradients."""
        return (found for trainee in self.all for found in trainee.update.histograms())

    def values_of(self, trainee: Trainee) -> dict[str, Value]:
        """Of its newest update; where there are several, under its name, those of the leader under both."""
        named = {f"{trainee.name}.{column}": value for column, value in trainee.values.items()}
        several = len(self.all) > 1
        return {**(trainee.values if trainee is self.leader else {}), **(named if several else {})}
