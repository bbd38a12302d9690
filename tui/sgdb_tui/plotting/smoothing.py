"""Exponential moving average over buckets, as matrix products instead of a loop."""

from typing import Literal

import numpy as np

from sgdb_tui.plotting.series import Floats

Smoothing = Literal["off", "light", "strong"]

SHARE: dict[Smoothing, float] = {"off": 0.0, "light": 0.01, "strong": 0.05}
"""Time constant as a share of the visible x span: sparse curves stay as they are."""

BLOCK = 64
_LAGS = np.maximum(np.subtract.outer(np.arange(BLOCK), np.arange(BLOCK)), -1)
"""How far each value of a block lies behind each other one; -1: it lies ahead."""


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
    sums, weights = _decayed_sums(np.stack([np.where(measured, values, 0.0), measured]), decay)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(measured, sums / weights, np.nan)


def _decayed_sums(values: Floats, decay: float) -> Floats:
    """s[:, i] = values[:, i] + decay * s[:, i - 1] of values [rows, n], computed block by block."""
    num_rows, num = values.shape
    num_blocks = -(-num // BLOCK)
    padded = np.zeros((num_rows, num_blocks * BLOCK))
    padded[:, :num] = values
    within = padded.reshape(num_rows, num_blocks, BLOCK) @ (decay**_LAGS * (_LAGS >= 0)).T
    carry, carries = np.zeros(num_rows), np.zeros((num_rows, num_blocks, 1))
    for block in range(num_blocks):
        carries[:, block, 0] = carry
        carry = within[:, block, -1] + carry * decay**BLOCK
    sums = within + carries * decay ** np.arange(1, BLOCK + 1)
    return np.asarray(sums.reshape(num_rows, -1)[:, :num])
