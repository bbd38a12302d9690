"""Several batches at the weights of the beginning: their losses, and how much their gradients agree."""

import itertools
from statistics import fmean

import torch

from sgdb_engine.checks.experiment import Experiment, Weights
from sgdb_engine.checks.still import Endless, before_calls
from sgdb_engine.findings.facts import Noise

BATCHES = 8
MOST_VALUES = 2_000_000
"""Of a gradient; of a larger one an even share is kept."""


class FrozenWeights(Experiment):
    """The script's loop on its stream of batches, no update counting."""

    name, seconds = "gradient-noise", 4.0

    def prepare(self) -> None:
        Endless(self.setting.first).install()
        self._weights = Weights(self.setting.model, self.setting.parameters)
        self._weights.keeps_buffers = True
        before_calls(self.setting.first, self._weights.put)
        self._losses = [self.setting.loss]
        self._gradients = [self._gradient()]
        self.clear()

    def clear(self) -> None:
        """No gradient is left over, no update counts."""
        for parameter in self.setting.parameters:
            parameter.grad = None

    def safe_point(self, loss: float) -> None:
        self._losses.append(loss)
        self._gradients.append(self._gradient())
        if len(self._losses) >= BATCHES:
            self.end()
        self.clear()

    def _gradient(self) -> torch.Tensor:
        whole = [p.grad.detach().reshape(-1).float() for p in self.setting.parameters if p.grad is not None]
        flat = torch.cat(whole) if whole else torch.zeros(1)
        return flat[:: max(1, flat.numel() // MOST_VALUES)]

    def result(self) -> Noise:
        """Mean cosine c of pairs; c ≈ 1/(1 + S/B), so the noise scale S is B(1/c − 1) (McCandlish et al. 2018)."""
        sized = [g for g in self._gradients if g.shape == self._gradients[0].shape and bool(g.norm() > 0)]
        if len(sized) < 3:
            return Noise(losses=tuple(self._losses))
        pairs = itertools.combinations([g / g.norm() for g in sized], 2)
        cosine = fmean(float(torch.dot(a, b)) for a, b in pairs)
        rows = self.setting.witness.batch_rows
        scale = rows * (1 / cosine - 1) if cosine > 0 and rows else None
        return Noise(losses=tuple(self._losses), cosine=cosine, scale=scale)
