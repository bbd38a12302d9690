"""Paths of a config, and reading what they name."""

from pathlib import Path

from sgdb_engine.config.wording import nearest
from sgdb_engine.errors import DataError


def located(folder: Path, path: str) -> Path:
    """The path, relative ones from `folder`. Raises DataError where there is nothing."""
    found = folder / Path(path).expanduser()
    if found.exists():
        return found
    beside = [each.name for each in found.parent.iterdir()] if found.parent.is_dir() else []
    raise DataError(f'data.path = "{path}": there is no {found}.{nearest(found.name, beside)}')


def cannot_read(path: Path, error: Exception) -> DataError:
    """The error for a file that is there but cannot be read."""
    reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return DataError(f"{path}: cannot be read: {reason}")
