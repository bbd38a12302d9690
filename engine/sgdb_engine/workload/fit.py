"""Whether model, data and loss fit together, tried on two examples before the run."""

import traceback
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from sgdb_engine.config.records import LossTerm
from sgdb_engine.config.wording import listed
from sgdb_engine.errors import DataError
from sgdb_engine.workload.datasets.examples import Facts
from sgdb_engine.workload.losses import EQUAL_SHAPES, for_target


def check_fit(
    model: nn.Module,
    batch: tuple[Tensor, Any],
    terms: Sequence[LossTerm],
    loss: Callable[[Any, Any], Tensor],
    facts: Facts,
) -> None:
    """Raises DataError with the shapes found. Weights, buffers, modes, random numbers stay as they are."""
    x, y = batch
    output = _output(model, x)
    several = isinstance(y, Mapping)
    for term in terms:
        if several and (not isinstance(output, Mapping) or term.target not in output):
            given = listed(output) if isinstance(output, Mapping) else type(output).__name__
            raise DataError(
                f"the model gives {given}; with the targets {listed(y)} it must give a dict with an output for each"
            )
        named = isinstance(output, Mapping) and term.target in output
        given, wanted = output[term.target] if named else output, for_target(y, term.target)
        _check_term(term.name, given, wanted)
        if term.name == "cross_entropy":
            _check_scores(given, wanted, facts.targets[term.target].classes)
    try:
        loss(output, y)
    except Exception as error:
        names = listed([term.name for term in terms])
        raise DataError(f"{names} cannot be computed ({_shapes(output, y)}): {error}") from error


def _shapes(output: Any, y: Any) -> str:
    if isinstance(y, Mapping):
        return "; ".join(f"{name}: {_shapes(output[name], each)}" for name, each in y.items())
    return f"output {tuple(output.shape)}, target {tuple(y.shape)}"


def _check_term(loss_name: str, output: Any, y: Tensor) -> None:
    if not isinstance(output, Tensor):
        raise DataError(f"the model gives {type(output).__name__}; {loss_name} needs one tensor of scores")
    shapes = _shapes(output, y)
    if loss_name in EQUAL_SHAPES and output.shape != y.shape:
        raise DataError(f"{loss_name} compares element by element, so shapes must be equal: {shapes}")
    if loss_name == "binary_cross_entropy" and output.numel() != y.numel():
        raise DataError(f"binary_cross_entropy needs one score an example: {shapes}")


def _check_scores(output: Tensor, y: Tensor, classes: int | None) -> None:
    shapes = _shapes(output, y)
    if output.ndim < 2 or (output.shape[:-1] != y.shape and output[:, 0].shape != y.shape):
        raise DataError(f"cross_entropy needs one score a class for each target: {shapes}")
    scores = output.shape[-1] if output.shape[:-1] == y.shape else output.shape[1]
    if classes is not None and scores < classes:
        raise DataError(f"the model gives scores for {scores} classes, the data have {classes}: {shapes}")


def _output(model: nn.Module, x: Tensor) -> Any:
    modes = [(module, module.training) for module in model.modules()]
    cuda = [x.device] if x.device.type == "cuda" else []
    try:
        with torch.no_grad(), torch.random.fork_rng(devices=cuda):
            return model.eval()(x)
    except Exception as error:
        listing = "".join(traceback.format_exception(error)).rstrip()
        raise DataError(
            f"the model cannot take these data: x is {tuple(x.shape)}, "
            f"{str(x.dtype).removeprefix('torch.')}: {type(error).__name__}: {error}\n{listing}"
        ) from error
    finally:
        for module, training in modes:
            module.training = training
