"""What a model with two inputs predicts over the plane: a copy of it is asked on a grid, beside the training."""

from collections import deque
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import nn

from sgdb_engine.observe.labelled import Labelled
from sgdb_engine.observe.landing import Landing
from sgdb_engine.observe.model_copy import copied
from sgdb_engine.recording.pictures import MOST_CLASSES, NO_CLASS, Regions
from sgdb_engine.snapshot import random_state_kept

HEIGHT, WIDTH = 64, 96
"""Cells of the grid: about as many as a terminal shows in halves of characters."""
MARGIN = 0.08
"""Of the extent of the examples, on each side."""
KEPT_POINTS = 2048
MOST_POINTS = 1000
"""Of a picture."""

Make = Callable[[list[np.ndarray]], Regions]


class DecisionRegions:
    """Of one model; keeps the examples that were seen last."""

    def __init__(self) -> None:
        self._seen: deque[tuple[torch.Tensor, torch.Tensor]] = deque()
        self._num_seen = 0
        self._newest: Labelled | None = None
        self._named: str | None = None
        self._refused = False

    def see(self, inputs: Any, batch: Labelled | None) -> None:
        """A call of the model with points, and their classes where they have some."""
        if batch is None or batch.classes > MOST_CLASSES or self._refused:
            return
        self._newest = batch
        self._named = next(iter(inputs)) if isinstance(inputs, dict) and inputs.keys() != {0} else None
        self._seen.append((batch.inputs[-KEPT_POINTS:].clone(), batch.target[-KEPT_POINTS:].clone()))
        self._num_seen += len(self._seen[-1][0])
        while self._num_seen - len(self._seen[0][0]) >= KEPT_POINTS:
            self._num_seen -= len(self._seen.popleft()[0])

    @torch.no_grad()
    def picture(self, model: nn.Module, step: int, wall: float) -> tuple[Landing, Make] | None:
        """The regions as they are now, and what makes a picture of them on the host; None where there are none."""
        if self._newest is None or self._refused:
            return None
        points = torch.cat([x for x, _ in self._seen])
        targets = torch.cat([y for _, y in self._seen])
        low, high = extent_of(points)
        with random_state_kept():
            cells = self._asked(model, grid(low, high))
        if cells is None:
            self._refused = True
            self._seen.clear()
            return None
        return Landing([cells, points.float(), targets, low, high]), lambda arrays: _made(arrays, step, wall)

    def _asked(self, model: nn.Module, plane: torch.Tensor) -> torch.Tensor | None:
        assert self._newest is not None
        twin = copied(model)
        if twin is None:
            return None
        plane = plane.to(self._newest.inputs.dtype)
        try:
            with torch.autocast(plane.device.type, enabled=False):
                output = twin(plane) if self._named is None else twin(**{self._named: plane})
        except Exception:  # its own: it may want batches of one size, say
            return None
        cells = self._newest.classes_of(output)
        return cells if cells is not None and len(cells) == len(plane) else None


def is_plane(inputs: Any) -> bool:
    """Whether a model was called with nothing but points: positional arguments, or all by their name or index."""
    given = list(inputs.values()) if isinstance(inputs, dict) else inputs
    points = given[0] if len(given) == 1 else None
    if not isinstance(points, torch.Tensor) or points.layout != torch.strided:
        return False
    return points.ndim == 2 and points.shape[1] == 2 and points.is_floating_point() and len(points) > 0


def extent_of(points: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Lower and upper corner, float64 [2], of a rectangle around the finite ones of [n, 2], with a margin."""
    wide = points.double()
    finite = wide.isfinite()
    low = torch.where(finite, wide, torch.inf).amin(0).nan_to_num(posinf=0.0)
    high = torch.where(finite, wide, -torch.inf).amax(0).nan_to_num(neginf=0.0)
    size = torch.where(high > low, high - low, 1.0)
    return low - MARGIN * size, high + MARGIN * size


def grid(low: torch.Tensor, high: torch.Tensor, height: int = HEIGHT, width: int = WIDTH) -> torch.Tensor:
    """The middles of the cells of a rectangle, float64 [height · width, 2], row by row from the largest y down."""
    x = (torch.arange(width, device=low.device, dtype=torch.float64) + 0.5) / width
    y = 1 - (torch.arange(height, device=low.device, dtype=torch.float64) + 0.5) / height
    rows, columns = torch.meshgrid(y, x, indexing="ij")
    return low + torch.stack((columns, rows), -1).reshape(-1, 2) * (high - low)


def _made(arrays: list[np.ndarray], step: int, wall: float) -> Regions:
    cells, points, targets, low, high = arrays
    labelled = (targets >= 0) & np.isfinite(points).all(1)
    examples = np.unique(np.column_stack((points, targets))[labelled], axis=0)
    if len(examples) > MOST_POINTS:
        examples = examples[:: -(-len(examples) // MOST_POINTS)]
    return Regions(
        step=step,
        wall=wall,
        height=HEIGHT,
        width=WIDTH,
        low=(float(low[0]), float(low[1])),
        high=(float(high[0]), float(high[1])),
        cells=np.where(cells < 0, NO_CLASS, cells).astype(np.uint8).tobytes(),
        points=examples[:, :2].astype("<f4").tobytes(),
        targets=examples[:, 2].astype(np.uint8).tobytes(),
    )
