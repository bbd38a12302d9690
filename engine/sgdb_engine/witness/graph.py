"""The autograd graph of a loss: which parameters it reaches, and what operation a tensor comes out of."""

from collections.abc import Iterator, Sequence
from typing import Any

import torch

from sgdb_engine.observe.readback import has_values

RESHAPING = {
    *("Alias", "AsStrided", "Clone", "Contiguous", "Expand", "Permute", "Reshape", "ReshapeAlias", "Select"),
    *("Slice", "Split", "SplitWithSizes", "Squeeze", "T", "ToCopy", "Transpose", "Unbind", "UnsafeView"),
    *("Unsqueeze", "View", "AsStridedBackward", "Flatten", "Chunk", "Float", "CppFunction"),
}
"""Nodes that leave the values as they are."""


def parameters_reached(losses: Any) -> list[torch.nn.Parameter]:
    """The parameters that a backward on these would give gradients to."""
    return [leaf for leaf in leaves_of(losses) if isinstance(leaf, torch.nn.Parameter)]


def leaves_of(losses: Any) -> list[torch.Tensor]:
    """The leaf tensors that some scalars were computed from, each once, in the order of the graph."""
    return list(dict.fromkeys(node.variable for node in _nodes(losses) if hasattr(node, "variable")))


def own_functions(losses: Sequence[torch.Tensor]) -> tuple[str, ...]:
    """The autograd functions that were written in Python outside of PyTorch, by the name of their class."""
    classes = {getattr(node, "_forward_cls", None) for node in _nodes(losses)} - {None}
    return tuple(
        sorted(c.__name__ for c in classes if c is not None and not c.__module__.startswith("torch."))
    )


def _nodes(losses: Any) -> Iterator[Any]:
    """All nodes of the graph of these."""
    each = (losses,) if isinstance(losses, torch.Tensor) else losses
    waiting = [loss.grad_fn for loss in each if isinstance(loss, torch.Tensor)]
    seen: set[Any] = set()
    while waiting:
        node = waiting.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        yield node
        waiting += [following for following, _ in node.next_functions]


def operation_of(tensor: torch.Tensor) -> str:
    """The operation that a tensor comes out of, views and casts skipped, by autograd's name: Softmax, Addmm; or ''."""
    node = tensor.grad_fn
    while node is not None:
        name = node.name().partition("Backward")[0].rstrip("0123456789")
        if name not in RESHAPING:
            return name
        node = next((following for following, _ in node.next_functions if following is not None), None)
    return ""


def has_own_values(value: Any) -> bool:
    """Whether it is a tensor, not what only stands for one, nor a place in the graph."""
    return isinstance(value, torch.Tensor) and has_values(value)
