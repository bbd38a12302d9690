"""A state comes back bit for bit, or is refused before anything is written."""

from collections import Counter, OrderedDict, namedtuple
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sgdb_engine.checkpoint import load_checkpoint, save_checkpoint
from sgdb_engine.errors import CheckpointError

DTYPES = [
    torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.float8_e4m3fn, torch.float8_e5m2,
    torch.int64, torch.int32, torch.int16, torch.int8, torch.uint64, torch.uint32, torch.uint16, torch.uint8,
    torch.bool, torch.complex64, torch.complex128,
]  # fmt: skip


def there_and_back(folder: Path, state: Any) -> Any:
    save_checkpoint(folder, 1, {"it": state})
    return load_checkpoint(folder).state["it"]


def bits(tensor: torch.Tensor) -> bytes:
    tensor = tensor.detach().resolve_conj().resolve_neg()
    tensor = tensor.clone(memory_format=torch.contiguous_format).reshape(-1)
    return bytes(tensor.view(torch.uint8).tolist()) if tensor.numel() else b""


def same(one: Any, other: Any) -> bool:
    """Equal in type, structure and bits."""
    if type(one) is not type(other):
        return False
    if isinstance(one, torch.Tensor):
        return one.dtype == other.dtype and one.shape == other.shape and bits(one) == bits(other)
    if isinstance(one, dict):
        return len(one) == len(other) and all(
            same(*pair)
            for items in zip(one.items(), other.items(), strict=True)
            for pair in zip(*items, strict=True)
        )
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    return repr(one) == repr(other)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("shape", [(), (0,), (3, 0, 2), (1,), (3, 5)], ids=str)
def test_a_tensor_of_any_dtype_and_shape(tmp_path: Path, dtype: torch.dtype, shape: tuple[int, ...]) -> None:
    raw = torch.randint(0, 2 if dtype == torch.bool else 256, (*shape, dtype.itemsize), dtype=torch.uint8)
    tensor = raw.view(dtype).reshape(shape)  # any bits, NaN payloads among them
    assert same(there_and_back(tmp_path, tensor), tensor)


@pytest.mark.parametrize(
    "view",
    [
        lambda tensor: tensor.T,
        lambda tensor: tensor[1:, ::2],
        lambda tensor: tensor[0].expand(4, 5),
        lambda tensor: torch.nn.Parameter(tensor).detach(),
        lambda tensor: torch.view_as_complex(tensor[:, :2].contiguous()).conj(),
        lambda tensor: torch.view_as_complex(tensor[:, :2].contiguous()).conj().imag,
        lambda tensor: tensor.contiguous(memory_format=torch.preserve_format).view(5, 3),
    ],
)
def test_a_view_is_saved_by_its_values(tmp_path: Path, view: Callable[[torch.Tensor], torch.Tensor]) -> None:
    tensor = view(torch.randn(3, 5))
    assert same(there_and_back(tmp_path, [tensor, tensor[:1]]), [tensor, tensor[:1]])


def test_tied_weights_are_saved_once_and_come_back_tied(tmp_path: Path) -> None:
    weight = torch.nn.Parameter(torch.randn(100, 100))
    path = save_checkpoint(
        tmp_path, 1, {"encoder": weight, "decoder": weight.detach(), "transposed": weight.T}
    )
    state = load_checkpoint(tmp_path).state
    assert state["encoder"] is state["decoder"]
    assert torch.equal(state["transposed"], weight.T)
    assert (path / "tensors.safetensors").stat().st_size < 2.1 * 40_000


def test_different_views_of_one_memory_are_kept_apart(tmp_path: Path) -> None:
    square, pairs = torch.randn(4, 4), torch.randn(4, dtype=torch.complex64)
    views = [square, square.T, square[:2], square[2:], square.view(torch.int32), pairs, pairs.conj()]
    assert same(there_and_back(tmp_path, views), views)


def test_a_loaded_tensor_can_be_changed_without_changing_the_file(tmp_path: Path) -> None:
    there_and_back(tmp_path, torch.zeros(10)).add_(1)
    assert torch.equal(load_checkpoint(tmp_path).state["it"], torch.zeros(10))


def test_names_that_collide_or_are_reserved_keep_their_tensors_apart(tmp_path: Path) -> None:
    state = {
        "a/b": torch.tensor(1),
        "a": {"b": torch.tensor(2), 1: torch.tensor(3), "1": torch.tensor(4)},
        "": {"": torch.tensor(5)},
        "__metadata__": torch.tensor(6),
        "$tensor": torch.tensor(7),
        "\ud800": torch.tensor(8),
    }
    assert same(there_and_back(tmp_path, state), state)
    save_checkpoint(tmp_path, 2, state)
    assert same(load_checkpoint(tmp_path).state, state)


SCALARS = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text()
    | st.sampled_from([torch.tensor(1.5), torch.tensor([1, 2]), np.float32(0.1), np.arange(3, dtype="u4")])
)  # fmt: skip
KEYS = st.text(max_size=5) | st.integers() | st.none() | st.booleans() | st.tuples(st.integers(), st.text())
TREES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.lists(inner, max_size=4).map(tuple)
        | st.dictionaries(KEYS, inner, max_size=4)
        | st.dictionaries(KEYS, inner, max_size=4).map(OrderedDict)
        | st.dictionaries(KEYS, st.integers(), max_size=4).map(Counter)
    ),
    max_leaves=12,
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(tree=TREES)
def test_any_nesting_of_what_a_state_may_hold(tmp_path: Path, tree: Any) -> None:
    assert same(there_and_back(tmp_path, tree), tree)


def test_a_numpy_float64_is_a_float(tmp_path: Path) -> None:
    assert same(there_and_back(tmp_path, np.float64(0.1)), 0.1)


class Malicious:
    def __reduce__(self) -> Any:
        return (print, ("run at load",))


Point = namedtuple("Point", "x y")


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (Malicious(), "is a .*Malicious"),
        (lambda step: step, "is a builtins.function"),
        ({1, 2}, "is a builtins.set"),
        (b"bytes", "is a builtins.bytes"),
        (torch.float32, "is a torch.dtype"),
        (torch.device("cpu"), "is a torch.device"),
        (Point(1, 2), "is a .*Point"),
        (np.array(["text"]), "is a numpy value of dtype <U4"),
        (np.array([object()]), "is a numpy value of dtype object"),
        (torch.eye(2).to_sparse(), "is a tensor of layout torch.sparse_coo"),
        (torch.empty(2, device="meta"), "is a tensor without data"),
        (torch.nn.parameter.UninitializedParameter(), "is a UninitializedParameter"),
    ],
)
def test_what_is_no_state_is_refused_with_its_path_and_leaves_no_trace(
    tmp_path: Path, value: Any, kind: str
) -> None:
    with pytest.raises(CheckpointError, match=f"^optimizer/param_groups/0/hook {kind}"):
        save_checkpoint(tmp_path / "c", 1, {"optimizer": {"param_groups": [{"hook": value}]}})
    assert not (tmp_path / "c").exists()


def test_a_key_that_is_no_state_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"key .* of state is a builtins.frozenset"):
        save_checkpoint(tmp_path, 1, {"state": {frozenset(): 1}})
    with pytest.raises(CheckpointError, match=r"key of state is a tensor"):
        save_checkpoint(tmp_path, 1, {"state": {torch.tensor(1): 1}})


def test_a_state_that_contains_itself_is_refused(tmp_path: Path) -> None:
    state: dict[str, Any] = {}
    state["again"] = state
    with pytest.raises(CheckpointError, match="contains itself"):
        save_checkpoint(tmp_path, 1, state)
