"""Where the time of a step goes, in seconds: from the end of the last step to the end of this one."""

from dataclasses import dataclass


@dataclass(slots=True)
class StepTimes:
    """The clock of the step under way. What turns out to be an evaluation between two steps is left out."""

    start: float | None = None
    data: float = 0.0
    forward: float = 0.0
    backward: float = 0.0
    optimizer: float = 0.0
    held: float = 0.0
    """Spent at the safe point: a pause is nobody's step time."""
    fixed: float = 0.0
    """Ours, in every step."""
    measured: float = 0.0
    """Ours, for what is measured as the budget allows."""
    evaluating: bool = False
    """What was seen last may be an evaluation."""

    def fetched(self, now: float, seconds: float) -> None:
        """A batch was waited for."""
        self._begin_at(now - seconds)
        self.data += seconds

    def evaluated(self) -> None:
        """The model was called without gradients."""
        self.evaluating = self.backward == 0

    def called(self, now: float, seconds: float, training: bool) -> None:
        """The model was called with gradients; in eval mode that is an evaluation unless a backward follows."""
        self._begin_at(now - seconds)
        self.forward += seconds
        self.evaluating = not training and self.backward == 0

    def went_backward(self, now: float, seconds: float) -> None:
        """So what came before was training."""
        self.evaluating = self.evaluating and self.forward == 0
        self._begin_at(now - seconds)
        self.backward += seconds

    def total(self, now: float) -> float:
        """The time of a step that ends now; 0 where nothing of it was seen begin."""
        return 0.0 if self.start is None else now - self.start - self.held

    def _begin_at(self, moment: float) -> None:
        if self.start is None or self.evaluating:
            self.start = moment
            self.data = self.forward = self.fixed = 0.0
            self.evaluating = False
