"""Which module owns which, and the names that parameters have in the outermost one."""

import contextlib
import weakref
from collections.abc import Callable, Iterable
from types import FrameType
from typing import Any

import torch
from torch import nn
from torch.nn.modules import module as torch_module

from sgdb_engine.text import clean

INNER = {
    "DistributedDataParallel": "module",
    "DataParallel": "module",
    "FullyShardedDataParallel": "_fsdp_wrapped_module",
    "OptimizedModule": "_orig_mod",
}
"""Wrappers that are no part of a parameter's name: class → where it keeps what it wraps."""
WRAPPERS = tuple(
    f"{attribute}." for attribute in (*dict.fromkeys(INNER.values()), "_checkpoint_wrapped_module")
)
DEEPEST = 1000

Parent = tuple["weakref.ref[nn.Module]", str]
"""A module, and under which name something was registered in it."""


class Owners:
    """Remembers, weakly, where modules and parameters are registered while it listens.

    There is no reference to a parameter, not even a weak one: PyTorch refuses to swap tensors that have any.
    """

    def __init__(self) -> None:
        self._parents: dict[int, Parent] = {}

    def listen(self) -> Callable[[], None]:
        """From now on; returns the way back."""
        modules = torch_module.register_module_module_registration_hook(self._registered)
        parameters = torch_module.register_module_parameter_registration_hook(self._registered)

        def stop() -> None:
            modules.remove()
            parameters.remove()

        return stop

    def top_of(self, owned: nn.Module | torch.Tensor) -> Any:
        """The outermost living module that owns it; itself where none is known."""
        top: Any = owned
        for _ in range(DEEPEST):
            parent, name = self._parents.get(id(top), (None, ""))
            above = parent() if parent is not None else None
            if above is None or not (top is above._modules.get(name) or top is above._parameters.get(name)):
                break
            top = above
        return top

    def _registered(self, parent: nn.Module, name: str, owned: Any) -> None:
        with contextlib.suppress(Exception):  # this runs while the user's model is built
            if owned is not None:
                key = id(owned)
                forget = self._parents.pop
                self._parents[key] = weakref.ref(parent, lambda _: forget(key, None)), name


def unwrapped(module: nn.Module) -> nn.Module:
    """What DDP, DataParallel or a compiler was wrapped around."""
    while type(module).__name__ in INNER:
        inner = getattr(module, INNER[type(module).__name__], None)
        if not isinstance(inner, nn.Module):
            break
        module = inner
    return module


def names_in(tops: Iterable[tuple[str, nn.Module]]) -> dict[int, str]:
    """The names of the parameters of some modules by `id`, the module's own name before them where it has one."""
    names: dict[int, str] = {}
    for prefix, top in tops:
        for name, parameter in unwrapped(top).named_parameters():
            for wrapper in WRAPPERS:
                name = name.replace(wrapper, "")
            names.setdefault(id(parameter), clean(f"{prefix}.{name}" if prefix else name))
    return names


def variable_for(module: nn.Module, frame: FrameType | None) -> str:
    """What the caller's code calls a module: a variable of the frame, or an attribute of its `self`; else its class."""
    if frame is not None:
        places = (frame.f_locals, vars_of(frame.f_locals.get("self")), frame.f_globals)
        for place in places:
            for name, value in list(place.items()):
                if value is module and name.isidentifier() and not name.startswith("_"):
                    return clean(name, 40)
    return clean(type(unwrapped(module)).__name__, 40)


def vars_of(thing: Any) -> dict[str, Any]:
    """Attributes of an object, the submodules of a module among them."""
    found = dict(getattr(thing, "__dict__", None) or {})
    return {**found, **(found.get("_modules") or {})}
