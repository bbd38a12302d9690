"""Exponential moving average over buckets, as matrix products instead of a loop."""

from typing import Literal

import numpy as np

from sgdb_tui.plotting.series import Floats

Smoothing = Literal["off", "light", "strong"]

SHARE: dict[Smoothing, float] = {"off": 0.0, "light": 0.01, "strong": 0.05}
"""Time constant as a share of the visible x span: sparse curves stay as they are."""

BLOCK = 64


def smoothed(x: Floats, values: Floats, span: float, smoothing: Smoothing) -> Floats:
    """Bias-corrected moving average of values [n] over x [n]; NaN stays NaN and adds nothing."""
    if smoothing == "off" or values.size < 3:
        return values
    spacing = float(np.median(np.diff(x)))
    time_constant = SHARE[smoothing] * span
    if not (spacing > 0 and time_constant > 0):
        return values
    decay = float(np.exp(-spacing / time_constant))
    measured = np.isfinite(values)
    sums = _decayed_sum(np.where(measured, values, 0.0), decay)
    weights = _decayed_sum(measured.astype(np.float64), decay)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(measured, sums / weights, np.nan)


def _decayed_sum(values: Floats, decay: float) -> Floats:
    """s[i] = values[i] + decay * s[i - 1], computed block by block."""
    num_blocks = -(-values.size // BLOCK)
    padded = np.zeros(num_blocks * BLOCK)
    padded[: values.size] = values
    lags = np.subtract.outer(np.arange(BLOCK), np.arange(BLOCK))
    kernel = np.where(lags >= 0, decay ** np.maximum(lags, 0), 0.0)
    within = padded.reshape(num_blocks, BLOCK) @ kernel.T
    carry, carries = 0.0, np.zeros(num_blocks)
    for block in range(num_blocks):
        carries[block] = carry
        carry = within[block, -1] + carry * decay**BLOCK
    tail = decay ** np.arange(1, BLOCK + 1)
    return np.asarray((within + carries[:, None] * tail).reshape(-1)[: values.size])
