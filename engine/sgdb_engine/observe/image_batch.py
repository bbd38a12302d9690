"""The first examples of a batch as small pictures."""

from collections.abc import Callable

import numpy as np
import torch

from sgdb_engine.observe.labelled import Labelled
from sgdb_engine.observe.landing import Landing
from sgdb_engine.recording.pictures import Images

MOST_IMAGES = 10
LARGEST_SIDE = 32
"""Pixels; what is larger is averaged over equal parts."""
SMALLEST_SIDE = 4
"""Less than that is a table with a few columns, not a picture."""
LONGEST_SHAPE = 4
"""Times as high as wide, or the reverse: a sequence of vectors is none either."""

Make = Callable[[list[np.ndarray]], Images]


def as_images(inputs: torch.Tensor) -> torch.Tensor | None:
    """[n, channels, height, width] with 1 or 3 channels, of floats or bytes; None where the input is no such thing."""
    if not (inputs.is_floating_point() or inputs.dtype == torch.uint8) or not inputs.numel():
        return None
    images = inputs.unsqueeze(1) if inputs.ndim == 3 else inputs
    if images.ndim != 4 or images.shape[1] not in (1, 3):
        return None
    small, large = sorted(images.shape[2:])
    return images if small >= SMALLEST_SIDE and large <= LONGEST_SHAPE * small else None


@torch.no_grad()
def picture_of(images: torch.Tensor, batch: Labelled | None, step: int, wall: float) -> tuple[Landing, Make]:
    """The first few of [n, channels, height, width], and what makes a picture of them when they are on the host."""
    first = images[:MOST_IMAGES].detach().float()
    height, width = first.shape[2:]
    if max(height, width) > LARGEST_SIDE:
        size = min(height, LARGEST_SIDE), min(width, LARGEST_SIDE)
        first = torch.nn.functional.adaptive_avg_pool2d(first, size)
    tensors = [first.permute(0, 2, 3, 1)]
    if batch is not None:
        tensors += [each[:MOST_IMAGES] for each in (batch.target, batch.predicted)]

    def make(arrays: list[np.ndarray]) -> Images:
        values, *classes = arrays
        finite = values[np.isfinite(values)]
        low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 0.0)
        scaled = (np.nan_to_num(values, nan=low, posinf=high, neginf=low) - low) * (
            255 / (high - low) if high > low else 0.0
        )
        count, height, width, channels = values.shape
        targets, predictions = (tuple(each.tolist()) for each in classes) if classes else ((), ())
        return Images(
            step=step,
            wall=wall,
            count=count,
            height=height,
            width=width,
            channels=channels,
            pixels=np.ascontiguousarray(np.rint(scaled), np.uint8).tobytes(),
            low=low,
            high=high,
            targets=targets,
            predictions=predictions,
        )

    return Landing(tensors), make
