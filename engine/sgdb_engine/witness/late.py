"""A number on a device that is read when it is here, without waiting."""

import torch


class Late:
    """One number on its way to the host; one of the CPU is here at once."""

    def __init__(self, number: torch.Tensor) -> None:
        """`number` has no dimensions."""
        self._number = number
        self._event: torch.cuda.Event | None = None
        if number.is_cuda:
            with torch.cuda.device(number.device):  # an event belongs to the stream of the current device
                pinned = torch.empty((), dtype=number.dtype, pin_memory=True, device="cpu")
                self._number = pinned.copy_(number, non_blocking=True)
                self._event = torch.cuda.Event()  # type: ignore[no-untyped-call]
                self._event.record()

    @property
    def is_here(self) -> bool:
        """It can be read without waiting."""
        return self._event is None or bool(self._event.query())  # type: ignore[no-untyped-call]

    @property
    def value(self) -> float:
        """The number."""
        return float(self._number)
