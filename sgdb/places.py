"""Where a command writes: places that cannot be written are refused at once, temporary ones are gone afterwards."""

import contextlib
import errno
import getpass
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from sgdb_engine.errors import SgdbError
from sgdb_engine.text import clean

REPORTS = (".md", ".html")
KERNELS = "TORCHINDUCTOR_CACHE_DIR"


def refuse_no_report(path: Path | None) -> None:
    """A report has one of two forms, and a place."""
    if path is not None and path.suffix not in REPORTS:
        raise SgdbError(f"--report {clean(str(path))}: give a name that ends in {' or '.join(REPORTS)}")
    refuse_unwritable(path, "--report")


def refuse_unwritable(path: Path | None, option: str = "--json") -> None:
    """What cannot be written must not be noticed after hours of training."""
    if path is None or (path.exists() and not path.is_file() and not path.is_dir()):  # a pipe, a device
        return
    try:
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        with tempfile.TemporaryFile(dir=path.resolve().parent):
            pass
    except OSError as error:
        raise SgdbError(
            f"{option} {path}: cannot be written there ({error.strerror}); give a file in a folder that exists"
        ) from None


@contextlib.contextmanager
def temporary_folder() -> Iterator[Path]:
    """A run folder that is gone afterwards. Raises SgdbError where none can be made."""
    try:
        temporary = tempfile.TemporaryDirectory(prefix="sgdb-check-", ignore_cleanup_errors=True)
    except OSError as error:
        raise SgdbError(
            f"no temporary folder can be made: {error}; set TMPDIR to one that can be written"
        ) from None
    with temporary as folder:
        yield Path(folder)


@contextlib.contextmanager
def kernels_kept_in(folder: Path) -> Iterator[None]:
    """PyTorch, when imported, makes a folder for compiled kernels among the temporary files if there is none yet."""
    kernels = Path(tempfile.gettempdir()) / f"torchinductor_{getpass.getuser()}"
    if kernels.exists() or KERNELS in os.environ:
        yield
        return
    os.environ[KERNELS] = str(folder / "kernels")
    try:
        yield
    finally:
        os.environ.pop(KERNELS, None)
