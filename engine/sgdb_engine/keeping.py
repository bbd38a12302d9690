"""What is decided after each validation: is it the best so far, is it saved, is it time to stop."""

from typing import TYPE_CHECKING

from sgdb_engine.best import Best
from sgdb_engine.config.records import TrainSection
from sgdb_engine.errors import DataError
from sgdb_engine.session import Engine

if TYPE_CHECKING:
    from sgdb_engine.workload import Workload


class Keeping:
    """The end of each epoch of a run: its mark, its checkpoints, early stopping."""

    def __init__(self, engine: Engine, train: TrainSection, workload: "Workload") -> None:
        """Judges the epochs of `engine` by `train`.

        Raises:
            DataError: a validation, or a metric, is asked for that the workload does not have.
        """
        self._engine = engine
        self._model = workload.model
        self._checkpoint = train.checkpoint
        self._stopping = train.early_stopping
        self._kept_by = train.checkpoint.best if train.checkpoint else None
        _require_validation(train, workload)
        self._best = Best(self._kept_by or "val/loss")
        self._loss = Best("val/loss", self._stopping.min_delta if self._stopping else 0.0)
        self._validations = 0
        """There is one in each epoch."""
        self._in_best = ""
        """What the folder best/ holds."""

    def validated(self, metrics: dict[str, float]) -> None:
        """Records the validation pass of an epoch; a model that is the best so far is saved."""
        self._validations += 1
        epoch, step = self._validations, self._engine.step
        self._loss.improved(metrics, epoch, step)
        best = self._best.improved(metrics, epoch, step)
        self._engine.validated(metrics, best=best)
        if best and self._kept_by and self._save("best", keep=1):
            self._in_best = str(self._best)

    def enough(self, epoch: int) -> bool:
        """Saves the epoch if it is due; whether the training is to end here."""
        if self._checkpoint and epoch == self._engine.epoch:  # a last epoch may be cut short by steps
            every = 1 if self._checkpoint.every == "epoch" else self._checkpoint.every
            if epoch % every == 0:
                self._save("checkpoints", keep=self._checkpoint.keep)
        if self._stopping is None or self._loss.waited < self._stopping.patience:
            return False
        self._note(
            f"Early stopping after epoch {epoch}: {self._loss}; no validation since improved on it "
            f"by more than {self._loss.min_delta:g} (patience {self._stopping.patience})"
        )
        return True

    def tell_result(self) -> None:
        """Says which weights are the result, where the best are kept."""
        if self._in_best:
            self._note(f"The result is the model in best/: {self._in_best}")
        elif self._kept_by:
            self._note("There is no model in best/: none was validated and saved")

    def put_result_back(self) -> None:
        """Gives the model the best weights again, however the run ended."""
        if not self._in_best:
            return
        from sgdb_engine.checkpoint import load_checkpoint

        try:
            best = load_checkpoint(self._engine.folder / "best")
            self._model.load_state_dict(best.state["model"])
        except Exception as error:  # a damaged disk, say: the training is over all the same
            self._note(f"The model keeps its last weights: those in best/ cannot be read: {error}")

    def _save(self, place: str, keep: int) -> bool:
        try:
            self._engine.saving.save(self._engine.step, place, keep)
        except Exception as error:  # a full disk, say: the training goes on
            self._note(f"Not saved into {place}/: {error}")
            return False
        return True

    def _note(self, text: str) -> None:
        self._engine.note(text)


def _require_validation(train: TrainSection, workload: "Workload") -> None:
    from sgdb_engine.workload.schedules import waits_for_validation

    if workload.val is None and waits_for_validation(workload.schedule):
        raise DataError(
            'schedule.name = "plateau" waits for val/loss, and there is no validation set: '
            "set data.validation above 0, such as 0.2, or take another schedule"
        )
    best = train.checkpoint.best if train.checkpoint else None
    key = "early_stopping" if train.early_stopping else "checkpoint.best" if best else None
    if key and workload.val is None:
        raise DataError(
            f"train.{key} needs a validation set, and there is none: "
            "set data.validation above 0, such as 0.2, or leave the key out"
        )
    if best == "val/accuracy" and "accuracy" not in workload.metrics:
        raise DataError(
            'train.checkpoint.best = "val/accuracy": this loss has no accuracy; write best = "val/loss"'
        )
