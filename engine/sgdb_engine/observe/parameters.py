"""Per-tensor statistics of one update: gradients before it, weights after it, and how far they moved."""

from collections.abc import Sequence
from typing import Protocol

import torch

from sgdb_engine.observe.device_statistics import DeviceStatistics
from sgdb_engine.observe.host_statistics import HostStatistics

TENSOR_STATS = (
    "grad_norm",
    "param_min",
    "param_max",
    "param_mean",
    "param_std",
    "update_ratio",
    "nonfinite",
)
"""`update_ratio` is ‖Δw‖₂ / ‖w‖₂; `nonfinite` counts values of the weights and of their gradient."""


class UpdateStatistics(Protocol):
    """Measures one update of a fixed list of parameters, in two halves around `optimizer.step()`."""

    def before_clip(self) -> float | torch.Tensor:
        """Reads the gradients as backward left them; returns their global 2-norm, a tensor on a device."""
        ...

    def before_update(self) -> None:
        """Keeps the weights, to tell afterwards how far they moved."""
        ...

    def after_update(self) -> torch.Tensor:
        """Float32 [stats × tensors] in the order of `TENSOR_STATS`, on the device of the parameters."""
        ...


def columns_of(names: Sequence[str]) -> tuple[str, ...]:
    """The column names of a row of `after_update`: `<stat>/<tensor>`."""
    return tuple(f"{stat}/{name}" for stat in TENSOR_STATS for name in names)


def statistics_for(parameters: Sequence[torch.Tensor]) -> UpdateStatistics:
    """The cheapest way to measure these parameters where they are."""
    if all(p.device.type == "cpu" for p in parameters):
        return HostStatistics(parameters, len(TENSOR_STATS))
    return DeviceStatistics(parameters)
