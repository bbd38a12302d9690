"""All experiments by name."""

from sgdb_engine.checks.batch_noise import FrozenWeights
from sgdb_engine.checks.experiment import Experiment
from sgdb_engine.checks.first_steps import FirstSteps
from sgdb_engine.checks.gradient_check import Differences
from sgdb_engine.checks.lr_range import Sweep, WholeSweep
from sgdb_engine.checks.one_batch import Rescue, UserStep, ZeroInput
from sgdb_engine.checks.single_calls import Dependence, Repeat

EXPERIMENTS: dict[str, type[Experiment]] = {
    kind.name: kind
    for kind in (
        Repeat,
        FirstSteps,
        FrozenWeights,
        Dependence,
        Differences,
        UserStep,
        Rescue,
        ZeroInput,
        Sweep,
        WholeSweep,
    )
}
