"""The models of a config, by name."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from torch import nn

from sgdb_engine.config.records import ModelSection, OwnModel
from sgdb_engine.errors import TargetError
from sgdb_engine.workload.datasets.examples import Facts
from sgdb_engine.workload.importing import call, load_object
from sgdb_engine.workload.models.cnn import build_cnn
from sgdb_engine.workload.models.heads import Heads
from sgdb_engine.workload.models.mlp import build_mlp
from sgdb_engine.workload.models.transformer import build_transformer

MODELS: dict[str, Callable[[Any, Facts, Heads], nn.Module]] = {
    "mlp": build_mlp,
    "cnn": build_cnn,
    "transformer": build_transformer,
}


def build_model(section: ModelSection, facts: Facts, heads: Heads, folder: Path) -> nn.Module:
    """The model that a config names, for these data, with outputs for each target.

    Raises DataError where it cannot take them, TargetError where the user's own cannot be made.
    """
    if not isinstance(section, OwnModel):
        return MODELS[section.name or ""](section, facts, heads)
    spec = section.use or ""
    made = call("model.use", spec, load_object("model.use", spec, folder), section.arguments)
    if not isinstance(made, nn.Module):
        wrong = f"gave {type(made).__name__}; it must give a torch.nn.Module"
        raise TargetError(f'model.use = "{spec}": {wrong}')
    return made
