"""What PyTorch, numpy and decimal keep per thread goes with the training into its thread."""

import decimal
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch

from sgdb_engine import torch_state


def seen_in_a_thread(state: torch_state.ThreadState | None) -> dict[str, Any]:
    """The settings that a new thread computes under."""
    seen: dict[str, Any] = {}

    def look() -> None:
        if state is not None:
            torch_state.apply(state)
        seen.update(settings())

    thread = threading.Thread(target=look)
    thread.start()
    thread.join()
    return seen


def settings() -> dict[str, Any]:
    return {
        "device": torch.empty(1).device,
        "grad": (torch.ones(1, requires_grad=True) * 2).requires_grad,
        "autocast": (torch.ones(2, 2, device="cpu") @ torch.ones(2, 2, device="cpu")).dtype,
        "cache": torch.is_autocast_cache_enabled(),
        "numpy": np.geterr(),
        "decimal": decimal.getcontext().prec,
        "dtype": torch.empty(1).dtype,
        "threads": torch.get_num_threads(),
    }


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    state = torch_state.capture()
    yield
    torch_state.apply(state)


def test_a_thread_without_help_does_not_know_what_was_set() -> None:
    torch.set_default_device("meta")
    torch.set_grad_enabled(False)
    assert seen_in_a_thread(None)["device"] == torch.device("cpu")
    assert seen_in_a_thread(None)["grad"] is True


@pytest.mark.parametrize(
    "change",
    [
        lambda: torch.set_default_device("meta"),
        lambda: torch.set_grad_enabled(False),
        lambda: torch.set_autocast_enabled("cpu", True),
        lambda: (torch.set_autocast_dtype("cpu", torch.float16), torch.set_autocast_enabled("cpu", True)),
        lambda: torch.set_autocast_cache_enabled(False),
        lambda: np.seterr(divide="raise"),
        lambda: decimal.setcontext(decimal.Context(prec=7)),
        lambda: None,
    ],
    ids=[
        "default device",
        "grad",
        "autocast",
        "autocast dtype",
        "autocast cache",
        "numpy",
        "decimal",
        "nothing",
    ],
)
def test_what_was_set_holds_in_the_other_thread(change: Any) -> None:
    change()
    assert seen_in_a_thread(torch_state.capture()) == settings()


def test_later_changes_do_not_reach_back() -> None:
    state = torch_state.capture()
    decimal.getcontext().prec = 5
    assert state.decimal_context.prec != 5


def test_a_default_device_can_be_taken_back() -> None:
    state = torch_state.capture()
    torch.set_default_device("meta")
    torch_state.apply(state)
    assert torch.empty(1).device == torch.device("cpu")
