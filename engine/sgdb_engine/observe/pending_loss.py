"""The loss of the update that is under way: the sum of what `backward` was called on since the last one."""

from typing import Any

import torch

from sgdb_engine.observe.readback import Value, has_values, host_value


class PendingLoss:
    """Unscaled; whatever a closure computes again after its first evaluation does not count."""

    def __init__(self) -> None:
        self.value: Any = None
        """A `Value`; None where there was no backward yet."""
        self.scale: Value | None = None
        """What the loss was multiplied by before the next backward."""
        self.closed = False
        """The gradients of this update are complete."""
        self._shared: Value | None = None
        """Of the newest update, for an optimizer that steps on the same gradients."""

    def add(self, losses: Any) -> None:
        """`backward` was called on these."""
        scale, self.scale = self.scale, None
        if self.closed:
            return
        for loss in (losses,) if isinstance(losses, torch.Tensor) else losses:
            if isinstance(loss, torch.Tensor) and has_values(loss) and loss.numel() == 1:
                value = host_value(loss)
                if scale is not None:
                    value = value / scale
                self.value = value if self.value is None else self.value + value

    def add_quickly(self, losses: Any) -> None:
        """The same of what is one number on the CPU, as it nearly always is."""
        try:
            if self.value is None and not self.closed and losses.is_cpu:
                self.value = losses.item()
                return
        except Exception:  # several losses, or none that is one number
            self.value = None
        self.add(losses)

    def take_shared(self) -> Value | None:
        """For an update that completes no step: its own loss, or the newest one where there was no backward since."""
        loss = self._shared if self.value is None else self.value
        self.value, self._shared, self.closed = None, loss, False
        return loss

    def keep_to_share(self) -> None:
        """For an update that completes a step."""
        self._shared = self.value

    def begin(self) -> None:
        """A new step begins."""
        self.value, self.closed = None, False
