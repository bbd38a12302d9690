"""One network, several tasks: each target has its head, its terms, its metrics."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from sgdb_engine.balance import gradient_shares
from sgdb_engine.errors import DataError
from sgdb_engine.loop import validate

TWO = (
    'data={name = "placed_digits", side = 10}',
    'loss=[{name = "cross_entropy"}, {name = "mse", target = "place", weight = 0.5}]',
    "train.batch_size=64",
)


def test_a_digit_lies_where_its_target_says(built: Any) -> None:
    workload = built(*TWO, "data.normalise=false")
    x, y = next(iter(workload.train))
    assert x.shape == (64, 1, 10, 10)
    assert sorted(y) == ["place", "y"]
    for picture, (row, column) in zip(x[:, 0], y["place"].long().tolist(), strict=True):
        inside = picture[row : row + 8, column : column + 8]
        assert float(inside.sum()) == float(picture.sum())


@pytest.mark.parametrize("model", ["mlp", "cnn"])
def test_a_model_has_a_head_for_each_target(built: Any, model: str) -> None:
    workload = built(*TWO, f'model={{name = "{model}"}}')
    x, y = next(iter(workload.train))
    output = workload.model(x)
    assert {name: tuple(each.shape) for name, each in output.items()} == {"y": (64, 10), "place": (64, 2)}
    assert {"head.y.weight", "head.place.weight"} <= set(dict(workload.model.named_parameters()))
    total = workload.loss(output, y)
    assert float(total.detach()) == pytest.approx(
        float(workload.loss.terms["cross_entropy"] + 0.5 * workload.loss.terms["mse"]), rel=1e-6
    )


def test_each_term_has_a_validation_loss_and_the_classes_an_accuracy(built: Any, configure: Any) -> None:
    workload = built(*TWO)
    metrics = validate(workload, configure(*TWO).train)
    assert set(metrics) == {"val/loss", "val/cross_entropy", "val/mse", "val/accuracy"}
    assert metrics["val/loss"] == pytest.approx(
        metrics["val/cross_entropy"] + 0.5 * metrics["val/mse"], rel=1e-5
    )


def test_the_shares_of_the_gradient_are_those_of_the_norms(built: Any) -> None:
    workload = built(*TWO)
    x, y = next(iter(workload.train))
    total = workload.loss(workload.model(x), y)
    shares = gradient_shares(workload.loss.weighted, workload.model.parameters())
    assert all(p.grad is None for p in workload.model.parameters())
    total.backward()  # the history is still there
    norms = {}
    for name in shares:
        workload.model.zero_grad()
        workload.loss(workload.model(x), y)
        workload.loss.weighted[name].backward()
        squares = [p.grad.square().sum() for p in workload.model.parameters() if p.grad is not None]
        norms[name] = float(torch.stack(squares).sum().sqrt())
    whole = sum(norms.values())
    assert {name: float(share) for name, share in shares.items()} == pytest.approx(
        {name: norm / whole for name, norm in norms.items()}, rel=1e-4
    )


def test_columns_of_a_table_are_targets_by_name(built: Any, tmp_path: Path) -> None:
    (tmp_path / "table.csv").write_text("a,kind,size,b\n1,x,0.5,2\n2,y,1.5,3\n3,x,2.5,4\n")
    workload = built(
        'data={name = "csv", path = "table.csv", target = ["kind", "size"], validation = 0, normalise = false}',
        'loss=[{name = "cross_entropy", target = "kind"}, {name = "huber", delta = 0.5, target = "size"}]',
    )
    x, y = next(iter(workload.train))
    assert x.shape == (3, 2)
    assert sorted(y["size"].flatten().tolist()) == [0.5, 1.5, 2.5]
    assert set(y["kind"].tolist()) == {0, 1}


def test_arrays_of_a_file_are_targets_by_name(built: Any, tmp_path: Path) -> None:
    np.savez(tmp_path / "data.npz", x=np.ones((4, 3)), kind=np.array([0, 1, 1, 0]), size=np.ones(4))
    workload = built(
        'data={name = "npz", path = "data.npz", validation = 0}',
        'loss=[{name = "cross_entropy", target = "kind"}, {name = "l1", target = "size"}]',
    )
    assert sorted(next(iter(workload.train))[1]) == ["kind", "size"]


def test_datasets_of_ones_own_give_a_dict(built: Any, tmp_path: Path) -> None:
    (tmp_path / "two_targets.py").write_text(
        "import torch\n"
        "from torch.utils.data import Dataset\n"
        "class Both(Dataset):\n"
        "    def __len__(self): return 10\n"
        "    def __getitem__(self, i): return torch.ones(3), {'kind': i % 2, 'size': torch.ones(2)}\n"
        "def make(): return Both(), None\n"
    )
    workload = built(
        'data={use = "two_targets:make", classes = {kind = 2}}',
        'loss=[{name = "cross_entropy", target = "kind"}, {name = "mse", target = "size"}]',
    )
    x, y = next(iter(workload.train))
    assert float(workload.loss(workload.model(x), y).detach()) > 0


@pytest.mark.parametrize(
    ("overrides", "told"),
    [
        (
            ['loss=[{name = "mse", target = "plaec"}]'],
            r"has no such target; there is y and place.*Did you mean 'place'",
        ),
        (['loss=[{name = "mse"}]'], "the targets are classes"),
        (['loss=[{name = "cross_entropy", target = "place"}]'], "the targets are numbers"),
        (['model={use = "torch.nn:Flatten"}'], "no parameters"),
    ],
)
def test_what_does_not_fit_is_told(built: Any, overrides: list[str], told: str) -> None:
    with pytest.raises(Exception, match=told) as error:
        built(*TWO, *overrides)
    assert isinstance(error.value, DataError) or "no parameters" in told


def test_a_model_of_ones_own_must_give_an_output_for_each(built: Any, tmp_path: Path) -> None:
    (tmp_path / "one_head.py").write_text(
        "import torch\ndef net(): return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(100, 10))\n"
    )
    with pytest.raises(DataError, match="it must give a dict with an output for each"):
        built(*TWO, 'model={use = "one_head:net"}')
