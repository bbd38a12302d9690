"""What the first step of a training was given, and copies of such things."""

import hashlib
from collections.abc import Callable, Mapping
from typing import Any

import torch

NEXT_TOKEN = 0.9
"""Share of targets that must be the token behind the input's."""
Changed = Callable[[torch.Tensor], torch.Tensor]


def mapped(value: Any, change: Changed) -> Any:
    """The same with each tensor in it changed."""
    if isinstance(value, torch.Tensor):
        return change(value)
    if isinstance(value, Mapping):
        copy = {key: mapped(inner, change) for key, inner in value.items()}
        if type(value) is dict:
            return copy
        try:
            return type(value)(copy)  # type: ignore[call-arg]
        except TypeError:
            return copy
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return type(value)(*(mapped(inner, change) for inner in value))
    if isinstance(value, (list, tuple)):
        return type(value)(mapped(inner, change) for inner in value)
    return value


def cloned(value: Any) -> Any:
    """A copy of what a loader or a model is given, without history."""
    return mapped(value, lambda tensor: tensor.detach().clone())


def digest(value: Any) -> bytes:
    """Equal for equal tensors in equal places."""
    found = hashlib.blake2b(digest_size=16)

    def add(tensor: torch.Tensor) -> torch.Tensor:
        found.update(str((tuple(tensor.shape), tensor.dtype)).encode())
        if tensor.layout == torch.strided:
            whole = tensor.detach().cpu().contiguous()
            found.update(whole.reshape(-1).view(torch.uint8).numpy().tobytes() if whole.numel() else b"")
        return tensor

    mapped(value, add)
    return found.digest()


class FirstStep:
    """What the model and the losses were given in the first step: kept by a witness that takes its time."""

    def __init__(self) -> None:
        self.calls: list[tuple[torch.nn.Module, tuple[Any, ...], dict[str, Any]]] = []
        self.targets: list[torch.Tensor] = []
        self.batch: Any = None
        """Of the loader; None where none was used."""
        self.iterator: Any = None
        """What it came from."""

    def predicts_next_token(self, first: torch.Tensor | None) -> bool:
        """Whether the targets are the inputs of the model, one place on, or these inputs themselves."""
        if first is None or first.is_floating_point() or first.ndim != 2 or len(self.targets) != 1:
            return False
        target = self.targets[0]
        if target.is_floating_point() or target.numel() != first.numel() or first.shape[1] < 4:
            return False
        target = target.reshape(first.shape)
        shifted = float((target[:, :-1] == first[:, 1:]).double().mean())
        return max(shifted, float((target == first).double().mean())) > NEXT_TOKEN
