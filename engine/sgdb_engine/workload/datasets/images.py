"""MNIST and CIFAR-10 from their original binary files."""

import gzip
import struct
import zlib
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from sgdb_engine.config.records import FileData
from sgdb_engine.errors import DataError
from sgdb_engine.workload.datasets.examples import Examples, Wanted, with_target
from sgdb_engine.workload.datasets.files import cannot_read, located

Bytes = npt.NDArray[np.uint8]


def mnist(wanted: Wanted[FileData]) -> Examples:
    """The training files of MNIST, or of a set in its format: (N, 1, H, W) from 0 to 255, 10 classes.

    IDX format: http://yann.lecun.com/exdb/mnist/
    """
    folder = located(wanted.folder, wanted.section.path)
    images = read_idx(_idx_file(folder, "train-images", 3), num_dims=3)
    labels = read_idx(_idx_file(folder, "train-labels", 1), num_dims=1)
    if len(images) != len(labels):
        raise DataError(f"{folder}: {len(images)} pictures but {len(labels)} labels")
    return with_target(
        x=torch.as_tensor(images).unsqueeze(1).float(),
        y=torch.as_tensor(labels).long(),
        kind="images",
        classes=10,
    )


def _idx_file(folder: Path, name: str, num_dims: int) -> Path:
    stems = (f"{name}-idx{num_dims}-ubyte", f"{name}.idx{num_dims}-ubyte")
    names = [stem + ending for stem in stems for ending in ("", ".gz")]
    for each in names:
        if (folder / each).is_file():
            return folder / each
    raise DataError(f"{folder}: there is no {names[0]} nor {names[1]}: the original MNIST files are needed")


def read_idx(path: Path, num_dims: int) -> Bytes:
    """An IDX file of bytes, plain or gzipped. Raises DataError for anything else."""
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            header = file.read(4 + 4 * num_dims)
            if len(header) < 4 + 4 * num_dims or header[:4] != bytes((0, 0, 8, num_dims)):
                raise DataError(f"{path}: not an IDX file of bytes with {num_dims} dimensions")
            shape = struct.unpack(f">{num_dims}I", header[4:])
            size = int(np.prod(shape, dtype=np.uint64))
            content = file.read(min(size, 2**33) + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise cannot_read(path, error) from None
    if len(content) != size:
        told = "more" if len(content) > size else str(len(content))
        raise DataError(f"{path}: its header promises {size} bytes of content, there are {told}")
    return np.frombuffer(content, dtype=np.uint8).reshape(shape).copy()


CIFAR_RECORD = 1 + 3 * 32 * 32
"""One byte of label, then the red, green and blue planes."""


def cifar10(wanted: Wanted[FileData]) -> Examples:
    """The training files of CIFAR-10, binary version: (N, 3, 32, 32) from 0 to 255, 10 classes.

    Format: https://www.cs.toronto.edu/~kriz/cifar.html; the Python version is pickled and not read.
    """
    folder = located(wanted.folder, wanted.section.path)
    files = sorted(folder.glob("data_batch_*.bin"))
    if not files:
        pickled = (
            "; this is the Python version, which is pickled" if (folder / "data_batch_1").exists() else ""
        )
        raise DataError(
            f"{folder}: there is no data_batch_*.bin{pickled}. The binary version is needed, "
            "cifar-10-binary.tar.gz"
        )
    records = np.concatenate([_cifar_records(path) for path in files])
    return with_target(
        x=torch.as_tensor(records[:, 1:]).reshape(-1, 3, 32, 32).float(),
        y=torch.as_tensor(records[:, 0]).long(),
        kind="images",
        classes=10,
    )


def _cifar_records(path: Path) -> Bytes:
    try:
        content = np.fromfile(path, dtype=np.uint8)
    except OSError as error:
        raise cannot_read(path, error) from None
    if content.size % CIFAR_RECORD:
        raise DataError(
            f"{path}: {content.size} bytes are no whole number of records of {CIFAR_RECORD} bytes"
        )
    return content.reshape(-1, CIFAR_RECORD)
