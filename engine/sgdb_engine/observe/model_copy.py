"""A copy of a model that can be called beside the training without the training noticing; where that is certain."""

import argparse
import copy
import dataclasses
import dis
import enum
import types
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn.modules import module as global_hooks

from sgdb_engine.witness.layers import something_is_compiled

MOST_PARAMETERS = 2**20
HOOKS = (
    "_forward_hooks",
    "_forward_pre_hooks",
    "_backward_hooks",
    "_backward_pre_hooks",
)
GLOBAL_HOOKS = ("_global_forward_hooks", "_global_forward_pre_hooks", "_global_backward_hooks")
SIMPLE = (
    *(type(None), bool, int, float, complex, str, bytes, enum.Enum, type, types.ModuleType),
    *(
        types.FunctionType,
        types.BuiltinFunctionType,
        torch.Size,
        torch.dtype,
        torch.device,
        np.ndarray,
        np.generic,
    ),
)
SPEAKING = frozenset({"print", "input", "open", "exec", "eval", "breakpoint"})
"""Functions that a forward pass would let the world see, or that may do anything."""


def copied(model: nn.Module) -> nn.Module | None:
    """In eval mode, with values of its own; None where a call of it might be noticed.

    Refused: what a compiler or a wrapper has a hand in, hooks, code that sets global variables or prints, attributes
    that are more than numbers, names, functions, tensors and containers of these.
    """
    if something_is_compiled() or any(getattr(global_hooks, name, None) for name in GLOBAL_HOOKS):
        return None
    modules = list(model.modules())
    if sum(p.numel() for p in model.parameters()) > MOST_PARAMETERS:
        return None
    if not all(_keeps_to_itself(module, modules) for module in modules):
        return None
    try:
        return copy.deepcopy(model).eval()
    except Exception:  # what the user's own classes raise here is no failure of ours
        return None


def _keeps_to_itself(module: nn.Module, registered: Sequence[nn.Module]) -> bool:
    if isinstance(module, torch.jit.ScriptModule | nn.parallel.DistributedDataParallel | nn.DataParallel):
        return False
    if any(not _is_pytorchs(hook) for name in HOOKS for hook in vars(module).get(name, {}).values()):
        return False
    if _is_pytorchs(module):
        return True
    own = {name: value for name, value in vars(module).items() if name not in HOOKS}
    return _is_plain(own, registered) and not any(map(_is_seen_outside, _code_of_forward(type(module))))


def _is_pytorchs(value: Any) -> bool:
    of = value if isinstance(value, types.FunctionType) else type(value)
    return str(of.__module__).startswith("torch.")


def _is_plain(value: Any, registered: Sequence[nn.Module], depth: int = 0) -> bool:
    if isinstance(value, SIMPLE):
        return True
    if isinstance(value, torch.Tensor):
        return type(value) in (torch.Tensor, nn.Parameter) and (value.is_leaf or not value.requires_grad)
    if isinstance(value, nn.Module):
        return any(value is each for each in registered)  # then it is looked at by itself
    if depth > 5:
        return False
    if isinstance(value, Mapping):
        return all(_is_plain(part, registered, depth + 1) for part in [*value.keys(), *value.values()])
    if isinstance(value, list | tuple | set | frozenset):
        return all(_is_plain(part, registered, depth + 1) for part in value)
    if dataclasses.is_dataclass(value) or isinstance(value, types.SimpleNamespace | argparse.Namespace):
        return _is_plain(getattr(value, "__dict__", value), registered, depth + 1)
    return False


def _code_of_forward(kind: type) -> Iterator[types.CodeType]:
    """That of `forward`, of the methods that it names, and so on."""
    names, seen = ["forward"], set()
    while names:
        name = names.pop()
        function = getattr(kind, name, None)
        function = function.fget if isinstance(function, property) else function
        code = getattr(function, "__code__", None)
        if name in seen or code is None:
            continue
        seen.add(name)
        for each in _with_inner(code):
            yield each
            names += each.co_names


def _with_inner(code: types.CodeType) -> Iterator[types.CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _with_inner(constant)


def _is_seen_outside(code: types.CodeType) -> bool:
    return not SPEAKING.isdisjoint(code.co_names) or any(
        each.opname in ("STORE_GLOBAL", "DELETE_GLOBAL") for each in dis.get_instructions(code)
    )
