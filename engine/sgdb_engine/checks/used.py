"""Which parameters a forward pass computes with."""

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
