"""What PyTorch, numpy and decimal keep per thread: taken from one thread, set in another."""

import decimal
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

AUTOCAST_DEVICES = ("cpu", "cuda")


@dataclass(frozen=True)
class ThreadState:
    """Thread-local settings that change what a training computes."""

    default_device: torch.device
    grad_enabled: bool
    autocast: dict[str, tuple[bool, torch.dtype]]
    autocast_cache: bool
    numpy_errors: dict[str, Any]
    decimal_context: decimal.Context
    cuda_device: int | None


def capture() -> ThreadState:
    """The settings of the calling thread."""
    return ThreadState(
        default_device=torch.get_default_device(),
        grad_enabled=torch.is_grad_enabled(),
        autocast={
            device: (torch.is_autocast_enabled(device), torch.get_autocast_dtype(device))
            for device in AUTOCAST_DEVICES
        },
        autocast_cache=torch.is_autocast_cache_enabled(),
        numpy_errors=dict(np.geterr()),
        decimal_context=decimal.getcontext().copy(),
        cuda_device=torch.cuda.current_device() if _uses_cuda() else None,
    )


def _uses_cuda() -> bool:
    return bool(torch.cuda.is_initialized())  # type: ignore[no-untyped-call]


def apply(state: ThreadState) -> None:
    """Sets them in the calling thread."""
    if torch.get_default_device() != state.default_device:
        torch.set_default_device(state.default_device)
    torch.set_grad_enabled(state.grad_enabled)
    for device, (enabled, dtype) in state.autocast.items():
        torch.set_autocast_dtype(device, dtype)
        torch.set_autocast_enabled(device, enabled)
    torch.set_autocast_cache_enabled(state.autocast_cache)
    np.seterr(**state.numpy_errors)
    decimal.setcontext(state.decimal_context)
    if state.cuda_device is not None:
        torch.cuda.set_device(state.cuda_device)
