"""Text, character by character: each one is predicted from those before it."""

import sysconfig
from collections.abc import Iterable
from pathlib import Path

import torch

from sgdb_engine.config.records import TextData
from sgdb_engine.errors import DataError
from sgdb_engine.workload.datasets.examples import Examples, Wanted, with_target
from sgdb_engine.workload.datasets.files import cannot_read, located


def text(wanted: Wanted[TextData]) -> Examples:
    """Text cut into pieces of `context` characters that do not overlap: x, y (N, T), y one character ahead.

    Without a path it is the sources of Python's standard library, in the order of their names. The vocabulary
    is the characters of the text in the order of their code points.
    """
    section = wanted.section
    if section.path is None:
        origin = Path(sysconfig.get_path("stdlib"))
        files: Iterable[Path] = sorted(origin.glob("*.py"))
    else:
        origin = located(wanted.folder, section.path)
        files = _text_files(origin) if origin.is_dir() else [origin]
    characters = read_characters(files, section.max_chars)
    context = section.context
    if len(characters) < 2 * context + 1:
        raise DataError(
            f"{origin}: {len(characters)} characters of text; two pieces of data.context = {context} need "
            f"{2 * context + 1}"
        )
    vocabulary = {character: number for number, character in enumerate(sorted(set(characters)))}
    tokens = torch.tensor([vocabulary[character] for character in characters])
    pieces = (len(tokens) - 1) // context
    x = tokens[: pieces * context].reshape(pieces, context)
    y = tokens[1 : pieces * context + 1].reshape(pieces, context)
    return with_target(x=x, y=y, kind="tokens", classes=len(vocabulary))


def _text_files(folder: Path) -> list[Path]:
    return sorted(path for ending in ("*.txt", "*.py") for path in folder.rglob(ending))


def read_characters(files: Iterable[Path], most: int) -> str:
    """The first `most` characters of the files one after the other. What is no UTF-8 becomes U+FFFD."""
    parts: list[str] = []
    missing = most
    for path in files:
        if missing <= 0:
            break
        try:
            with path.open(encoding="utf-8", errors="replace") as file:
                parts.append(file.read(missing))
        except OSError as error:
            raise cannot_read(path, error) from None
        missing -= len(parts[-1])
    return "".join(parts)
