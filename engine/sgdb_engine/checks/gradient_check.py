"""Autograd's gradient against differences of the loss, in float64: the script's own loop computes the loss.

Central differences along random directions (as CS231n's notes have it; more than 1e-2 is wrong there).
"""

from statistics import median

import torch

from sgdb_engine.checks.experiment import Experiment, Setting, Weights, without_dropout
from sgdb_engine.checks.still import Still
from sgdb_engine.findings.facts import GradientCheck
from sgdb_engine.snapshot import random_state

DIRECTIONS = 3
STEP = 1e-6


class Differences(Experiment):
    """Passes of the loop: at the weights, then a little to both sides along each direction."""

    name, seconds = "gradient-check", 5.0

    def __init__(self, setting: Setting) -> None:
        super().__init__(setting)
        self._analytic: list[float] = []
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
        if not self._analytic:
            self._aim()
        else:
            self._losses.append(float(value))
        if len(self._losses) == 2 * DIRECTIONS:
            self.end()
        self._move()
        self._clear()

    def _aim(self) -> None:
        generator = torch.Generator().manual_seed(0)
        self._directions = []
        for _ in range(DIRECTIONS):
            raw = [torch.randn(w.shape, generator=generator, dtype=torch.float64) for w in self._start]
            size = float(torch.stack([r.square().sum() for r in raw]).sum().sqrt())
            self._directions.append([r / size for r in raw])
        for direction in self._directions:
            pairs = zip(self.setting.parameters, direction, strict=True)
            self._analytic.append(
                sum(float((p.grad.to_dense() * d).sum()) for p, d in pairs if p.grad is not None)
            )

    def _move(self) -> None:
        """To the next place at which the loss is wanted."""
        done = len(self._losses)
        sign, direction = (1.0 if done % 2 == 0 else -1.0), self._directions[done // 2]
        scale = sign * STEP * max(1.0, self._length())
        self._weights.wanted = [w + scale * d for w, d in zip(self._start, direction, strict=True)]

    def _length(self) -> float:
        return float(torch.stack([w.square().sum() for w in self._start]).sum().sqrt())

    def result(self) -> GradientCheck:
        functions = self.setting.witness.own_functions
        if self._reason or not self._still.is_still or len(self._losses) < 2 * DIRECTIONS:
            reason = self._reason or "the loss could not be computed again on the same batch"
            return GradientCheck(functions=functions, reason=reason)
        step = STEP * max(1.0, self._length())
        errors = []
        for i, analytic in enumerate(self._analytic):
            numeric = (self._losses[2 * i] - self._losses[2 * i + 1]) / (2 * step)
            errors.append(abs(numeric - analytic) / max(abs(numeric), abs(analytic), 1e-12))
        return GradientCheck(error=median(errors), functions=functions)
