"""What keeps a model from learning although it runs: seen on one forward and backward, before any update."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from torch import Tensor, nn
from torch.optim import Optimizer

MOST_NAMED = 4


@contextmanager
def called_modules(model: nn.Module) -> Iterator[set[str]]:
    """Collects the names of the modules whose forward runs."""
    called: set[str] = set()
    handles = [
        module.register_forward_hook(lambda *_, name=name: called.add(name))
        for name, module in model.named_modules()
    ]
    try:
        yield called
    finally:
        for handle in handles:
            handle.remove()


def cut_parameters(model: nn.Module, optimizer: Optimizer, called: set[str]) -> list[str]:
    """Trainable parameters whose module ran and that the backward pass did not reach.

    A module that did not run may be meant so (a branch, an unused head): its parameters are not among them.
    """
    optimized = {id(p) for group in optimizer.param_groups for p in group["params"]}
    return [
        name
        for name, parameter in model.named_parameters()
        if parameter.requires_grad
        and parameter.grad is None
        and id(parameter) in optimized
        and name.rpartition(".")[0] in called
    ]


def why_nothing_trains(model: nn.Module, optimizer: Optimizer, loss: Tensor) -> str:
    """Why no update can change anything; empty where one can."""
    parameters = list(model.parameters())
    held = [p for group in optimizer.param_groups for p in group["params"]]
    if not any(p.requires_grad for p in parameters):
        return f"all {len(parameters)} parameters of the model are frozen (requires_grad is False)"
    if not loss.requires_grad:
        return (
            "the loss does not depend on any trainable parameter: the graph is cut before the loss "
            "(detach, no_grad, .data, argmax, .item()?)"
        )
    if not any(p.requires_grad for p in held):
        return f"all {len(held)} parameters given to the optimizer are frozen (requires_grad is False)"
    owned = {id(p) for p in parameters}
    if not any(id(p) in owned for p in held):
        return "the optimizer holds the parameters of another model: build it after the model is final"
    return ""


def named(names: Sequence[str]) -> str:
    """The first few of a list, and how many more there are."""
    more = len(names) - MOST_NAMED
    return ", ".join(names[:MOST_NAMED]) + (f" and {more} more" if more > 0 else "")
