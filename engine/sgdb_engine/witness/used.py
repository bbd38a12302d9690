"""Which parameters a forward pass computes with."""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

from torch import Tensor, nn
from torch.overrides import TorchFunctionMode


class UsedParameters(TorchFunctionMode):
    """Notes, while it is entered, which parameters of a model the calling thread computes with.

    That is more than what the graph knows: it does not reach below a `detach`.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self._own = set(model.parameters())
        self.parameters: set[nn.Parameter] = set()

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        with contextlib.suppress(Exception):  # whatever else calls PyTorch here is the user's
            if _computes(func, result):
                self.parameters.update(p for p in _parameters((args, kwargs)) if p in self._own)
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
