"""Data from the user's files, in formats that run no code."""

import gzip
import pickle
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sgdb_engine.config.records import DATASETS as RECORDS
from sgdb_engine.errors import DataError
from sgdb_engine.workload.datasets import DATASETS
from sgdb_engine.workload.datasets.examples import Examples, Wanted
from sgdb_engine.workload.losses import Task


def read(name: str, folder: Path, task: Task = "classes", **keys: Any) -> Examples:
    section = RECORDS[name](name=name, **keys)
    return DATASETS[name](Wanted(section=section, folder=folder, seed=0, tasks={"y": task}))


class Dangerous:
    """Its pickle creates a file when it is read."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self.path,))


class TestCsv:
    def write(self, folder: Path, text: str) -> Path:
        (folder / "table.csv").write_text(text)
        return folder

    def test_columns_but_the_target_are_inputs(self, tmp_path: Path) -> None:
        self.write(tmp_path, "a,kind,b\n1,cat,2\n3,dog,4\n5,cat,6\n")
        examples = read("csv", tmp_path, path="table.csv", target="kind")
        assert examples.x.tolist() == [[1, 2], [3, 4], [5, 6]]
        assert (examples.targets["y"].values.tolist(), examples.targets["y"].classes) == ([0, 1, 0], 2)

    def test_numbers_as_classes_are_ordered_by_value(self, tmp_path: Path) -> None:
        self.write(tmp_path, "a,y\n1,10\n2,9\n3,10\n")
        assert read("csv", tmp_path, path="table.csv", target="y").targets["y"].values.tolist() == [1, 0, 1]

    @pytest.mark.parametrize("column", [["2.0", "1"], ["1.5a", "2.5"], ["cat", "0.5"], ["", "3"]])
    def test_whole_numbers_and_words_are_classes(self, tmp_path: Path, column: list[str]) -> None:
        self.write(tmp_path, "a,y\n" + "".join(f"1,{word}\n" for word in column))
        assert read("csv", tmp_path, path="table.csv", target="y").targets["y"].classes == 2

    def test_with_a_regression_loss_the_target_is_a_number(self, tmp_path: Path) -> None:
        self.write(tmp_path, "a,y\n1,10.5\n2,9\n")
        examples = read("csv", tmp_path, "numbers", path="table.csv", target="y")
        assert (examples.targets["y"].values.tolist(), examples.targets["y"].classes) == ([[10.5], [9]], None)

    def test_an_empty_cell_is_nan(self, tmp_path: Path) -> None:
        self.write(tmp_path, "a,b,y\n1,,0\n2,3,1\n")
        missing = read("csv", tmp_path, path="table.csv", target="y").x.isnan()
        assert missing.tolist() == [[False, True], [False, False]]

    @pytest.mark.parametrize(
        ("text", "told"),
        [
            ("a,y\n1,0\nx,1\n", r'line 3, column a: "x" is no number'),
            ("a,y\n1,0,5\n", r"line 2: 3 cells, but the header names 2 columns"),
            ("a,b\n1,0\n", r'data.target = "y": the columns are a, b'),
            ("a;y\n1;0\n", r'data.delimiter = ",": .* a single column, "a;y"; try data.delimiter = ";"'),
            ("a\n1\n", r'data.delimiter = ",": .* a single column, "a"$'),
            ("a,y\n1,0.5\n2,1.25\n", r"table.csv, column y: holds real numbers \(0.5, 1.25\).*smooth_l1"),
            ("a,y\n1,0.5\n2,\n", r"column y: holds real numbers \(0.5\)"),
            ("y\n1\n", "no column beside the target"),
            ("", "no header line"),
        ],
    )
    def test_what_is_wrong_is_told_with_its_place(self, tmp_path: Path, text: str, told: str) -> None:
        self.write(tmp_path, text)
        with pytest.raises(DataError, match=told):
            read("csv", tmp_path, path="table.csv", target="y")

    def test_a_table_without_rows_is_no_data(self, tmp_path: Path, built: Any) -> None:
        self.write(tmp_path, "a,y\n")
        with pytest.raises(DataError, match="there are no data"):
            built("data={name = 'csv', path = 'table.csv', target = 'y'}")

    @given(st.binary(max_size=60))
    def test_any_bytes_give_examples_or_a_data_error(self, tmp_path_factory: Any, content: bytes) -> None:
        folder = tmp_path_factory.mktemp("csv")
        (folder / "table.csv").write_bytes(b"a,y\n" + content)
        try:
            examples = read("csv", folder, path="table.csv", target="y")
        except DataError:
            return
        assert len(examples.x) == len(examples.targets["y"].values)


class TestNpz:
    def test_x_and_y_are_read(self, tmp_path: Path) -> None:
        np.savez(tmp_path / "d.npz", x=np.arange(6.0).reshape(3, 2), y=np.array([0, 2, 1]))
        examples = read("npz", tmp_path, path="d.npz")
        assert examples.x.dtype == torch.float32
        assert (examples.targets["y"].values.tolist(), examples.targets["y"].classes) == ([0, 2, 1], 3)

    @pytest.mark.parametrize(
        ("arrays", "told"),
        [
            ({"x": np.ones((2, 2))}, "no array named y"),
            ({"x": np.ones((2, 2)), "y": np.array([0, 1, 1])}, r"x is \(2, 2\) and y is \(3,\)"),
            ({"x": np.ones(2), "y": np.array([0, 1])}, r"x is \(2,\); it must be \(examples, features"),
            ({"x": np.ones((2, 2)), "y": np.array([0.5, 1])}, "y holds 0.5; classes are whole numbers"),
            ({"x": np.ones((2, 2)), "y": np.array([0.5, 1.25])}, "d.npz: y holds 0.5, 1.25; .*smooth_l1"),
            ({"x": np.ones((2, 2)), "y": np.array([np.nan, 1])}, "y holds nan"),
            ({"x": np.ones((2, 2)), "y": np.eye(2)}, "one-hot"),
            ({"x": np.array([["a"], ["b"]]), "y": np.array([0, 1])}, "x is no array of numbers"),
            ({"x": np.ones((0, 2)), "y": np.array([])}, "there are no data"),
        ],
    )
    def test_what_is_wrong_is_told(self, tmp_path: Path, arrays: dict[str, Any], told: str) -> None:
        np.savez(tmp_path / "d.npz", **arrays)
        with pytest.raises(DataError, match=told):
            read("npz", tmp_path, path="d.npz")

    def test_nothing_pickled_is_executed(self, tmp_path: Path) -> None:
        evil = np.array([Dangerous(tmp_path / "executed")], dtype=object)
        np.savez(tmp_path / "d.npz", x=evil, y=np.array([0]))
        with pytest.raises(DataError, match="x holds Python objects"):
            read("npz", tmp_path, path="d.npz")
        assert not (tmp_path / "executed").exists()

    @pytest.mark.parametrize("content", [b"", b"junk", b"PK junk", b"\x80\x04junk"])
    def test_another_file_under_that_name_is_told_without_advice_to_unpickle(
        self, tmp_path: Path, content: bytes
    ) -> None:
        (tmp_path / "d.npz").write_bytes(content)
        with pytest.raises(DataError, match=r"it is not an npz file; .* arrays x and y is needed") as caught:
            read("npz", tmp_path, path="d.npz")
        assert "pickle" not in str(caught.value)

    def test_a_pickle_under_that_name_is_not_executed(self, tmp_path: Path) -> None:
        (tmp_path / "d.npz").write_bytes(pickle.dumps(Dangerous(tmp_path / "executed")))
        with pytest.raises(DataError, match="cannot be read"):
            read("npz", tmp_path, path="d.npz")
        assert not (tmp_path / "executed").exists()

    def test_a_single_array_is_told(self, tmp_path: Path) -> None:
        with (tmp_path / "d.npz").open("wb") as file:
            np.save(file, np.ones(3))
        with pytest.raises(DataError, match="a single array"):
            read("npz", tmp_path, path="d.npz")

    @given(st.data())
    def test_a_damaged_file_is_a_data_error_or_data(self, tmp_path_factory: Any, data: Any) -> None:
        folder = tmp_path_factory.mktemp("npz")
        np.savez_compressed(folder / "d.npz", x=np.ones((4, 2)), y=np.array([0, 1, 0, 1]))
        content = bytearray((folder / "d.npz").read_bytes())
        content[data.draw(st.integers(0, len(content) - 1))] ^= 1 << data.draw(st.integers(0, 7))
        (folder / "d.npz").write_bytes(content[: data.draw(st.integers(0, len(content)))])
        try:
            examples = read("npz", folder, path="d.npz")
        except DataError:
            return
        assert len(examples.x) == len(examples.targets["y"].values)


def idx(values: np.ndarray[Any, np.dtype[np.uint8]]) -> bytes:
    """The IDX format, written by hand."""
    header = bytes((0, 0, 8, values.ndim)) + struct.pack(f">{values.ndim}I", *values.shape)
    return header + values.tobytes()


class TestMnist:
    pictures = np.arange(5 * 3 * 3, dtype=np.uint8).reshape(5, 3, 3)
    labels = np.array([0, 1, 2, 9, 3], dtype=np.uint8)

    @pytest.mark.parametrize("ending", ["", ".gz"])
    @pytest.mark.parametrize("dot", ["-", "."])
    def test_original_files_are_read_plain_or_gzipped(self, tmp_path: Path, ending: str, dot: str) -> None:
        pack = gzip.compress if ending else bytes
        (tmp_path / f"train-images{dot}idx3-ubyte{ending}").write_bytes(pack(idx(self.pictures)))
        (tmp_path / f"train-labels{dot}idx1-ubyte{ending}").write_bytes(pack(idx(self.labels)))
        examples = read("mnist", tmp_path, path=".")
        assert examples.x.shape == (5, 1, 3, 3)
        assert examples.x.flatten().tolist() == list(range(45))
        assert examples.targets["y"].values.tolist() == self.labels.tolist()

    @pytest.mark.parametrize("keep", [0, 3, 10, 16, 60])
    def test_a_cut_file_is_told(self, tmp_path: Path, keep: int) -> None:
        (tmp_path / "train-images-idx3-ubyte").write_bytes(idx(self.pictures)[:keep])
        (tmp_path / "train-labels-idx1-ubyte").write_bytes(idx(self.labels))
        with pytest.raises(DataError, match="train-images"):
            read("mnist", tmp_path, path=".")

    def test_a_cut_gzip_is_told(self, tmp_path: Path) -> None:
        (tmp_path / "train-images-idx3-ubyte.gz").write_bytes(gzip.compress(idx(self.pictures))[:-12])
        with pytest.raises(DataError, match="train-images"):
            read("mnist", tmp_path, path=".")

    def test_a_header_that_promises_too_much_reads_no_more_than_there_is(self, tmp_path: Path) -> None:
        promised = bytes((0, 0, 8, 3)) + struct.pack(">3I", 2**32 - 1, 2**32 - 1, 2**32 - 1)
        (tmp_path / "train-images-idx3-ubyte").write_bytes(promised + b"x")
        with pytest.raises(DataError, match="promises"):
            read("mnist", tmp_path, path=".")

    def test_missing_files_are_named(self, tmp_path: Path) -> None:
        with pytest.raises(DataError, match="there is no train-images-idx3-ubyte"):
            read("mnist", tmp_path, path=".")


class TestCifar10:
    def test_the_binary_version_is_read(self, tmp_path: Path) -> None:
        record = np.arange(3073, dtype=np.uint32).astype(np.uint8)
        for number in (1, 2):
            record[0] = number
            (tmp_path / f"data_batch_{number}.bin").write_bytes(record.tobytes() * 2)
        examples = read("cifar10", tmp_path, path=".")
        assert examples.x.shape == (4, 3, 32, 32)
        assert examples.targets["y"].values.tolist() == [1, 1, 2, 2]
        assert float(examples.x[0, 0, 0, 1]) == 2

    def test_the_python_version_is_refused_with_the_reason(self, tmp_path: Path) -> None:
        (tmp_path / "data_batch_1").write_bytes(pickle.dumps(Dangerous(tmp_path / "executed")))
        with pytest.raises(DataError, match=r"pickled.*binary version"):
            read("cifar10", tmp_path, path=".")
        assert not (tmp_path / "executed").exists()

    def test_a_cut_file_is_told(self, tmp_path: Path) -> None:
        (tmp_path / "data_batch_1.bin").write_bytes(bytes(3072))
        with pytest.raises(DataError, match="no whole number of records"):
            read("cifar10", tmp_path, path=".")

    def test_a_label_out_of_range_is_told(self, tmp_path: Path, built: Any) -> None:
        (tmp_path / "data_batch_1.bin").write_bytes((bytes((77,)) + bytes(3072)) * 4)
        with pytest.raises(DataError, match="classes go from 77 to 77"):
            built("data={name = 'cifar10', path = '.'}")
