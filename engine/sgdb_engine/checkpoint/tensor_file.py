"""Tensors as the bytes of a safetensors file, a block at a time: a model is never in memory twice."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

import torch

from sgdb_engine.errors import CheckpointError

BLOCK_BYTES = 16 * 2**20

# The format: https://huggingface.co/docs/safetensors, 8 bytes of header length, a JSON header, the data.
_DTYPES = {
    torch.float64: "F64",
    torch.float32: "F32",
    torch.float16: "F16",
    torch.bfloat16: "BF16",
    torch.float8_e4m3fn: "F8_E4M3",
    torch.float8_e5m2: "F8_E5M2",
    torch.int64: "I64",
    torch.int32: "I32",
    torch.int16: "I16",
    torch.int8: "I8",
    torch.uint64: "U64",
    torch.uint32: "U32",
    torch.uint16: "U16",
    torch.uint8: "U8",
    torch.bool: "BOOL",
}


def safetensors_blocks(tensors: Mapping[str, torch.Tensor]) -> Iterator[bytes | memoryview]:
    """The file in pieces; each tensor is copied to the CPU when its turn comes.

    Raises CheckpointError for a dtype that the format does not have.
    """
    # the widest first, so that each lies at a multiple of its own width
    ordered = sorted(tensors.items(), key=lambda item: (-item[1].element_size(), item[0]))
    yield _header(ordered)
    for _, tensor in ordered:
        flat = tensor.resolve_neg().cpu().contiguous().reshape(-1)
        flat = flat.as_strided((flat.numel(),), (1,))  # one element counts as contiguous whatever its stride
        as_bytes: Any = flat.view(torch.uint8).numpy()
        data = memoryview(as_bytes)
        for start in range(0, len(data), BLOCK_BYTES):
            yield data[start : start + BLOCK_BYTES]


def _header(ordered: list[tuple[str, torch.Tensor]]) -> bytes:
    entries = {}
    end = 0
    for name, tensor in ordered:
        if tensor.dtype not in _DTYPES:
            raise CheckpointError(f"{name} has dtype {tensor.dtype}, which a safetensors file cannot hold.")
        start, end = end, end + tensor.numel() * tensor.element_size()
        entries[name] = {
            "dtype": _DTYPES[tensor.dtype],
            "shape": list(tensor.shape),
            "data_offsets": [start, end],
        }
    text = json.dumps(entries).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text
