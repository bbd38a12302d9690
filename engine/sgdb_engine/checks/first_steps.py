"""The script goes on as it is for a while: its data, its wiring, its first steps and its first evaluations are seen."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from statistics import median
from typing import Any

import msgspec
import torch

from sgdb_engine.checks.experiment import Experiment
from sgdb_engine.checks.probes import dependencies_of
from sgdb_engine.checks.value_ranges import ranges_at_start
from sgdb_engine.findings.facts import Signals
from sgdb_engine.snapshot import random_state
from sgdb_engine.witness.layers import Layers

MEASURED_STEPS, FEWEST_STEPS = 15, 10
ENOUGH_STEPS, ENOUGH_EVALUATIONS = 64, 3
MOST_STEPS = 600
"""Where there are no evaluations."""
MOST_VALUES = 20_000_000
"""Of weights whose movement is measured."""
FEW_ROWS = 0.3
"""Share of distinct rows of a weight up to which its units are called alike."""
DECOUPLED = ("SGD", "AdamW")
"""Optimizers whose decay is a term of the update: lr · wd · w."""


class FirstSteps(Experiment):
    """Sees what a run would see, and more: a child may take its time."""

    name, seconds, probing = "first-steps", 10.0, True

    def prepare(self) -> None:
        model = self.setting.model
        self._names = {id(p): name for name, p in model.named_parameters()}
        self._named = [p for p in self.setting.parameters if id(p) in self._names and p.requires_grad]
        self._equal = set(self._equal_rows())
        self._ratio, self._first_weight = self._gradient_ratio()
        self._layers = Layers(model, with_ranges=True)
        self.observer.witness.signals.hidden.add(model, self._layers)
        self._unreached = self.observer.witness.signals.unreached
        self._unreached.reached.update(self.setting.witness.signals.unreached.reached)
        self._unreached.graphs_are_known(self.setting.optimizers, [model])
        self._rehearse()
        self._kept: list[tuple[torch.Tensor, torch.Tensor, torch.Tensor | None]] = []
        self._at_start = [p.detach().clone() for p in self._followed()]
        self._had_gradient = [False] * len(self._at_start)
        self._lost: list[float] = []
        self._ascent = 0.0
        self._decay: list[float] = []
        self._moved: list[float] = []
        self._signals: Signals | None = None
        self._later: float | None = None
        self._keep()

    def _rehearse(self) -> None:
        """One call on the first batch with the weights of the beginning: nothing that it changes stays."""
        model, first = self.setting.model, self.setting.first
        put_back_random = random_state()
        output: Any = None
        buffers = [(b, b.detach().clone()) for b in model.buffers()]
        with self._unseen(), torch.no_grad(), self._layers.watching(), self._unreached.watching(model):
            for module, args, kwargs in first.calls[:1]:
                if module is model:
                    output = module(*args, **kwargs)
        for buffer, value in buffers:
            buffer.data.copy_(value)
        put_back_random()
        self._ranges = ranges_at_start(model, first, output, self._layers)

    @contextmanager
    def _unseen(self) -> Iterator[None]:
        """Calls of the model that are ours are no evaluation of the script's."""
        within, self.observer.inside = self.observer.inside, "forward"
        try:
            yield
        finally:
            self.observer.inside = within

    def safe_point(self, loss: float) -> None:
        """Looks at how the weights moved, until enough of that was seen."""
        if self.step <= MEASURED_STEPS:
            self._measure_update()
            self._keep()
        elif self._signals is None:
            self._end_of_measuring()
        over = len(self.observer.witness.evaluations.over) >= ENOUGH_EVALUATIONS
        if self.step >= (ENOUGH_STEPS if over else MOST_STEPS):
            self.end()

    # -- weights ----------------------------------------------------------------------------------------

    def _followed(self) -> list[torch.Tensor]:
        taken: list[torch.Tensor] = []
        total = 0
        for parameter in self._named:
            total += parameter.numel()
            if total <= MOST_VALUES or not taken:
                taken.append(parameter)
        return taken

    def _keep(self) -> None:
        self._kept = [
            (p, p.detach().clone(), None if p.grad is None or p.grad.is_sparse else p.grad.detach().clone())
            for p in self._followed()
        ]

    @torch.no_grad()
    def _measure_update(self) -> None:
        lost = changed = 0
        ratios = []
        if self.step == 1:
            self._ascent = self._cosine()
        for i, (parameter, before, gradient) in enumerate(self._kept):
            if gradient is None:
                continue
            wanted = gradient != 0
            self._had_gradient[i] |= bool(wanted.any())
            moved = parameter.detach() - before
            lost += int((wanted & (moved == 0)).sum())
            changed += int(wanted.sum())
            size = float(before.float().norm())
            if size > 0 and bool(wanted.any()):
                ratios.append(float(moved.float().norm()) / size)
        if changed:
            self._lost.append(lost / changed)
        if ratios:
            self._moved.append(median(ratios))
        self._measure_decay()

    def _cosine(self) -> float:
        """Of the first update and its gradient."""
        pairs = [(p.detach() - w, g) for p, w, g in self._kept if g is not None]
        dot = sum(float((moved.float() * g.float()).sum()) for moved, g in pairs)
        sizes = [sum(float(t.float().square().sum()) for t in each) for each in zip(*pairs, strict=True)]
        return dot / math.sqrt(sizes[0] * sizes[1]) if sizes and min(sizes) > 0 else 0.0

    def _measure_decay(self) -> None:
        """The share of decay in what moves the weights: in SGD a part of the gradient, in AdamW of the update."""
        whole = decay = 0.0
        before = {id(p): (w, g) for p, w, g in self._kept}
        for optimizer in self.setting.optimizers:
            kind = type(optimizer).__name__
            if kind not in DECOUPLED:
                continue
            for group in optimizer.param_groups:
                rate = float(group.get("weight_decay") or 0.0)
                for p in group["params"]:
                    old, gradient = before.get(id(p), (None, None))
                    if old is None or gradient is None:
                        continue
                    part = rate * old.float()
                    if kind == "SGD":
                        whole += float((gradient.float() + part).square().sum())
                    else:
                        part = part * float(group["lr"])
                        whole += float((p.detach() - old).float().square().sum())
                    decay += float(part.square().sum())
        if whole > 0:
            self._decay.append(math.sqrt(decay / whole))

    def _equal_rows(self) -> list[str]:
        found = []
        for name, p in self.setting.model.named_parameters():
            if not p.requires_grad or p.ndim < 2 or p.shape[0] < 2 or p.numel() > MOST_VALUES:
                continue
            rows = p.detach().reshape(p.shape[0], -1)
            if rows.shape[1] >= 2 and len(torch.unique(rows, dim=0)) <= FEW_ROWS * len(rows):
                found.append(name)
        return found

    def _gradient_ratio(self) -> tuple[float | None, str]:
        """RMS of the gradient of the first weight matrix by the last one's; of the first two the larger."""
        sizes = [
            (float(p.grad.float().norm()) / math.sqrt(p.numel()), name)
            for name, p in self.setting.model.named_parameters()
            if p.requires_grad and p.ndim >= 2 and p.grad is not None and not p.grad.is_sparse
        ]
        if len(sizes) < 3 or not sizes[-1][0] > 0:
            return None, ""
        return max(sizes[0][0], sizes[1][0]) / sizes[-1][0], sizes[0][1]

    def _end_of_measuring(self) -> None:
        again, _ = self._gradient_ratio()
        ratios = [r for r in (self._ratio, again) if r is not None]
        unmoved = [
            self._names[id(p)]
            for p, start, had in zip(self._followed(), self._at_start, self._had_gradient, strict=True)
            if had and torch.equal(p.detach(), start)
        ]
        self._signals = Signals(
            layers=tuple(self._layers.signals()),
            forwards=self._layers.calls,
            growth=self._layers.growth(),
            equal_rows=tuple(sorted(self._equal & set(self._equal_rows()))),
            gradient_ratio=max(ratios) if ratios else None,
            first_weight=self._first_weight,
            lost_updates=median(self._lost) if self._lost else 0.0,
            decay_share=median(self._decay) if self._decay else 0.0,
            update_ratio=median(self._moved) if self._moved else math.nan,
            ascent=self._ascent,
            unmoved=tuple(unmoved) if self.step >= FEWEST_STEPS else (),
            steps=self.step,
            weight_type=str(self._named[0].dtype).removeprefix("torch.") if self._named else "",
        )
        with self._unseen():
            later = dependencies_of(self.setting.model, self.setting.first, text=False)
        self._later = later.other_input

    # -- what was seen ----------------------------------------------------------------------------------

    def result(self) -> Any:
        """Facts of the witness, with the signals and what is cut off."""
        if self._signals is None and self.step:
            self._end_of_measuring()
        witness = self.observer.witness
        facts = witness.facts()
        facts.dependencies = None  # of those there is a better experiment
        if self._signals is not None and facts.signals is not None:
            underflown = facts.signals.underflown
            facts.signals = msgspec.structs.replace(self._signals, underflown=underflown)
        if facts.wiring is not None:
            cut, unused = self._unreached.names(least=1)
            facts.wiring = msgspec.structs.replace(facts.wiring, cut=cut, unused=unused)
        return {"facts": facts, "later": self._later, "ranges": self._ranges}
