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
    own_until: float | None = None
    """When it first waits for other ranks, for as long as the rest of the step."""
    waited: float = 0.0
    """For other ranks, before that."""
    evaluating: bool = False
    """What was seen last may be an evaluation."""

    def fetched(self, now: float, seconds: float) -> bool:
        """A batch was waited for; whether the step turns out to begin there, as in the following two."""
        begins = self._begin_at(now - seconds)
        self.data += seconds
        return begins

    def evaluated(self) -> None:
        """The model was called without gradients."""
        self.evaluating = self.backward == 0

    def called(self, now: float, seconds: float, training: bool) -> bool:
        """The model was called with gradients; in eval mode that is an evaluation unless a backward follows."""
        begins = self._begin_at(now - seconds)
        self.forward += seconds
        self.evaluating = not training and self.backward == 0
        return begins

    def went_backward(self, now: float, seconds: float) -> bool:
        """So what came before was training."""
        self.evaluating = self.evaluating and self.forward == 0
        begins = self._begin_at(now - seconds)
        self.backward += seconds
        return begins

    def own_work_ends(self, now: float) -> None:
        """Waiting and own work are not told apart any more; later such moments say nothing more."""
        if self.own_until is None and self.start is not None:
            self.own_until = now

    def columns(self, now: float, step_s: float, sgdb_s: float) -> dict[str, float]:
        """Of a step that ends now and took `step_s`, pauses left out, of which `sgdb_s` are ours."""
        columns = {
            "time/step": step_s,
            "time/data": self.data,
            "time/forward": self.forward,
            "time/backward": self.backward,
            "time/optimizer": self.optimizer,
            "time/sgdb": sgdb_s,
        }
        own = self._own(now)
        return columns if own is None else {**columns, "time/own": own}

    def _own(self, now: float) -> float | None:
        """Its own work in a step that ends now; None where it waits for nobody, or it is not known how long."""
        if self.start is None or (self.own_until is None and not self.waited):
            return None
        return max(0.0, (now if self.own_until is None else self.own_until) - self.start - self.waited)

    def total(self, now: float) -> float:
        """The time of a step that ends now; 0 where nothing of it was seen begin."""
        return 0.0 if self.start is None else now - self.start

    def _begin_at(self, moment: float) -> bool:
        if self.start is not None and not self.evaluating:
            return False
        self.start = moment
        self.data = self.forward = 0.0
        self.own_until, self.waited = None, 0.0
        self.evaluating = False
        return True
