"""Per-tensor statistics of one update: gradients before it, weights after it, and how far they moved."""

from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np
import torch

from sgdb_engine.observe.device_statistics import DeviceStatistics
from sgdb_engine.observe.host_statistics import HostStatistics
from sgdb_engine.observe.statistics import on_host

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

    def before_clip(self, scale: float | torch.Tensor = 1.0) -> float | torch.Tensor:
        """Reads the gradients as backward left them, `scale` times too large; returns their global 2-norm, a tensor
        on a device."""
        ...

    def before_update(self) -> None:
        """Keeps the weights, to tell afterwards how far they moved."""
        ...

    def after_update(self) -> torch.Tensor:
        """Numbers for `finish`, on the device of the parameters, until the next measurement."""
        ...

    def finish(self, values: np.ndarray) -> np.ndarray:
        """Those numbers, on the host → float [stats × tensors] in the order of `TENSOR_STATS`, a new array."""
        ...


def columns_of(names: Sequence[str]) -> tuple[str, ...]:
    """The column names of a row of `after_update`: `<stat>/<tensor>`."""
    return tuple(f"{stat}/{name}" for stat in TENSOR_STATS for name in names)


def statistics_for(parameters: Sequence[torch.Tensor], shares: Sequence[float]) -> UpdateStatistics:
    """The cheapest way to measure these parameters where they are.

    `shares` is what each one's square is multiplied by in that of the global norm: 1 where none is sharded.
    """
    places: dict[torch.device, list[int]] = {}
    for i, parameter in enumerate(parameters):
        places.setdefault(parameter.device, []).append(i)
    if len(places) > 1:
        return SplitStatistics(
            {
                device: (at, _at_one_place([parameters[i] for i in at], [shares[i] for i in at]))
                for device, at in places.items()
            }
        )
    return _at_one_place(parameters, shares)


def _at_one_place(parameters: Sequence[torch.Tensor], shares: Sequence[float]) -> UpdateStatistics:
    if on_host(parameters[0]):
        return HostStatistics(parameters, len(TENSOR_STATS), shares)
    return DeviceStatistics(parameters, shares)


class SplitStatistics:
    """An `UpdateStatistics` of parameters on several devices, put together on one of them."""

    def __init__(self, parts: Mapping[torch.device, tuple[Sequence[int], UpdateStatistics]]) -> None:
        """`parts`: device → places of its parameters in the list of all, and what measures them."""
        self._parts = list(parts.values())
        self._home = next((device for device in parts if device.type != "cpu"), torch.device("cpu"))
        self._count = sum(len(at) for at, _ in self._parts)
        self._sizes: list[int] = []

    def before_clip(self, scale: float | torch.Tensor = 1.0) -> torch.Tensor:
        """Reads the gradients; returns their global 2-norm as a 0-d tensor."""
        norms = [torch.as_tensor(part.before_clip(scale), dtype=torch.float64) for _, part in self._parts]
        at_home = torch.stack([norm.to(self._home, non_blocking=True) for norm in norms])
        total: torch.Tensor = torch.linalg.vector_norm(at_home)
        return total

    def before_update(self) -> None:
        """Keeps the weights."""
        for _, part in self._parts:
            part.before_update()

    def after_update(self) -> torch.Tensor:
        """The numbers of all parts, float64, one after the other."""
        measured = [part.after_update() for _, part in self._parts]
        self._sizes = [len(each) for each in measured]
        return torch.cat([each.to(self._home, torch.float64, non_blocking=True) for each in measured])

    def finish(self, values: np.ndarray) -> np.ndarray:
        """Float32 [stats × tensors]."""
        table = np.empty((len(TENSOR_STATS), self._count), dtype=np.float32)
        pieces = np.split(values, np.cumsum(self._sizes)[:-1])
        for (at, part), piece in zip(self._parts, pieces, strict=True):
            table[:, list(at)] = part.finish(piece).reshape(len(TENSOR_STATS), -1)
        return table.reshape(-1)
