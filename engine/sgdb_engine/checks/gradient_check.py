"""Autograd's gradient against differences of the loss, in float64: the script's own loop computes the loss.

Central differences along random directions (as CS231n's notes have it; more than 1e-2 is wrong there).
"""

from collections.abc import Iterable
from statistics import median

import torch

from sgdb_engine.checks.experiment import Experiment, Setting, Weights, without_dropout
from sgdb_engine.checks.still import Still
from sgdb_engine.findings.facts import GradientCheck
from sgdb_engine.findings.leaks import DOUBTFUL_GRADIENT
from sgdb_engine.snapshot import random_state

DIRECTIONS = 3
STEP = 1e-6
MOST_LAYERS = 60

Direction = dict[int, torch.Tensor]
"""Place of a parameter → how it moves; those that stay are not in it."""


class Differences(Experiment):
    """Passes of the loop: at the weights, then a little to both sides along each direction."""

    name, seconds = "gradient-check", 5.0

    def __init__(self, setting: Setting) -> None:
        super().__init__(setting)
        self._gradients: list[torch.Tensor | None] = []
        self._directions: list[Direction] = []
        self._layers: list[str] = []
        """Of the directions beyond the first three, in which only the weights of one layer move."""
        self._losses: list[float] = []
        self._reason = ""

    def prepare(self) -> None:
        model = self.setting.model
        self._still = Still(self.setting.first, lambda t: t.double() if t.is_floating_point() else t)
        self._still.before_call = self._before_call
        self._still.install()
        without_dropout(model)
        self._put_back_random = random_state()
        model.double()
        self._weights = Weights(model, self.setting.parameters)
        self._weights.keeps_buffers = True
        self._start = [w.clone() for w in self._weights.wanted]
        self._step = STEP * max(1.0, _length(self._start))
        self._clear()

    def _clear(self) -> None:
        for parameter in self.setting.parameters:
            parameter.grad = None

    def _before_call(self) -> None:
        self._weights.put()
        self._put_back_random()

    def safe_point(self, loss: float) -> None:
        self._still.next_step()
        value = self.observer.witness.newest_backward
        if value is None or value.dtype != torch.float64:
            self._reason = "the loss is not computed in float64 even where the weights and the inputs are"
            self.end()
        if not self._directions:
            self._gradients = [
                None if p.grad is None else p.grad.to_dense().clone() for p in self.setting.parameters
            ]
            self._generator = torch.Generator().manual_seed(0)
            self._directions = [self._direction(range(len(self._start))) for _ in range(DIRECTIONS)]
        else:
            self._losses.append(float(value))
        if (
            len(self._losses) == 2 * DIRECTIONS == 2 * len(self._directions)
            and self._error() > DOUBTFUL_GRADIENT
        ):
            self._look_at_layers()
        if len(self._losses) == 2 * len(self._directions):
            self.end()
        self._move()
        self._clear()

    def _direction(self, moving: Iterable[int]) -> Direction:
        """Of length 1, along which the parameters with these places move."""
        raw = {
            place: torch.randn(self._start[place].shape, generator=self._generator, dtype=torch.float64)
            for place in moving
        }
        size = _length(raw.values())
        return {place: part / size for place, part in raw.items()}

    def _look_at_layers(self) -> None:
        names = {id(p): name.rpartition(".")[0] or name for name, p in self.setting.model.named_parameters()}
        places: dict[str, list[int]] = {}
        for place, parameter in enumerate(self.setting.parameters):
            if id(parameter) in names:
                places.setdefault(names[id(parameter)], []).append(place)
        self._layers = list(places)[:MOST_LAYERS]
        self._directions += [self._direction(places[layer]) for layer in self._layers]

    def _error(self) -> float:
        """Of the whole gradient, relative."""
        return median(self._error_along(i) for i in range(DIRECTIONS))

    def _error_along(self, i: int) -> float:
        pairs = ((self._gradients[place], part) for place, part in self._directions[i].items())
        analytic = sum(float((gradient * part).sum()) for gradient, part in pairs if gradient is not None)
        numeric = (self._losses[2 * i] - self._losses[2 * i + 1]) / (2 * self._step)
        return abs(numeric - analytic) / max(abs(numeric), abs(analytic), 1e-12)

    def _move(self) -> None:
        """To the next place at which the loss is wanted."""
        done = len(self._losses)
        sign, direction = (1.0 if done % 2 == 0 else -1.0), self._directions[done // 2]
        self._weights.wanted = [
            w + sign * self._step * direction[place] if place in direction else w
            for place, w in enumerate(self._start)
        ]

    def result(self) -> GradientCheck:
        functions = self.setting.witness.own_functions
        if self._reason or not self._still.is_still or len(self._losses) < 2 * DIRECTIONS:
            reason = self._reason or "the loss could not be computed again on the same batch"
            return GradientCheck(functions=functions, reason=reason)
        known = (len(self._losses) // 2) - DIRECTIONS  # the time may be up before all layers were looked at
        layers = [(name, self._error_along(DIRECTIONS + i)) for i, name in enumerate(self._layers[:known])]
        return GradientCheck(error=self._error(), functions=functions, layers=tuple(layers))


def _length(parts: Iterable[torch.Tensor]) -> float:
    return float(torch.stack([part.square().sum() for part in parts]).sum().sqrt())
