"""Whether model, data and loss fit together, tried on two examples before the run."""

import traceback
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from sgdb_engine.errors import DataError

EQUAL_SHAPES = ("mse", "l1", "smooth_l1")


def check_fit(
    model: nn.Module,
    batch: tuple[Tensor, Tensor],
    loss_name: str,
    loss: Callable[[Any, Any], Tensor],
    classes: int | None,
) -> None:
    """Raises DataError with the shapes found. Weights, buffers, modes, random numbers stay as they are."""
    x, y = batch
    output = _output(model, x)
    if not isinstance(output, Tensor):
        raise DataError(f"the model gives {type(output).__name__}; {loss_name} needs one tensor of scores")
    shapes = f"output {tuple(output.shape)}, target {tuple(y.shape)}"
    if loss_name in EQUAL_SHAPES and output.shape != y.shape:
        raise DataError(f"{loss_name} compares element by element, so shapes must be equal: {shapes}")
    if loss_name == "binary_cross_entropy" and output.numel() != y.numel():
        raise DataError(f"binary_cross_entropy needs one score an example: {shapes}")
    if loss_name == "cross_entropy":
        _check_scores(output, y, classes, shapes)
    try:
        loss(output, y)
    except Exception as error:
        raise DataError(f"{loss_name} cannot be computed ({shapes}): {error}") from error


def _check_scores(output: Tensor, y: Tensor, classes: int | None, shapes: str) -> None:
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
