"""Tables of one's own: CSV and NumPy's npz."""

import csv
import math
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sgdb_engine.config.records import CsvData, FileData
from sgdb_engine.config.wording import nearest, show
from sgdb_engine.errors import DataError
from sgdb_engine.workload.datasets.arrays import examples_from_arrays, refuse_missing
from sgdb_engine.workload.datasets.examples import THE_TARGET, Examples, Target, Wanted
from sgdb_engine.workload.datasets.files import cannot_read, located
from sgdb_engine.workload.losses import FOR_NUMBERS, Task

Rows = list[tuple[int, list[str]]]
"""Line number and cells."""


def from_csv(wanted: Wanted[CsvData]) -> Examples:
    """A table with a header line. All columns but the targets are numbers; an empty cell is NaN. Classes may
    be any words: they are numbered in sorted order."""
    section, path = wanted.section, located(wanted.folder, wanted.section.path)
    header, rows = _read_csv(path, section.delimiter)
    columns = (
        {THE_TARGET: section.target} if isinstance(section.target, str) else {t: t for t in section.target}
    )
    for column in columns.values():
        _refuse_no_column(path, header, column, section.delimiter)
    refuse_missing(str(path), wanted.tasks, columns)
    features = [i for i, name in enumerate(header) if name not in columns.values()]
    if not features:
        raise DataError(
            f"{path}: there is no column beside the target; is data.delimiter = {show(section.delimiter)} right?"
        )
    x = torch.tensor([[_number(path, header, i, line, row) for i in features] for line, row in rows])
    targets = {name: _column(path, header, columns[name], rows, task) for name, task in wanted.tasks.items()}
    return Examples(x.reshape(len(rows), len(features)), targets, kind="table")


def _refuse_no_column(path: Path, header: list[str], column: str, delimiter: str) -> None:
    if column not in header and len(header) == 1:
        raise DataError(_one_column(path, header[0], delimiter))
    if column not in header:
        found = f"the columns are {', '.join(header[:12])}" if header else "the file has no header line"
        raise DataError(f'data.target = "{column}": {found} ({path}).{nearest(column, header)}')


def _column(path: Path, header: list[str], column: str, rows: Rows, task: Task) -> Target:
    at = header.index(column)
    if task == "numbers":
        numbers = [[_number(path, header, at, line, row)] for line, row in rows]
        return Target(torch.tensor(numbers).reshape(len(rows), 1))
    words = [row[at].strip() for _, row in rows]
    if real := _real_numbers(words):
        raise DataError(
            f"{path}, column {column}: holds real numbers ({', '.join(real[:MOST_SHOWN])}), but the loss "
            f"wants classes; use the loss {FOR_NUMBERS}, or give as data.target a column of classes: "
            "words or whole numbers"
        )
    return Target(*_numbered(words))


MOST_SHOWN = 3
"""Values given as examples in a message."""
DELIMITERS = (";", "\t", "|", ",", " ")


def _one_column(path: Path, header: str, delimiter: str) -> str:
    likely = next((each for each in DELIMITERS if each in header and each != delimiter), None)
    way = f"; try data.delimiter = {show(likely)}" if likely else ""
    return (
        f"data.delimiter = {show(delimiter)}: with it the header of {path} is a single column, "
        f"{show(header)}{way}"
    )


def _real_numbers(words: list[str]) -> list[str]:
    """The words that are no whole numbers, where all are numbers or empty; else none."""
    try:
        numbers = {word: float(word) for word in words if word}
    except ValueError:
        return []
    return [word for word, number in numbers.items() if math.isfinite(number) and not number.is_integer()]


def _read_csv(path: Path, delimiter: str) -> tuple[list[str], Rows]:
    """The header, and the rows with their line numbers."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, delimiter=delimiter)
            header = [name.strip() for name in next(reader, [])]
            rows = [(reader.line_num, row) for row in reader if row]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise cannot_read(path, error) from None
    for line, row in rows:
        if len(row) != len(header):
            raise DataError(
                f"{path}, line {line}: {len(row)} cells, but the header names {len(header)} columns"
            )
    return header, rows


def _number(path: Path, header: list[str], column: int, line: int, row: list[str]) -> float:
    cell = row[column].strip()
    try:
        return float(cell) if cell else math.nan
    except ValueError:
        raise DataError(
            f"{path}, line {line}, column {header[column]}: {show(cell)} is no number; take the column "
            "out or write its categories as numbers"
        ) from None


def _numbered(words: list[str]) -> tuple[Tensor, int]:
    """Class words → numbers from 0 in sorted order (by value if all are numbers), and how many."""
    different = set(words)
    try:
        order = sorted(different, key=lambda word: (float(word), word))
    except ValueError:
        order = sorted(different)
    numbers = {word: number for number, word in enumerate(order)}
    return torch.tensor([numbers[word] for word in words], dtype=torch.int64), len(order)


UNREADABLE = (OSError, ValueError, EOFError, MemoryError, RuntimeError, zipfile.BadZipFile, zlib.error)
"""What NumPy and zipfile raise for damaged files; RuntimeError for encrypted ones and unknown methods."""

NPZ_STARTS = (b"PK\x03\x04", b"PK\x05\x06")
NPY_START = b"\x93NUMPY"
NEEDED = "an npz file with the arrays x and y is needed, as numpy.savez(path, x=x, y=y) writes it"


def from_npz(wanted: Wanted[FileData]) -> Examples:
    """The arrays x and y of an npz file, or x and those of the losses' targets; nothing pickled is read."""
    path = located(wanted.folder, wanted.section.path)
    try:
        with path.open("rb") as file:
            start = file.read(len(NPY_START))
            if start == NPY_START:
                raise DataError(f"{path}: a single array; {NEEDED}")
            if not start.startswith(NPZ_STARTS):
                raise DataError(f"{path}: cannot be read: it is not an npz file; {NEEDED}")
            file.seek(0)
            arrays = np.load(file, allow_pickle=False)
            if missing := {"x", *wanted.tasks} - set(arrays.files):
                there = ", ".join(arrays.files) or "none"
                raise DataError(f"{path}: no array named {' nor '.join(sorted(missing))}; there are: {there}")
            x, y = _array(path, arrays, "x"), {name: _array(path, arrays, name) for name in wanted.tasks}
    except UNREADABLE as error:
        raise cannot_read(path, error) from None
    return examples_from_arrays(str(path), x, y, wanted.tasks)


def _array(path: Path, arrays: Any, name: str) -> Any:
    """One array of an npz file. Raises DataError for Python objects, which only unpickling could read."""
    try:
        return arrays[name]
    except ValueError as error:
        if "allow_pickle" not in str(error):
            raise
        raise DataError(
            f"{path}: cannot be read: {name} holds Python objects; save it as an array of numbers"
        ) from None
