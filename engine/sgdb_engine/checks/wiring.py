"""What keeps a model from learning although it runs: seen on one forward and backward, before any update."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.overrides import TorchFunctionMode

MOST_NAMED = 8


class UsedParameters(TorchFunctionMode):
    """Notes, while it is entered, which parameters of a model the calling thread computes with.

    That is more than what the graph knows: it does not reach below a `detach`.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self._names = {id(parameter): name for name, parameter in model.named_parameters()}
        self.names: set[str] = set()

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        if _computes(func, result):
            self.names |= {self._names[id(p)] for p in _parameters((args, kwargs)) if id(p) in self._names}
        return result


def _computes(func: Callable[..., Any], result: Any) -> bool:
    """Not so: asking a parameter for its device or its shape."""
    if isinstance(result, tuple | list):
        return any(isinstance(part, Tensor) for part in result)
    return isinstance(result, Tensor) or getattr(func, "__name__", "") in ("item", "tolist", "numpy")


def _parameters(value: Any) -> Iterator[nn.Parameter]:
    if isinstance(value, nn.Parameter):
        yield value
    elif isinstance(value, dict):
        yield from _parameters(list(value.values()))
    elif isinstance(value, tuple | list):
        for part in value:
            yield from _parameters(part)


def cut_parameters(model: nn.Module, optimizer: Optimizer, used: set[str]) -> list[str]:
    """Trainable parameters that the forward pass computed with and that the backward pass did not reach.

    One that is not used may be meant so (a branch, a head for later), and is not among them.
    """
    optimized = {id(p) for group in optimizer.param_groups for p in group["params"]}
    return [
        name
        for name, parameter in model.named_parameters()
        if parameter.requires_grad and parameter.grad is None and id(parameter) in optimized and name in used
    ]


def why_cut(names: Sequence[str]) -> str:
    """What to say of parameters that the backward pass did not reach; empty where there are none."""
    if not names:
        return ""
    take, they = ("takes", "it learns") if len(names) == 1 else ("take", "they learn")
    return (
        f"{named(names)} {take} part in the forward pass but no gradient comes back, so {they} nothing: look for a "
        "detach, no_grad, .data, .item() or argmax between there and the loss, "
        "or freeze on purpose with requires_grad_(False)"
    )


def why_nothing_trains(model: nn.Module, optimizer: Optimizer, loss: Tensor) -> str:
    """Why no update can change anything; empty where one can."""
    parameters = list(model.parameters())
    held = [p for group in optimizer.param_groups for p in group["params"]]
    if not any(p.requires_grad for p in parameters):
        return (
            f"all {len(parameters)} parameters of the model are frozen (requires_grad is False), so nothing can be "
            "learnt: let at least the last layer train, with requires_grad_(True)"
        )
    if not loss.requires_grad:
        return (
            "the loss does not depend on any trainable parameter: the graph is cut on the way to the loss; "
            "look for a detach, no_grad, .data, .item() or argmax at the end of the model"
        )
    if not any(p.requires_grad for p in held):
        return f"all {len(held)} parameters given to the optimizer are frozen (requires_grad is False)"
    owned = {id(p) for p in parameters}
    if not any(id(p) in owned for p in held):
        return "the optimizer holds the parameters of another model: build it after the model is final"
    return ""


REACH = {
    "ReluBackward0": ("a ReLU", 0.0, torch.inf),
    "SoftplusBackward0": ("a softplus", 0.0, torch.inf),
    "SigmoidBackward0": ("a sigmoid", 0.0, 1.0),
    "SoftmaxBackward0": ("a softmax", 0.0, 1.0),
    "TanhBackward0": ("a tanh", -1.0, 1.0),
}
"""Nodes of the graph that bound what they give: what it is, from, to."""
RESHAPING = {
    *("Alias", "Clone", "Expand", "Permute", "Reshape", "ReshapeAlias", "Select", "Slice", "Squeeze"),
    *("T", "ToCopy", "Transpose", "UnsafeView", "Unsqueeze", "View"),
}
"""Nodes of the graph that leave the values as they are."""


def unreachable_targets(output: Tensor, target: Tensor, losses: Sequence[str]) -> str:
    """Why a model's last layer keeps it from its targets; empty where it does not.

    Args:
        output: of the model, with its graph.
        target: class numbers, or real numbers in the shape of the output.
        losses: names of the config's losses.
    """
    node = output.grad_fn
    while node is not None and node.name().partition("Backward")[0].rstrip("0123456789") in RESHAPING:
        node = node.next_functions[0][0]
    name = node.name() if node is not None else ""
    if name not in REACH:
        return ""
    what, low, high = REACH[name]
    if not target.is_floating_point():
        return _squashed_twice(what, losses)
    margin = 0.01 * float(target.std(unbiased=False))
    beyond = int(((target < low - margin) | (target > high + margin)).sum())
    if not beyond:
        return ""
    bounds = "nothing below 0" if high == torch.inf else f"only values from {low:g} to {high:g}"
    return (
        f"the model ends in {what}, which gives {bounds}, but the targets range from {float(target.min()):.3g} to "
        f"{float(target.max()):.3g}: {beyond} of {target.numel()} can never be reached. "
        "Remove it, the last layer should be linear"
    )


def _squashed_twice(what: str, losses: Sequence[str]) -> str:
    for loss, twice in (("cross_entropy", "a softmax"), ("binary_cross_entropy", "a sigmoid")):
        if loss in losses and what == twice:
            return (
                f"the model ends in {what}, but {loss} applies it itself: applied twice, the loss cannot get near 0. "
                "Remove it, the loss wants the raw scores"
            )
    return ""


def named(names: Sequence[str]) -> str:
    """The first few of a list, and how many more there are."""
    more = len(names) - MOST_NAMED
    return ", ".join(names[:MOST_NAMED]) + (f" and {more} more" if more > 0 else "")
