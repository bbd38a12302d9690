"""Experiments of one step or less: what outputs depend on, and whether a step can be repeated."""

from sgdb_engine.checks.experiment import Experiment
from sgdb_engine.checks.probes import dependencies_of
from sgdb_engine.findings.facts import Dependencies


class Dependence(Experiment):
    """Calls of the model alone; the script does not go on."""

    name, seconds = "dependencies", 5.0

    def prepare(self) -> None:
        witness = self.setting.witness
        self._result = dependencies_of(
            self.setting.model,
            self.setting.first,
            text=self.setting.first.predicts_next_token(witness.first_input),
        )
        self.end()

    def result(self) -> Dependencies:
        return self._result


class Repeat(Experiment):
    """The next step's loss; twice the same where the training is deterministic."""

    name, seconds = "environment", 3.0

    def safe_point(self, loss: float) -> None:
        self._loss = loss
        self.end()

    def result(self) -> list[float]:
        return [self._loss]
