"""What the outputs of a model depend on: called with changed inputs, in eval mode, with the same random numbers."""

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from sgdb_engine.findings.facts import Dependencies
from sgdb_engine.observe.measurements import tensors_in
from sgdb_engine.snapshot import random_state
from sgdb_engine.witness.first_step import FirstStep, cloned, mapped

TINY = 1e-12


@torch.no_grad()
def dependencies_of(model: nn.Module, first: FirstStep, *, text: bool) -> Dependencies:
    """Calls the model a few times; its modes are put back, buffers may change.

    Args:
        model: called in the first step.
        first: what it was called with.
        text: one target for each input token, the next one: a place must not see what comes behind it.
    """
    if len(first.calls) != 1:
        return Dependencies(reason="the model is called several times in each step")
    _, args, kwargs = first.calls[0]
    rows = _rows(args, kwargs)
    if rows < 2:
        return Dependencies(reason="the batch has one row")
    modes = [(module, module.training) for module in model.modules()]
    put_back_random = random_state()

    def output(change: Callable[[torch.Tensor], torch.Tensor]) -> torch.Tensor | None:
        put_back_random()
        given = mapped(cloned((args, kwargs)), lambda t: change(t) if t.ndim and t.shape[0] == rows else t)
        result = model(*given[0], **given[1])
        each = [t for t in tensors_in("output", result).values() if t.ndim and t.shape[0] == rows]
        return each[0].float() if each else None

    try:
        model.eval()
        return _compare(output, text)
    finally:
        for module, training in modes:
            module.training = training
        put_back_random()


def _rows(args: Any, kwargs: Any) -> int:
    each = [t for t in tensors_in("input", {**dict(enumerate(args)), **kwargs}).values() if t.ndim]
    return each[0].shape[0] if each else 0


def _compare(
    output: Callable[[Callable[[torch.Tensor], torch.Tensor]], torch.Tensor | None], text: bool
) -> Dependencies:
    plain = output(lambda t: t)
    if plain is None:
        return Dependencies(reason="the model gives no tensor with a row for each row of its input")
    if not bool(plain.isfinite().all()):
        return Dependencies(reason="the model gives NaN or infinity")
    if plain.ndim >= 2 and plain.shape[0] == plain.shape[1]:
        return Dependencies(reason="the model gives a square: every row against every other, as it seems")
    again = output(lambda t: t)
    if again is None or not torch.equal(plain, again):
        return Dependencies(reason="the model gives another output for the same input each time")
    scale = float(plain.std(unbiased=False)) if plain.numel() > 1 else 0.0
    size = max(scale, TINY * max(1.0, float(plain.abs().max())), TINY)
    shifted = output(lambda t: t.roll(1, 0))
    other = None if shifted is None else _change(shifted, plain, max(float(plain.abs().max()), TINY))
    others = output(_replace_others)
    rows = None if others is None else _change(others[0], plain[0], size)
    later, place = _later(output, plain, size) if text else (None, 0)
    return Dependencies(other_input=other, other_rows=rows, later_tokens=later, position=place)


def _change(one: torch.Tensor, other: torch.Tensor, size: float) -> float:
    return float((one - other).abs().max()) / size


def _replace_others(tensor: torch.Tensor) -> torch.Tensor:
    """All rows but the first become other data: permuting them would not be enough."""
    changed = tensor.clone()
    others = changed[1:]
    if tensor.is_floating_point():
        generator = torch.Generator().manual_seed(1)
        noise = torch.randn(others.shape, generator=generator).to(tensor)
        spread = float(tensor.float().std(unbiased=False)) or 1.0
        changed[1:] = others.flip(0).neg() * 2 + noise * spread
    elif tensor.dtype == torch.bool:
        return changed
    else:
        generator = torch.Generator().manual_seed(1)
        flat = others.reshape(-1)
        changed[1:] = flat[torch.randperm(flat.numel(), generator=generator).to(flat.device)].reshape(
            others.shape
        )
    return changed


def _later(
    output: Callable[[Callable[[torch.Tensor], torch.Tensor]], torch.Tensor | None],
    plain: torch.Tensor,
    size: float,
) -> tuple[float | None, int]:
    """Changes of the outputs of the first half of the places, when the tokens of the second half are others."""
    length = 0

    def change(tensor: torch.Tensor) -> torch.Tensor:
        nonlocal length
        if tensor.is_floating_point() or tensor.ndim != 2 or tensor.shape[1] < 4:
            return tensor
        length = tensor.shape[1]
        changed = tensor.clone()
        changed[:, length // 2 :] = tensor.roll(1, 0)[:, length // 2 :].flip(1)
        return changed

    other = output(change)
    if other is None or not length:
        return None, 0
    half = length // 2
    if plain.ndim == 3 and plain.shape[1] == length:
        return _change(other[:, :half], plain[:, :half], size), half
    if plain.ndim == 3 and plain.shape[2] == length:
        return _change(other[:, :, :half], plain[:, :, :half], size), half
    return None, 0
