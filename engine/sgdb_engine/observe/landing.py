"""Tensors on their way to the host: those of the CPU are here at once, for those of a GPU nobody waits."""

from collections.abc import Sequence

import numpy as np
import torch


class Landing:
    """A copy of each, started now."""

    def __init__(self, tensors: Sequence[torch.Tensor]) -> None:
        self._tensors = [tensor.detach() for tensor in tensors]
        self._events: list[torch.cuda.Event] = []
        for place, tensor in enumerate(self._tensors):
            if tensor.is_cuda:
                self._tensors[place] = self._copied(tensor)
            elif not tensor.is_cpu:  # other devices have no events that we know of
                self._tensors[place] = tensor.cpu()

    def _copied(self, tensor: torch.Tensor) -> torch.Tensor:
        with torch.cuda.device(tensor.device):  # an event belongs to the stream of the current device
            pinned = torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=True, device="cpu")
            pinned.copy_(tensor, non_blocking=True)
            self._events.append(torch.cuda.Event())  # type: ignore[no-untyped-call]
            self._events[-1].record()
        return pinned

    @property
    def is_here(self) -> bool:
        """They can be read without waiting."""
        return all(event.query() for event in self._events)  # type: ignore[no-untyped-call]

    @property
    def value(self) -> float:
        """That of the only one, which has no dimensions. Waits for a device."""
        return float(self.arrays()[0])

    def arrays(self) -> list[np.ndarray]:
        """Their values, in their order. Waits for a device."""
        for event in self._events:
            event.synchronize()
        return [tensor.numpy() for tensor in self._tensors]
