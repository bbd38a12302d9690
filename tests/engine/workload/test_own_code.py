"""The user's own data and models, by import path."""

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from sgdb_engine.errors import DataError, TargetError

Module = Callable[[str], str]
COUNTER = itertools.count()


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Module:
    """Writes a module beside the config; gives its name, which no other test uses."""
    monkeypatch.syspath_prepend(str(tmp_path))

    def write(source: str) -> str:
        name = f"own_code_{next(COUNTER)}"
        (tmp_path / f"{name}.py").write_text("import torch\n" + source)
        return name

    return write


ARRAYS = "def make():\n    return torch.arange(40.0).reshape(20, 2), torch.arange(20) % 3\n"
DATASET = """
class Numbers(torch.utils.data.Dataset):
    classes = ["even", "odd"]
    def __init__(self, size): self.size = size
    def __len__(self): return self.size
    def __getitem__(self, i): return torch.full((2,), float(i)), i % 2
def make(): return Numbers(10), Numbers(3)
def no_val(): return Numbers(10), None
def empty(): return Numbers(0), None
def nothing_labelled():
    Numbers.classes = None
    return Numbers(10), None
"""


def test_arrays_are_split_and_normalised(built: Any, module: Module) -> None:
    workload = built(f"data={{use = '{module(ARRAYS)}:make', validation = 0.25}}")
    assert len(workload.train.dataset) == 15
    x = torch.cat([x for x, _ in workload.train])
    assert float(x.mean()) == pytest.approx(0, abs=1e-5)
    assert workload.model.head.out_features == 3


def test_the_function_gets_its_arguments_and_the_seed(built: Any, module: Module) -> None:
    name = module("def make(n, seed):\n    return torch.full((n, 1), float(seed)), torch.arange(n) % 2\n")
    workload = built(
        f"data={{use = '{name}:make', validation = 0, normalise = false, arguments = {{n = 6}}}}",
        "run.seed=9",
    )
    x = torch.cat([x for x, _ in workload.train])
    assert x.tolist() == [[9.0]] * 6


def test_datasets_keep_their_own_split(built: Any, module: Module) -> None:
    workload = built(f"data={{use = '{module(DATASET)}:make'}}")
    shapes = [(tuple(x.shape), tuple(y.shape)) for x, y in workload.train]
    assert shapes == [((4, 2), (4,)), ((4, 2), (4,)), ((2, 2), (2,))]
    assert sum(len(x) for x, _ in workload.val) == 3


def test_datasets_may_have_no_validation_part(built: Any, module: Module) -> None:
    assert built(f"data={{use = '{module(DATASET)}:no_val'}}").val is None


def test_datasets_are_shuffled_by_the_seed_and_draw_nothing_else(built: Any, module: Module) -> None:
    name = module(DATASET)
    orders = []
    for _ in range(2):
        workload = built(f"data={{use = '{name}:make'}}")
        before = torch.get_rng_state()
        orders.append([torch.cat([x[:, 0] for x, _ in workload.train]).tolist() for _ in range(2)])
        assert torch.equal(before, torch.get_rng_state())
    assert orders[0] == orders[1]
    assert orders[0][0] != orders[0][1]


@pytest.mark.slow
def test_datasets_can_be_loaded_by_workers(built: Any, module: Module) -> None:
    workload = built(f"data={{use = '{module(DATASET)}:make', workers = 1}}")
    assert sorted(torch.cat([x[:, 0] for x, _ in workload.train]).tolist()) == list(range(10))


def test_a_model_of_ones_own_is_built_with_its_arguments(built: Any, module: Module) -> None:
    name = module("def net(width): return torch.nn.Sequential(torch.nn.Linear(2, width))\n")
    workload = built(f"model={{use = '{name}:net', arguments = {{width = 3}}}}")
    assert workload.model[0].out_features == 3


def test_relu_at_the_output_of_a_regression_can_be_said(built: Any, module: Module) -> None:
    name = module("def net(): return torch.nn.Sequential(torch.nn.Linear(10, 1), torch.nn.ReLU())\n")
    workload = built("data={name = 'diabetes'}", f"model={{use = '{name}:net'}}", "loss.0.name=mse")
    x, _ = next(iter(workload.train))
    assert float(workload.model(x).detach().min()) >= 0


def test_a_frozen_model_is_built(built: Any, module: Module) -> None:
    name = module("def net(): return torch.nn.Linear(2, 3).requires_grad_(False)\n")
    assert not any(p.requires_grad for p in built(f"model={{use = '{name}:net'}}").model.parameters())


def test_a_lazy_model_is_materialised_before_its_optimizer(built: Any, module: Module) -> None:
    name = module("def net(): return torch.nn.LazyLinear(3)\n")
    workload = built(f"model={{use = '{name}:net'}}")
    assert workload.optimizer.param_groups[0]["params"][0] is workload.model.weight


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ("def other(): pass\n", "there is no make in"),
        ("def mak(): pass\n", "Did you mean 'mak'?"),
        ("make = 3\n", "is int, not something that can be called"),
        ("def make(): return 3\n", "gave int; it must give two things"),
        ("def make(): return 1, 2, 3\n", "gave tuple of 3"),
        ("def make(): raise KeyError('x')\n", "raised: KeyError: 'x'"),
        ("def make(): raise SystemExit(3)\n", "raised: SystemExit: 3"),
        ("raise ValueError('at import')\n", "could not be imported: ValueError: at import"),
        ("import no_such_module_at_all\n", "No module named 'no_such_module_at_all'"),
        ("this is no python\n", "could not be imported: SyntaxError"),
    ],
)
def test_a_function_that_cannot_be_used_is_told(built: Any, module: Module, source: str, told: str) -> None:
    with pytest.raises(TargetError) as caught:
        built(f"data={{use = '{module(source)}:make'}}")
    assert told in str(caught.value)


def test_what_the_users_code_raises_comes_with_its_line(built: Any, module: Module) -> None:
    name = module("def make():\n    return 1 / 0\n")
    with pytest.raises(TargetError) as caught:
        built(f"data={{use = '{name}:make'}}")
    assert f'{name}.py", line 3, in make' in str(caught.value)
    assert "importing.py" not in str(caught.value)


def test_a_module_that_is_not_there_is_told_with_the_nearest(built: Any, module: Module) -> None:
    name = module(ARRAYS)
    with pytest.raises(TargetError, match=f"there is no module {name}x in .*Did you mean '{name}'"):
        built(f"data={{use = '{name}x:make'}}")


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ("def make(): return torch.full((8, 2), torch.nan), torch.arange(8) % 3\n", "x holds no finite number"),
        ("def make(): return torch.zeros(8, 2), torch.arange(8) - 1\n", "the classes go from -1 to 6"),
        ("def make(): return torch.zeros(0, 2), torch.zeros(0)\n", "there are no data"),
        (DATASET.replace("def empty", "def unused").replace("Numbers(10), Numbers(3)", "Numbers(0), None"), "empty"),
        (DATASET.replace("def make", "def unused").replace("nothing_labelled", "make"), "how many classes"),
        (DATASET.replace("return torch.full((2,), float(i)), i % 2", "return object()"), "no batch can be made"),
        (DATASET.replace(", i % 2", ""), "must be \\(x, y\\)"),
    ],
)  # fmt: skip
def test_data_that_cannot_be_trained_on_are_told(built: Any, module: Module, source: str, told: str) -> None:
    with pytest.raises(DataError, match=told):
        built(f"data={{use = '{module(source)}:make'}}")


def test_some_nan_in_the_data_let_the_training_go_on(built: Any, module: Module) -> None:
    name = module(
        "def make():\n    x = torch.randn(8, 2)\n    x[3, 1] = torch.nan\n    return x, torch.arange(8) % 2\n"
    )
    workload = built(f"data={{use = '{name}:make', validation = 0}}")
    x = torch.cat([x for x, _ in workload.train])
    assert int(x.isnan().sum()) == 1


@pytest.mark.parametrize(
    ("model", "told"),
    [
        ("torch.nn.Linear(3, 3)", r"the model cannot take these data: x is \(2, 2\), float32"),
        ("torch.nn.Linear(2, 2)", "the model gives scores for 2 classes, the data have 3"),
        ("torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.Flatten(0))", "one score a class"),
        ("torch.nn.LSTM(2, 3)", "the model gives tuple"),
    ],
)
def test_a_model_that_does_not_fit_is_told_with_the_shapes(
    built: Any, module: Module, model: str, told: str
) -> None:
    with pytest.raises(DataError, match=told):
        built(f"model={{use = '{module(f'def net(): return {model}')}:net'}}")


def test_shapes_that_would_broadcast_are_refused(built: Any, module: Module) -> None:
    name = module("def net(): return torch.nn.Sequential(torch.nn.Linear(10, 1), torch.nn.Flatten(0))\n")
    with pytest.raises(DataError, match=r"shapes must be equal: output \(2,\), target \(2, 1\)"):
        built("data={name = 'diabetes'}", f"model={{use = '{name}:net'}}", "loss.0.name=mse")


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ("def net(): return 3\n", "gave int; it must give a torch.nn.Module"),
        ("def net(): return torch.nn.ReLU()\n", "it has no parameters"),
        ("def net(width): return torch.nn.Linear(2, width)\n", "raised: TypeError"),
    ],
)
def test_what_is_no_trainable_model_is_told(built: Any, module: Module, source: str, told: str) -> None:
    with pytest.raises(TargetError, match=told):
        built(f"model={{use = '{module(source)}:net'}}")
