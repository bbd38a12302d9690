"""The best validation so far."""

import math


class Best:
    """The best value of a metric so far, and when it was."""

    def __init__(self, metric: str, min_delta: float = 0.0) -> None:
        """Watches `metric`; an improvement is one by more than `min_delta`."""
        self.metric = metric
        self.min_delta = min_delta
        self.value: float | None = None
        self.epoch = 0
        self.step = 0
        self.waited = 0
        """Validations since the last improvement."""

    def improved(self, metrics: dict[str, float], epoch: int, step: int) -> bool:
        """Takes in one validation; a loss falls, an accuracy rises, and what is not finite is no improvement."""
        value = metrics.get(self.metric, math.nan)
        gain = math.inf if self.value is None else self.value - value
        if self.metric == "val/accuracy" and self.value is not None:
            gain = -gain
        if not math.isfinite(value) or not gain > self.min_delta:
            self.waited += 1
            return False
        self.value, self.epoch, self.step, self.waited = value, epoch, step, 0
        return True

    def __str__(self) -> str:
        if self.value is None:
            return f"no finite {self.metric}"
        return f"the best {self.metric} was {self.value:.6g}, in epoch {self.epoch}, after step {self.step}"
