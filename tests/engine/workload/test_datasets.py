"""The data sets that come with sgdb or with scikit-learn, and text."""

import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sgdb_engine.config.records import DATASETS as RECORDS
from sgdb_engine.config.records import DataSection
from sgdb_engine.errors import DataError
from sgdb_engine.workload.datasets import DATASETS
from sgdb_engine.workload.datasets.examples import Examples, Wanted


def read(name: str, folder: Path = Path(), seed: int = 0, **keys: Any) -> Examples:
    section: DataSection = RECORDS[name](name=name, **keys)
    return DATASETS[name](Wanted(section=section, folder=folder, seed=seed, tasks={"y": "classes"}))


def test_the_five_points_are_the_courses() -> None:
    examples = read("five_points")
    points = [[1.2, -3.4], [2.3, 2.8], [-0.7, 1.2], [3.2, -0.4], [-1.3, 2.3]]
    assert torch.equal(examples.x, torch.tensor(points))
    assert examples.targets["y"].values.tolist() == [0, 0, 1, 1, 2]


@pytest.mark.parametrize(
    ("name", "x_shape", "classes"),
    [
        ("digits", (1797, 1, 8, 8), 10),
        ("wine", (178, 13), 3),
        ("breast_cancer", (569, 30), 2),
        ("diabetes", (442, 10), None),
    ],
)
def test_bundled_sets_have_their_known_shapes(
    name: str, x_shape: tuple[int, ...], classes: int | None
) -> None:
    examples = read(name)
    assert tuple(examples.x.shape) == x_shape
    assert examples.targets["y"].classes == classes
    if classes:
        assert examples.targets["y"].values.unique().tolist() == list(range(classes))
    else:
        assert examples.targets["y"].values.shape == (442, 1)


def test_digits_can_be_given_as_8_bit_pictures() -> None:
    assert float(read("digits").x.max()) == 16
    assert float(read("digits", pixel_range=255.0).x.max()) == 255


def test_without_scikit_learn_the_message_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    with pytest.raises(DataError, match=r"pip install 'sgdb\[samples\]'"):
        read("wine")


def test_spirals_have_the_points_and_classes_asked_for() -> None:
    examples = read("spirals", points=101, classes=4)
    assert tuple(examples.x.shape) == (101, 2)
    assert examples.targets["y"].values.unique().tolist() == [0, 1, 2, 3]
    assert float(examples.x.norm(dim=1).max()) <= 1 + 1e-6


def test_spirals_are_drawn_by_the_seed() -> None:
    assert torch.equal(read("spirals", seed=1).x, read("spirals", seed=1).x)
    assert not torch.equal(read("spirals", seed=1).x, read("spirals", seed=2).x)


def test_without_noise_the_arms_lie_on_their_curve() -> None:
    examples = read("spirals", noise=0.0, classes=2)
    radius = examples.x.norm(dim=1)
    angle = torch.atan2(examples.x[:, 1], examples.x[:, 0])
    off = (angle - 2 * torch.pi * (radius + examples.targets["y"].values / 2)).cos()
    assert torch.allclose(off, torch.ones_like(off), atol=1e-4)


def test_text_is_the_standard_library_where_no_path_is_given() -> None:
    examples = read("text", context=32, max_chars=5000)
    assert tuple(examples.x.shape) == (156, 32)
    assert torch.equal(examples.x, read("text", context=32, max_chars=5000).x)


@given(text=st.text(st.sampled_from("abcé\n"), min_size=9, max_size=200))
def test_the_target_of_a_character_is_the_next_one(tmp_path_factory: Any, text: str) -> None:
    path = tmp_path_factory.mktemp("text") / "a.txt"
    path.write_bytes(text.encode())
    examples = read("text", path.parent, path="a.txt", context=4)
    vocabulary = sorted(set(text))
    pieces = (len(text) - 1) // 4
    assert examples.targets["y"].classes == len(vocabulary)
    written = "".join(vocabulary[token] for token in examples.x.flatten().tolist())
    ahead = "".join(vocabulary[token] for token in examples.targets["y"].values.flatten().tolist())
    assert (written, ahead) == (text[: pieces * 4], text[1 : pieces * 4 + 1])


def test_a_folder_of_text_is_read_in_the_order_of_its_names(tmp_path: Path) -> None:
    (tmp_path / "b.txt").write_text("b" * 10)
    (tmp_path / "a.py").write_text("a" * 10)
    (tmp_path / "c.bin").write_text("c" * 10)
    examples = read("text", tmp_path, path=".", context=2)
    assert examples.x.flatten().tolist() == [0] * 10 + [1] * 8


def test_text_that_is_no_text_is_read_all_the_same(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"\xff\xfe\x00abc" * 20)
    assert read("text", tmp_path, path="a.txt", context=4).x.shape[1] == 4


def test_too_little_text_is_told(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("short")
    with pytest.raises(DataError, match=r"5 characters of text.*context = 8 need 17"):
        read("text", tmp_path, path="a.txt", context=8)


def test_a_path_that_is_not_there_is_told_with_the_nearest(tmp_path: Path) -> None:
    (tmp_path / "poems.txt").write_text("x" * 100)
    with pytest.raises(DataError, match=r"Did you mean 'poems\.txt'\?"):
        read("text", tmp_path, path="poem.txt")
