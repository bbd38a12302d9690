"""State as JSON and named tensors, and back, bit for bit; anything else is refused by its path."""

import math
from collections import Counter, OrderedDict
from typing import Any

import numpy as np
import torch

from sgdb_engine.errors import CheckpointError

MAX_DEPTH = 100
_MAPPINGS: dict[str, type[dict[Any, Any]]] = {"dict": dict, "OrderedDict": OrderedDict, "Counter": Counter}
_PLAIN_TENSORS = (torch.Tensor, torch.nn.Parameter)


def encode(state: Any) -> tuple[Any, dict[str, torch.Tensor]]:
    """A tree that JSON can hold exactly, and the tensors it names.

    The tensors are still where they were (no copy); one that occurs twice, as tied weights do, is named twice
    and held once. Raises CheckpointError for what is no tensor, number, string, None, list, tuple or dict.
    """
    encoder = _Encoder()
    return encoder.visit(state, "", 0), encoder.tensors


def decode(tree: Any, tensors: dict[str, torch.Tensor]) -> Any:
    """The state again. Raises ValueError or KeyError for a tree that `encode` did not make."""
    if isinstance(tree, list):
        return [decode(value, tensors) for value in tree]
    if not isinstance(tree, dict):
        return tree
    if not any(key.startswith("$") for key in tree):
        return {key: decode(value, tensors) for key, value in tree.items()}
    match tree:
        case {"$tensor": name, "complex": True}:
            return torch.view_as_complex(
                tensors[name].clone()
            )  # in the file its parts are aligned, not the pair
        case {"$tensor": name}:
            return tensors[name]
        case {"$float": text}:
            return float(text)
        case {"$tuple": values}:
            return tuple(decode(value, tensors) for value in values)
        case {"$numpy": dtype, "shape": shape, "hex": data}:
            array = np.frombuffer(bytearray.fromhex(data), dtype=np.dtype(dtype)).reshape(shape)
            return array[()] if tree["scalar"] else array
        case {"$mapping": kind, "items": items}:
            return _MAPPINGS[kind]({decode(key, tensors): decode(value, tensors) for key, value in items})
    raise ValueError(f"unknown kind of value: {', '.join(tree)}")


class _Encoder:
    """Walks a state, and collects its tensors on the way."""

    def __init__(self) -> None:
        self.tensors: dict[str, torch.Tensor] = {}
        self._names: dict[tuple[object, ...], str] = {}

    def visit(self, value: Any, path: str, depth: int) -> Any:
        if depth > MAX_DEPTH:
            raise CheckpointError(f"{path} is nested deeper than {MAX_DEPTH} levels, or contains itself.")
        if value is None or type(value) in (bool, int, str):
            return value
        if isinstance(value, float):  # numpy's float64 is one
            return float(value) if math.isfinite(value) else {"$float": repr(float(value))}
        if isinstance(value, torch.Tensor):
            return self._tensor(value, path)
        if isinstance(value, np.ndarray | np.generic):
            return _numpy(value, path)
        if type(value) in (list, tuple):
            values = [self.visit(each, _below(path, index), depth + 1) for index, each in enumerate(value)]
            return values if type(value) is list else {"$tuple": values}
        if type(value) in _MAPPINGS.values():
            return self._mapping(value, path, depth)
        raise _refusal(path, f"a {type(value).__module__}.{type(value).__qualname__}")

    def _mapping(self, value: dict[Any, Any], path: str, depth: int) -> Any:
        items = [
            (self._key(key, path, depth), self.visit(each, _below(path, key), depth + 1))
            for key, each in value.items()
        ]
        if type(value) is dict and all(type(key) is str and not key.startswith("$") for key in value):
            return dict(items)
        return {"$mapping": type(value).__name__, "items": items}

    def _key(self, key: Any, path: str, depth: int) -> Any:
        if isinstance(key, torch.Tensor | np.ndarray):
            raise _refusal(f"A key of {path or 'the state'}", "a tensor")
        return self.visit(key, f"the key {key!r} of {path or 'the state'}", depth + 1)

    def _tensor(self, tensor: torch.Tensor, path: str) -> Any:
        kind = _kind_that_does_not_fit(tensor)
        if kind:
            raise _refusal(path, kind)
        identity = (
            tensor.device,
            tensor.data_ptr(),
            tensor.dtype,
            tuple(tensor.shape),
            tensor.stride(),
            tensor.is_conj(),
            tensor.is_neg(),
        )
        name = self._names.get(identity) or self._new_name(path)
        self._names[identity] = name
        tensor = tensor.detach()
        if not tensor.is_complex():
            self.tensors[name] = tensor
            return {"$tensor": name}
        self.tensors[name] = torch.view_as_real(tensor.resolve_conj())
        return {"$tensor": name, "complex": True}

    def _new_name(self, path: str) -> str:
        name = path.encode(errors="replace").decode()  # a safetensors file is UTF-8
        while name in self.tensors or name in ("", "__metadata__"):  # {1: …, "1": …}; reserved by the format
            name += "_"
        return name


def _below(path: str, key: object) -> str:
    return f"{path}/{key}" if path else str(key)


def _kind_that_does_not_fit(tensor: torch.Tensor) -> str:
    if type(tensor) not in _PLAIN_TENSORS:
        return f"a {type(tensor).__name__}"
    if tensor.layout != torch.strided:
        return f"a tensor of layout {tensor.layout}"
    if tensor.is_quantized or tensor.is_meta:
        return "a quantized tensor" if tensor.is_quantized else "a tensor without data (device meta)"
    return ""


def _numpy(value: "np.ndarray[Any, Any] | np.generic", path: str) -> Any:
    if value.dtype.kind not in "biufc":
        raise _refusal(path, f"a numpy value of dtype {value.dtype}")
    return {
        "$numpy": value.dtype.str,
        "shape": list(value.shape),
        "hex": value.tobytes().hex(),
        "scalar": isinstance(value, np.generic),
    }


def _refusal(path: str, kind: str) -> CheckpointError:
    return CheckpointError(
        f"{path} is {kind}. A checkpoint holds tensors, numbers, strings, None, and lists, tuples and dicts"
        " of these: keep what describes the object instead of the object."
    )
